"""What a station says and hears: one call at a time, kept until it is answered.

What it must say of transactions outlives a connection; all else is said while it is
accepted, or not at all.
"""

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from benchmarks.simulator.ocpp.behaviour import Behaviour
from benchmarks.simulator.ocpp.evse import Transaction
from benchmarks.simulator.ocpp.profiles import Json
from benchmarks.simulator.ocpp.world import Wire, World
from domain.model.values import SECOND, Instant

CALL, RESULT, ERROR = 2, 3, 4
ANSWER_WITHIN = 30 * SECOND

OnAnswer = Callable[[Json], None]
Afterwards = list[Callable[[], None]]
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NoSuchAction(Exception):
    """The station knows no such action."""


@dataclass(slots=True)
class Message:
    """What the station has to say; ``of`` a transaction it is never dropped."""

    action: str
    payload: Json
    on_answer: OnAnswer | None = None
    of: Transaction | None = None


class Speech(ABC):
    """A station's side of its connection."""

    def __init__(
        self, identity: str, rank: int, world: World, wire: Wire, behaviour: Behaviour
    ) -> None:
        self.identity = identity
        self.rank = rank
        self.world = world
        self.wire = wire
        self.behaviour = behaviour
        self.is_online = False
        self.is_accepted = False
        self.said_at: Instant = 0
        self.refused: list[tuple[str, str]] = []
        self._random = random.Random(f"voltledger-station-{identity}")
        self._queue: deque[Message] = deque()
        self._outstanding: tuple[str, Message] | None = None
        self._call_off_timeout: Callable[[], None] | None = None
        self._messages = 0
        # Told how long each answer was awaited.
        self.on_answered: Callable[[Instant], None] = _do_nothing

    async def connect(self) -> None:
        """Connect; nothing is said yet."""
        await self.wire.open(self.take)
        self.is_online = True

    async def disconnect(self) -> None:
        """Lose the connection, and what need not be said later."""
        self.is_online = self.is_accepted = False
        if self._outstanding is not None:
            _, message = self._outstanding
            self._forget_outstanding()
            self._queue.appendleft(message)
        self._queue = deque(m for m in self._queue if m.of is not None)
        await self.wire.close()

    def arrange_late(self) -> None:
        """Put what was kept into the order in which this station says it."""
        late = list(self._queue)
        if self.behaviour.sends_late_backwards:
            late.reverse()
        if self.behaviour.sends_late_twice:
            late += [
                Message(m.action, dict(m.payload), m.on_answer, m.of) for m in late
            ]
        self._queue = deque(late)

    @property
    def has_more_to_say(self) -> bool:
        """Whether something of a transaction waits to be said."""
        waiting = [] if self._outstanding is None else [self._outstanding[1]]
        return any(m.of is not None for m in (*waiting, *self._queue))

    def tell(
        self,
        action: str,
        payload: Json,
        on_answer: OnAnswer | None = None,
        of: Transaction | None = None,
    ) -> None:
        """Say something; what is of no transaction is not kept while offline."""
        if self.is_accepted or of is not None:
            self._queue.append(Message(action, payload, on_answer, of))
            self.say_next()

    def say_first(self, message: Message) -> None:
        """Say something before all that waits."""
        self._queue.appendleft(message)
        self.say_next()

    def say_next(self) -> None:
        """Say what waits, if nothing is unanswered."""
        if self._outstanding is not None or not self._queue or not self.is_online:
            return
        if not self.is_accepted and self._queue[0].action != "BootNotification":
            return
        message = self._queue.popleft()
        self.complete(message)
        self._messages += 1
        message_id = f"{self.identity}-{self._messages}"
        self._outstanding = message_id, message
        now = self.said_at = self.world.now()
        self._call_off_timeout = self.world.at(
            now + ANSWER_WITHIN, self.rank, partial(self._overdue, message_id)
        )
        self._send([CALL, message_id, message.action, message.payload])

    def _overdue(self, message_id: str) -> None:
        if self._outstanding is None or self._outstanding[0] != message_id:
            return
        _, message = self._outstanding
        self._forget_outstanding()
        if message.of is not None or message.action == "BootNotification":
            self._queue.appendleft(message)
        self.say_next()

    def _forget_outstanding(self) -> None:
        self._outstanding = None
        if self._call_off_timeout is not None:
            self._call_off_timeout()
            self._call_off_timeout = None

    def _send(self, frame: list[Any]) -> None:
        self.wire.send(_encode(frame))

    def take(self, frame: bytes) -> None:
        """Take a frame of the CSMS."""
        message = _decode(frame)
        if message[0] == CALL:
            self._answer(message[1], message[2], message[3])
            return
        if self._outstanding is None or self._outstanding[0] != message[1]:
            return
        _, asked = self._outstanding
        self._forget_outstanding()
        self.on_answered(self.world.now() - self.said_at)
        if message[0] == ERROR:
            self.refused.append((asked.action, message[2]))
        elif asked.on_answer is not None:
            asked.on_answer(message[2])
        self.say_next()

    def _answer(self, message_id: str, action: str, payload: Json) -> None:
        """Answer a call, unless the answer is lost; what it entails comes after."""
        afterwards: Afterwards = []
        answer: list[Any]
        try:
            found = self.answered(action, payload, afterwards)
            answer = [RESULT, message_id, found]
        except NoSuchAction:
            answer = [ERROR, message_id, "NotImplemented", action, {}]
        if self._random.random() >= self.behaviour.lost_answers:
            self._send(answer)
        for do in afterwards:
            do()

    @abstractmethod
    def complete(self, message: Message) -> None:
        """Fill in what was not known when a message was put into the queue."""

    @abstractmethod
    def answered(self, action: str, payload: Json, afterwards: Afterwards) -> Json:
        """Return the answer to a call; ``afterwards`` is done when it was sent.

        Raises
        ------
        NoSuchAction
            for one that the station does not know.
        """


def _do_nothing(waited: Instant) -> None:
    """Nobody wants to know."""
