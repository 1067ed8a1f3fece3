"""What a virtual station needs of the world around it: time, and a way to the CSMS."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from domain.model.values import Instant

Act = Callable[[], Awaitable[None] | None]


class World(Protocol):
    """Time, simulated or this machine's."""

    def now(self) -> Instant:
        """Return the true instant."""
        ...

    def at(self, instant: Instant, rank: int, act: Act) -> Callable[[], None]:
        """Act at an instant, of equal ones in the order of ranks, then of asking.

        What is returned calls it off.
        """
        ...


class Wire(Protocol):
    """A station's way to the CSMS."""

    async def open(self, on_frame: Callable[[bytes], None]) -> None:
        """Connect; frames that come are handed over as they come."""
        ...

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...
