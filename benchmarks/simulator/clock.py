"""Simulated time, and ids and random bytes from a seed."""

import hashlib
import random

from domain.model.values import Instant


class SimulatedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: Instant) -> None:
        self.at = at

    def now(self) -> Instant:
        """Return the simulated instant."""
        return self.at


class SeededIds:
    """Ids and random bytes that the seed decides, so that two runs are equal."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random(f"voltledger-ids-{seed}")
        self._count = 0

    def new_id(self) -> str:
        """Return the next id."""
        self._count += 1
        text = f"{self._seed}/{self._count}".encode()
        return hashlib.blake2b(text, digest_size=10).hexdigest()

    def random(self, n: int) -> bytes:
        """Return the next ``n`` bytes."""
        return self._random.randbytes(n)
