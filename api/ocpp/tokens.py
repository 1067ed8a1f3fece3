"""Tokens that are shown at stations: whose they are, and what is answered for them.

A token never stands in the clear: it is a subject of the vault, and is sealed for it.
Cards are matched whatever the case of their letters, as the protocols have it.
"""

from typing import Final, Literal, NamedTuple

from msgspec import UNSET, UnsetType

from api.ocpp.desk import Desk
from api.ocpp.peers import Peer, Standing
from api.ocpp.v16 import datatypes as d16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.wire import CustomData
from domain.errors import Conflict, InvalidValue, Refused, Unknown
from domain.model import session_events as s
from domain.model.values import Instant, Sealed
from domain.ports import Authorization, Vault
from domain.use_cases import s2_back_office as office
from domain.use_cases.clause_6_2_joining import find_open
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.shared_path import By

VENDOR_ID: Final = "voltledger"

# A token that says that nobody was asked for one, or whose only sense is the session.
NOBODY: Final = ("NoAuthorization", "Central")
# What a type of token is called where contracts are registered; then as `KIND`.
_KINDS: Final = {"eMAID": ("emaid",), "KeyCode": ("keycode",)}
_CARD: Final = ("rfid",)
KIND: Final = "token"

Status = Literal["Accepted", "Blocked", "Expired", "Invalid", "Unknown"]
_STATUS_OF: Final[dict[str, Status]] = {
    office.UNKNOWN: "Unknown",
    office.NOT_YET: "Invalid",
    office.ENDED: "Blocked",
    office.EXPIRED: "Expired",
}


class Judged(NamedTuple):
    """What is answered for a token, whose it is and which session it belongs to.

    Ids are empty where there is none; ``group_id`` is whose members may end its charge.
    """

    status: Status
    subject_id: str = ""
    session_id: str = ""
    group_id: str = ""


def subject_of(vault: Vault, text: str, token_type: str = "") -> str:
    """Return the subject of a token; empty for a text that is nobody's."""
    if not text or token_type in NOBODY:
        return ""
    for kind in (*_KINDS.get(token_type, _CARD), KIND):
        for spelt in (text, text.upper(), text.lower()):
            found = vault.find_subject(kind, spelt)
            if found is not None:
                return found
    return vault.subject_of(KIND, text)


def authorize(
    desk: Desk,
    peer: Peer,
    text: str,
    token_type: str = "",
    *,
    evse_id: str = "",
    at: Instant | None = None,
    repeat: bool = True,
) -> Judged:
    """Ask the CSO for a token that was shown, and say what it answers.

    Without an EVSE it was shown at the station. ``at`` is when, if not now. With
    ``repeat`` false nothing is asked again of whom a session authorized already.

    Where the CSO does not answer at once the token is not accepted yet: the station may
    ask again, and is told what was answered meanwhile.
    """
    at = desk.now if at is None else at
    system = desk.system
    subject_id = subject_of(system.vault, text, token_type)
    if not subject_id or peer.standing is Standing.REJECTED:
        return Judged("Invalid", subject_id)
    if not evse_id and len(peer.evse_ids) == 1:
        evse_id = peer.evse_ids[0]
    try:
        known = _authorized(desk, peer, subject_id, evse_id, at)
        if known and not repeat:
            group_id = system.cso.group_of(subject_id, at)
            return Judged("Accepted", subject_id, known, group_id)
        asked = office.AskAuthorization(
            evse_id=evse_id,
            station_id=peer.station_id,
            subject_id=subject_id,
            credential=sealed(system.vault, subject_id, evse_id, text),
        )
        answer = office.authorize(system, asked, By(actor=peer.station_id, at=at))
    except (Refused, InvalidValue, Unknown, Conflict):
        return Judged("Invalid", subject_id)
    rows = system.log.read_at(range(answer.first, answer.first + answer.count))
    judged = _judged(known, subject_id, [row.event for row in rows])
    return judged._replace(group_id=system.cso.group_of(subject_id, at))


def _authorized(
    desk: Desk, peer: Peer, subject_id: str, evse_id: str, at: Instant
) -> str:
    """Return the session that authorized the subject here; empty: none did."""
    known = find_open(
        desk.system,
        at,
        evse_id=evse_id,
        subject_id=subject_id,
        station_id=peer.station_id,
    )
    if known is None or not known.authorized or known.subject_id != subject_id:
        return ""
    return known.session_id


def _judged(known: str, subject_id: str, events: list[object]) -> Judged:
    status: Status = "Accepted" if known else "Invalid"
    session_id = known
    for event in events:
        match event:
            case s.AuthorizationRequested():
                session_id = event.session_id
            case s.AuthorizationAccepted():
                status = "Accepted"
            case s.AuthorizationRefused():
                status = _STATUS_OF.get(event.reason, "Invalid")
    return Judged(status, subject_id, session_id)


def judged_of(peer: Peer, said: Authorization | None, session_id: str) -> Judged:
    """Return what is answered for a token where the CSO said so; None: nothing yet.

    At a station that is rejected nobody may charge.
    """
    if said is None or peer.standing is Standing.REJECTED:
        return Judged("Invalid", "", session_id)
    status: Status = (
        "Accepted" if said.accepted else _STATUS_OF.get(said.reason, "Invalid")
    )
    return Judged(status, "", session_id)


def sealed(vault: Vault, subject_id: str, evse_id: str, text: str) -> Sealed | None:
    """Seal a token that was shown at an EVSE, for whose it is."""
    try:
        return vault.seal(subject_id, credential_context(evse_id), text.encode())
    except Refused:  # its key was destroyed: what was shown is not kept any more
        return None


def id_tag_info(judged: Judged) -> d16.IdTagInfo:
    """Return the answer of 1.6, which has no word for a token nobody knows."""
    status = "Invalid" if judged.status == "Unknown" else judged.status
    return d16.IdTagInfo(status=status, parent_id_tag=judged.group_id or UNSET)


def id_token_info_2_0_1(judged: Judged) -> d201.IdTokenInfo:
    """Return the answer of 2.0.1, with the session that the token is in."""
    group = d201.IdToken(id_token=judged.group_id, type="Central")
    return d201.IdTokenInfo(
        status=judged.status,
        custom_data=_reference(judged),
        group_id_token=group if judged.group_id else UNSET,
    )


def id_token_info_2_1(judged: Judged) -> d21.IdTokenInfo:
    """Return the answer of 2.1, with the session that the token is in."""
    group = d21.IdToken(id_token=judged.group_id, type="Central")
    return d21.IdTokenInfo(
        status=judged.status,
        custom_data=_reference(judged),
        group_id_token=group if judged.group_id else UNSET,
    )


def _reference(judged: Judged) -> CustomData | UnsetType:
    if judged.status != "Accepted" or not judged.session_id:
        return UNSET
    return CustomData({"vendorId": VENDOR_ID, "sessionId": judged.session_id})
