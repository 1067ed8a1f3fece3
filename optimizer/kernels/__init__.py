"""Compiled kernels: arrays in, arrays out, nothing checked and nothing raised.

Numba notices a change of a function's own file, not of those it calls: after an upgrade
it would run yesterday's code of one kernel inside today's of another. So compiled code
is kept in a folder named by a digest of all kernels together.
"""

import hashlib
from pathlib import Path

from numba import config

_HERE = Path(__file__).parent


def _digest() -> str:
    sha = hashlib.sha256()
    for file in sorted(_HERE.glob("*.py")):
        sha.update(file.name.encode() + file.read_bytes())
    return sha.hexdigest()[:16]


_folder = Path(getattr(config, "CACHE_DIR", "") or _HERE / "__pycache__")
setattr(config, "CACHE_DIR", str(_folder / f"compiled-{_digest()}"))  # noqa: B010
