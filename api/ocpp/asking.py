"""An activity that is to become a call, and what its station's answer comes to."""

from typing import Any, Final, NamedTuple

from msgspec import UNSET

from api.ocpp.charging_profiles import Request as ProfileRequest
from api.ocpp.v2 import V2_TYPES
from api.ocpp.violations import Version
from domain.errors import InvalidValue
from domain.model.activity_events import ActivityAsked, Outcome
from domain.model.values import Instant

# Of what a station says no more is kept.
LONGEST: Final = 500
_TOKEN_LENGTH: Final = {"1.6": 20, "2.0.1": 36, "2.1": 255}
# Types of tokens by what they are called at our side; who is known by other means than
# a token has one that only we know.
_TOKEN_TYPES: Final = {
    "rfid": "ISO14443",
    "token": "ISO14443",
    "emaid": "eMAID",
    "keycode": "KeyCode",
}


class ListEntry(NamedTuple):
    """A token of a local authorization list.

    ``is_valid`` false: it is taken off the list. ``until_at`` 0: without an end.
    ``group_id`` is empty for one of no group.
    """

    kind: str
    text: str
    is_valid: bool
    until_at: Instant = 0
    group_id: str = ""


class Asking(NamedTuple):
    """An activity, and what of its station its call depends on.

    ``evse_number`` is 0 for the station; ``transaction_id`` that of the EVSE's open
    transaction; ``token`` what the activity's sealed group says, and ``profile`` what
    the transaction of a remote start is to begin with; ``entries`` are those of a local
    list; ``group_id`` is the group of whom a token is.
    """

    activity: ActivityAsked
    version: Version
    evse_number: int = 0
    transaction_id: int | str | None = None
    token: str = ""
    profile: ProfileRequest | None = None
    entries: tuple[ListEntry, ...] = ()
    group_id: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """The activity's parameters by name."""
        return dict(self.activity.parameters)


class Verdict(NamedTuple):
    """What an answer comes to: the end of the activity, or a step of it."""

    outcome: Outcome | None
    step: str = ""
    detail: str = ""
    results: tuple[tuple[str, str], ...] = ()


def reason_of(answer: Any) -> str:
    """Return the status, and why, where the station says so."""
    info = getattr(answer, "status_info", UNSET)
    if info is UNSET:
        return str(answer.status)
    told = [answer.status, info.reason_code, info.additional_info or ""]
    return ": ".join(text for text in told if text)[:LONGEST]


def id_token_of(version: Version, kind: str, text: str) -> Any:
    """Return a token as a version has it: text in 1.6, with its type in 2.x."""
    text = _checked_token(text, version)
    if version == "1.6":
        return text
    _, types = V2_TYPES[version]
    return types.IdToken(id_token=text, type=_TOKEN_TYPES.get(kind, "Central"))


def is_short_enough(version: Version, text: str) -> bool:
    """Whether a version has room for a token."""
    return len(text) <= _TOKEN_LENGTH[version]


def _checked_token(text: str, version: Version) -> str:
    longest = _TOKEN_LENGTH[version]
    if not is_short_enough(version, text):
        raise InvalidValue(
            f"OCPP {version} takes tokens of {longest} characters, not {len(text)}"
        )
    return text
