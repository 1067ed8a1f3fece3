"""One live connection of a station: frames in, answers and calls out.

All of it happens as works of the desk. A call of the station is answered when what it
says is durable; a repeated one (same message id and content) gets the same answer.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from api.ocpp import deviations, frames
from api.ocpp.admission import is_admitted
from api.ocpp.calls import (
    URGENT_WAITS,
    Answered,
    Call,
    NotAnswered,
    Refusal,
    Urgency,
)
from api.ocpp.codec import CODECS
from api.ocpp.desk import Desk, Link, Pace
from api.ocpp.peers import Peer
from api.ocpp.proof import Proof, refusal_of
from api.ocpp.unreadable import keep_unreadable
from api.ocpp.violations import Rule, Version, Violation
from api.ocpp.wire import Wire
from api.security.notes import Kind, Origin
from domain.errors import DomainError, StoreError

if TYPE_CHECKING:
    from api.ocpp.gateway import Gateway

_logger = logging.getLogger(__name__)

# Answers that are kept of a station, to be given again.
ANSWERS_KEPT: Final = 64
# What is answered with the present time.
TIMELY: Final = frozenset({"BootNotification", "Heartbeat"})


class _NotDone(Exception):
    """Why a call is answered by an error: its code and description."""


class _Outstanding(NamedTuple):
    message_id: str
    call: Call
    forget: Callable[[], None]


class Connection:
    """What passes between us and one station over one link."""

    def __init__(
        self,
        gateway: "Gateway",
        peer: Peer,
        version: Version,
        link: Link,
        origin: Origin,
        proof: Proof | None,
    ) -> None:
        self.gateway = gateway
        self.peer = peer
        self.version = version
        self.link = link
        self.origin = origin
        # What it was let in by, and lasts as long as; None: by other means.
        self.proof = proof
        self.frames_in = 0
        self.frames_out = 0
        # Whether what it said last comes later than others.
        self.waits = False
        self._codec = CODECS[version]
        self._queue: list[tuple[int, int, Call]] = []
        self._asked = 0
        self._outstanding: _Outstanding | None = None
        # Calls that something urgent went past, by id: their answers are still taken.
        self._overtaken: dict[str, _Outstanding] = {}
        self._answers: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()

    def receive(self, frame: bytes) -> None:
        """Take a frame that came; on the links' thread."""
        self.gateway.desk.put(partial(self.take, frame=frame))

    def receive_all(
        self, frames: Sequence[bytes], taken: Callable[[], None], pace: Pace
    ) -> None:
        """Take frames that came together; ``taken`` is called when all is durable."""
        self.waits = self.waits or pace is Pace.LATER
        work = partial(self._take_all, frames=frames, taken=taken)
        self.gateway.desk.put(work, Pace.LATER if self.waits else pace)

    def _take_all(
        self, desk: Desk, frames: Sequence[bytes], taken: Callable[[], None]
    ) -> None:
        self.waits = False
        desk.after(taken)
        if self.peer.connection is not self:
            return  # another took its place: who has no answer will ask again there
        for frame in frames:
            desk.alone(self.peer.station_id, partial(self.take, desk, frame))

    def take(self, desk: Desk, frame: bytes) -> None:
        """Decide what a frame comes to."""
        self.frames_in += 1
        self.peer.heard_at = desk.now
        try:
            message = frames.decode(frame, self.version)
        except Violation as violation:
            self._refuse(desk, violation, "", frame)
            return
        match message:
            case frames.Call():
                self._called(desk, message, frame)
            case frames.CallResult() | frames.CallError():
                self._answered(desk, message)
            case frames.Send():
                self._told(desk, message, frame)
            case frames.CallResultError():
                self._note(desk, f"refused our answer: {message.code}")

    def ask(self, desk: Desk, call: Call) -> None:
        """Put a call into the queue; of a slot, in the place of an older one."""
        queue, outstanding = list(self._queue), self._outstanding
        desk.to_undo(lambda: self._take_back(queue, outstanding))
        self._asked += 1
        entry = (int(call.urgency), self._asked, call)
        if call.slot:
            for at, (_, _, older) in enumerate(self._queue):
                if older.slot == call.slot:
                    del self._queue[at]
                    self._tell(desk, older, NotAnswered.SUPERSEDED)
                    break
        self._queue.append(entry)
        self._queue.sort(key=lambda each: each[:2])
        if outstanding is not None and _may_overtake(call, outstanding.call):
            overtake = partial(self._overtake, message_id=outstanding.message_id)
            self.gateway.at(desk.now + URGENT_WAITS, overtake)
        self._next(desk)

    def _overtake(self, desk: Desk, message_id: str) -> None:
        """Wait no longer for the answer to what is less urgent than what waits."""
        held_by = self._outstanding
        if held_by is None or held_by.message_id != message_id or not self._queue:
            return
        if _may_overtake(self._queue[0][2], held_by.call):
            self._overtaken[message_id] = held_by
            self._outstanding = None
            self._next(desk)

    def _take_back(
        self, queue: list[tuple[int, int, Call]], outstanding: _Outstanding | None
    ) -> None:
        """Have asked nothing: what it was asked for is undone."""
        if self._outstanding is not None and self._outstanding is not outstanding:
            self._outstanding.forget()
        self._queue, self._outstanding = queue, outstanding

    def lost(self, desk: Desk) -> None:
        """Give up what is queued and asked: the link is gone."""
        waiting, self._queue = self._queue, []
        asked = [*self._overtaken.values()]
        if self._outstanding is not None:
            asked.append(self._outstanding)
        self._outstanding, self._overtaken = None, {}
        for each in asked:
            each.forget()
            self._tell_alone(desk, each.call, NotAnswered.DISCONNECTED)
        for _, _, call in waiting:
            self._tell_alone(desk, call, NotAnswered.NOT_CONNECTED)

    @property
    def is_proven(self) -> bool:
        """Whether what let it in would let it in now."""
        if self.proof is None:
            return True
        return refusal_of(self.peer.credentials, self.proof) is None

    def proves_by(self, digest: bytes) -> None:
        """Take in that the station took a password over this very connection."""
        if self.proof is not None:
            digests = (*(self.proof.digests or ()), digest)
            self.proof = self.proof._replace(digests=digests)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked or waits to be."""
        return self._outstanding is None and not self._queue

    def _next(self, desk: Desk) -> None:
        if self._outstanding is not None or not self._queue:
            return
        _, _, call = self._queue.pop(0)
        message_id = self.gateway.new_message_id()
        forget = self.gateway.at(
            desk.now + call.patience, partial(self._overdue, message_id=message_id)
        )
        self._outstanding = _Outstanding(message_id, call, forget)
        self._send(desk, frames.encode_call(message_id, call.action, call.request))

    def _overdue(self, desk: Desk, message_id: str) -> None:
        asked = self._taken(message_id)
        if asked is not None:
            self._tell_alone(desk, asked.call, NotAnswered.TIMED_OUT)
            self._next(desk)

    def _taken(self, message_id: str) -> _Outstanding | None:
        """Return what was asked under an id, and await it no more."""
        asked = self._outstanding
        if asked is None or asked.message_id != message_id:
            return self._overtaken.pop(message_id, None)
        self._outstanding = None
        return asked

    def _answered(
        self, desk: Desk, message: frames.CallResult | frames.CallError
    ) -> None:
        asked = self._taken(message.message_id)
        if asked is None:
            self._note(desk, "an answer to nothing that we asked")
            return
        asked.forget()
        call = asked.call
        answered: Answered
        if isinstance(message, frames.CallError):
            answered = Refusal(message.code, message.description)
        else:
            try:
                answered = self._read(
                    desk, self._codec.response, call.action, message.payload
                )
            except Violation as violation:
                code = violation.code(self.version) or "FormationViolation"
                answered = Refusal(code, str(violation))
                self._note(desk, f"answer to {call.action}: {violation}")
                if self.version == "2.1":
                    refusal = frames.encode_result_error(
                        message.message_id, code, str(violation)
                    )
                    self._send(desk, refusal)
        self._tell_alone(desk, call, answered)
        self._next(desk)

    def _tell_alone(self, desk: Desk, call: Call, answered: Answered) -> None:
        """Tell who asked; an error there keeps nothing else from being done."""
        tell = partial(self._tell, desk, call, answered)
        desk.alone(f"{self.peer.station_id}: {call.action}", tell)

    def _tell(self, desk: Desk, call: Call, answered: Answered) -> None:
        call.on_answer(self.gateway, desk, self.peer, answered)

    def _called(self, desk: Desk, message: frames.Call, frame: bytes) -> None:
        # A station that starts anew may count from 1 again: what tells the time is
        # repeated on one connection only.
        answers = self._answers if message.action in TIMELY else self.peer.answers
        digest = hashlib.blake2b(frame, digest_size=16).digest()
        known = answers.get(message.message_id)
        if known is not None and known[0] == digest:
            self._send(desk, known[1])
            return
        try:
            answer = self._handled(desk, message)
        except Violation as violation:
            violation.message_id = message.message_id
            self._refuse(desk, violation, message.action, frame)
            return
        except _NotDone as refusal:
            # Not kept: it may do better when it asks again.
            self._send(desk, frames.encode_error(message.message_id, *refusal.args))
            return
        answers[message.message_id] = (digest, answer)
        if len(answers) > ANSWERS_KEPT:
            answers.popitem(last=False)
        self._send(desk, answer)

    def _handled(self, desk: Desk, message: frames.Call) -> bytes:
        """Return the frame that answers a call; raise what its payload breaks."""
        handler = self.gateway.handler(self.version, message.action)
        request = self._read(desk, self._codec.request, message.action, message.payload)
        if handler is None:
            text = f"{message.action} is not for stations to send"
            raise _NotDone("NotSupported", text)
        if not is_admitted(self.peer.standing, self.version, message.action):
            text = f"{message.action} before the station is accepted"
            self._note(desk, text)
            raise _NotDone("SecurityError", text)
        try:
            response = handler(self.gateway, desk, self.peer, request)
            return frames.encode_result(message.message_id, response)
        except StoreError:
            raise
        except DomainError as error:
            _logger.warning("%s of %s: %s", message.action, self.peer.station_id, error)
            self.gateway.undo(desk, self.peer, request)
            raise _NotDone("InternalError", str(error)[:255]) from None
        except Exception:
            _logger.exception("%s of %s", message.action, self.peer.station_id)
            self.gateway.undo(desk, self.peer, request)
            raise _NotDone("InternalError", "") from None

    def _read(
        self,
        desk: Desk,
        decode: Callable[[str, bytes | msgspec.Raw], Wire],
        action: str,
        payload: msgspec.Raw,
    ) -> Wire:
        """Decode a payload, with the deviations that are tolerated of the station."""
        if not self.peer.deviations:
            return decode(action, payload)
        one_action = partial(decode, action)
        return deviations.read(desk, self.peer, one_action, bytes(payload))

    def _told(self, desk: Desk, message: frames.Send, frame: bytes) -> None:
        handler = self.gateway.handler(self.version, message.action)
        try:
            request = self._read(
                desk, self._codec.request, message.action, message.payload
            )
        except Violation as violation:
            self._unreadable(desk, violation, message.action, frame)
            return
        standing = self.peer.standing
        if handler is not None and is_admitted(standing, self.version, message.action):
            handler(self.gateway, desk, self.peer, request)

    def _refuse(
        self, desk: Desk, violation: Violation, action: str, frame: bytes
    ) -> None:
        self._unreadable(desk, violation, action, frame)
        code = violation.code(self.version)
        is_call = violation.message_type in (None, frames.CALL)
        if code is not None and (is_call or violation.rule is Rule.MESSAGE_TYPE):
            refusal = frames.encode_error(violation.message_id, code, str(violation))
            self._send(desk, refusal)

    def _unreadable(
        self, desk: Desk, violation: Violation, action: str, frame: bytes
    ) -> None:
        self.peer.unreadable[violation.rule.name] += 1
        self._note(desk, f"{violation.rule.name}: {violation}")
        keep_unreadable(desk, self.peer, action, violation.rule.name, frame)

    def _note(self, desk: Desk, detail: str) -> None:
        actor = self.peer.station_id
        desk.note(Kind.FAULTY_MESSAGE, self.origin, actor=actor, detail=detail)

    def _send(self, desk: Desk, frame: bytes) -> None:
        self.frames_out += 1
        desk.send(self.link, frame)


def _may_overtake(call: Call, other: Call) -> bool:
    """Whether a call is urgent and another, whose answer is awaited, is not."""
    return call.urgency is Urgency.DECREASE and other.urgency > Urgency.INCREASE
