"""What a simulated day leaves beside its store, so that its report can be made again.

``outcome.msgpack`` holds the `DayOutcome` with the seed and the zone of the local day:
the true power of the cars, which no ledger knows, is in it.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.simulator.day import DayOutcome
from domain.errors import InvalidValue

OUTCOME_FILE = "outcome.msgpack"
_FORMAT = 2


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome and what its report needs besides."""

    format: int = _FORMAT
    seed: int
    tz: str
    outcome: DayOutcome

    def is_same_day(self, other: "Kept") -> bool:
        """Return whether both strategies met the same day: cars, PRE and seed."""
        return _question(self) == _question(other)


def keep(folder: Path, kept: Kept) -> None:
    """Write the file into a store's folder."""
    packed = msgspec.msgpack.encode(kept, enc_hook=_as_list)
    (folder / OUTCOME_FILE).write_bytes(packed)


def read_kept(folder: Path) -> Kept:
    """Read the file of a store's folder."""
    path = folder / OUTCOME_FILE
    try:
        packed = path.read_bytes()
        kept = msgspec.msgpack.decode(packed, type=Kept, dec_hook=_as_array)
    except OSError as error:
        raise InvalidValue(
            f"{path}: cannot be read ({error.strerror}); simulate makes it"
        ) from error
    except msgspec.DecodeError as error:
        raise InvalidValue(f"{path}: is not an outcome: {error}") from error
    if kept.format != _FORMAT:
        raise InvalidValue(
            f"{path}: has format {kept.format}; this release reads {_FORMAT}"
        )
    return kept


def _question(kept: Kept) -> tuple[Any, ...]:
    outcome = kept.outcome
    drivers = [(d.label, d.arrival_at, d.takes_wh) for d in outcome.drivers]
    upper = np.round(outcome.pre_upper_w).tolist()
    return kept.seed, kept.tz, outcome.start_at, drivers, upper


def _as_list(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise NotImplementedError(f"{type(value).__name__} is not kept")


def _as_array(_: type, value: Any) -> Any:
    return np.array(value)
