"""Calls of ours to a station: queued, one outstanding, answered, refused or late."""

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from api.ocpp.wire import Wire
from domain.model.values import SECOND, Instant

if TYPE_CHECKING:
    from api.ocpp.desk import Desk
    from api.ocpp.gateway import Gateway
    from api.ocpp.peers import Peer


class Urgency(enum.IntEnum):
    """What goes first; of the same urgency, what was asked first."""

    DECREASE = 0
    INCREASE = 1
    COMMAND = 2
    REPORT = 3


# How long an answer is awaited, by how much a station has to do for it. While it is,
# nothing else can be asked, but what may not wait.
ANSWER_WITHIN: Final = {
    Urgency.DECREASE: 10 * SECOND,
    Urgency.INCREASE: 10 * SECOND,
    Urgency.COMMAND: 20 * SECOND,
    Urgency.REPORT: 20 * SECOND,
}


# What makes an EV draw less waits no longer than this for an answer to what is not
# urgent: that has timed out then, as the protocol has it, though it is still taken.
URGENT_WAITS: Final = 5 * SECOND


class NotAnswered(enum.Enum):
    """Why a call has no answer; in the first two cases it may have been carried out."""

    TIMED_OUT = "timed out"
    DISCONNECTED = "disconnected"
    # It never left: the station is not there, or a newer one took its slot.
    NOT_CONNECTED = "not connected"
    SUPERSEDED = "superseded"


class Refusal(NamedTuple):
    """The station's CALLERROR, or what is wrong with its answer."""

    code: str
    description: str


Answered = Wire | Refusal | NotAnswered
OnAnswer = Callable[["Gateway", "Desk", "Peer", Answered], None]


def ignore_answer(
    gateway: "Gateway", desk: "Desk", peer: "Peer", answered: Answered
) -> None:
    """Do nothing: what came of it is seen elsewhere."""


class Call(NamedTuple):
    """A call to a station.

    Of two calls with the same ``slot`` the newer takes the place of one that has not
    left; an empty slot is nobody's. ``on_answer`` is called exactly once, as a work.
    """

    action: str
    request: Wire
    on_answer: OnAnswer = ignore_answer
    urgency: Urgency = Urgency.COMMAND
    slot: str = ""
    answer_within: Instant | None = None

    @property
    def patience(self) -> Instant:
        """How long an answer is awaited."""
        if self.answer_within is not None:
            return self.answer_within
        return ANSWER_WITHIN[self.urgency]
