"""Hand-written fakes of the ports that the store asks: clock and ids."""

from hashlib import sha256

MONDAY = 1_571_616_000_000_000  # 2019-10-21T00:00Z


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, at: int = MONDAY) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class SeededIds:
    """Ids and random bytes that are the same in every run."""

    def __init__(self, seed: str = "test") -> None:
        self._seed = seed
        self._count = 0

    def random(self, n: int) -> bytes:
        self._count += 1
        drawn = b""
        while len(drawn) < n:
            text = f"{self._seed}/{self._count}/{len(drawn)}"
            drawn += sha256(text.encode()).digest()
        return drawn[:n]

    def new_id(self) -> str:
        return self.random(16).hex()
