"""Sets of steps as bits: word w of a row holds steps 64 w .. 64 w + 63."""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

WORD = 64


@intrinsic
def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


_count: Any = _trailing_zeros


@njit(cache=True, nogil=True, inline="always")
def lowest(word: int) -> int:
    """Return the place of the lowest bit of a word that has one."""
    place: int = _count(word)
    return place


@njit(cache=True, nogil=True, inline="always")
def bit(step: int) -> int:
    """Return the word that holds this step alone (within its own word)."""
    return types.uint64(1) << types.uint64(step & 63)  # type: ignore[return-value]


def words(n_column: int) -> int:
    """Return how many words hold this many steps."""
    return -(-n_column // WORD)
