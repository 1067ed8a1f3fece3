"""What a station is told of tokens, as calls: local lists and reservations.

A token is in the clear on the wire only; a group that was erased is not sent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from msgspec import UNSET

from api.ocpp.asking import (
    Asking,
    ListEntry,
    Verdict,
    id_token_of,
    is_short_enough,
    reason_of,
)
from api.ocpp.v2 import V2_TYPES
from api.ocpp.v16 import datatypes as d16
from api.ocpp.v16 import messages as m16
from api.ocpp.wire import Wire
from domain.model.activity_events import ActivityKind, Outcome
from domain.model.values import datetime_of
from domain.use_cases.s1_station_reservations import NUMBER, UNTIL
from domain.use_cases.s2_local_lists import DIFFERENTIAL, FULL, UPDATE, VERSION
from domain.use_cases.s3_remote_start import TOKEN_KIND

_UPDATES: Final[Mapping[str, Literal["Full", "Differential"]]] = {
    FULL: "Full",
    DIFFERENTIAL: "Differential",
}


def _local_list_version(asking: Asking) -> tuple[str, Wire]:
    messages = m16 if asking.version == "1.6" else V2_TYPES[asking.version][0]
    return "GetLocalListVersion", messages.GetLocalListVersionRequest()


def _version_told(asking: Asking, answer: Any) -> Verdict:
    number = getattr(answer, "list_version", UNSET)
    if number is UNSET:
        number = answer.version_number
    detail = {-1: "the station takes no list", 0: "the station has no list"}
    return Verdict(
        Outcome.DONE,
        detail=detail.get(number, ""),
        results=((VERSION, str(number)),),
    )


def _local_list(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    number, update = int(told[VERSION]), _UPDATES[told[UPDATE]]
    entries = tuple(_entry(asking, each) for each in _fitting(asking))
    if asking.version == "1.6":
        return "SendLocalList", m16.SendLocalListRequest(
            list_version=number, update_type=update, local_authorization_list=entries
        )
    messages, _ = V2_TYPES[asking.version]
    return "SendLocalList", messages.SendLocalListRequest(
        version_number=number,
        update_type=update,
        local_authorization_list=entries or UNSET,
    )


def _fitting(asking: Asking) -> list[ListEntry]:
    """Return the entries whose tokens the version has room for: no other is shown."""
    return [e for e in asking.entries if is_short_enough(asking.version, e.text)]


def _list_taken(asking: Asking, answer: Any) -> Verdict:
    found = {"Accepted": Outcome.DONE, "Failed": Outcome.FAILED}
    outcome = found.get(answer.status, Outcome.REFUSED)
    sent = len(_fitting(asking))
    results = (("tokens", str(sent)), ("too long", str(len(asking.entries) - sent)))
    return Verdict(outcome, detail=reason_of(answer), results=results)


def _entry(asking: Asking, entry: ListEntry) -> Any:
    """Return an entry; one without an answer takes its token off the list."""
    token = id_token_of(asking.version, entry.kind, entry.text)
    until = datetime_of(entry.until_at) if entry.until_at else UNSET
    if asking.version == "1.6":
        info = d16.IdTagInfo(
            status="Accepted",
            expiry_date=until,
            parent_id_tag=entry.group_id or UNSET,
        )
        return d16.LocalAuthorizationList(
            id_tag=token, id_tag_info=info if entry.is_valid else UNSET
        )
    _, types = V2_TYPES[asking.version]
    answer = types.IdTokenInfo(
        status="Accepted",
        cache_expiry_date_time=until,
        group_id_token=_group(asking, entry.group_id),
    )
    return types.AuthorizationData(
        id_token=token, id_token_info=answer if entry.is_valid else UNSET
    )


def _reserve(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    token = id_token_of(asking.version, told.get(TOKEN_KIND, ""), asking.token)
    until = datetime_of(int(told[UNTIL]))
    if asking.version == "1.6":
        return "ReserveNow", m16.ReserveNowRequest(
            connector_id=asking.evse_number,
            expiry_date=until,
            id_tag=token,
            parent_id_tag=asking.group_id or UNSET,
            reservation_id=int(told[NUMBER]),
        )
    messages, _ = V2_TYPES[asking.version]
    return "ReserveNow", messages.ReserveNowRequest(
        id=int(told[NUMBER]),
        expiry_date_time=until,
        id_token=token,
        group_id_token=_group(asking, asking.group_id),
        evse_id=asking.evse_number or UNSET,
    )


def _group(asking: Asking, group_id: str) -> Any:
    """Return a group as 2.x has it."""
    return id_token_of(asking.version, "", group_id) if group_id else UNSET


def _cancel_reservation(asking: Asking) -> tuple[str, Wire]:
    messages = m16 if asking.version == "1.6" else V2_TYPES[asking.version][0]
    number = int(asking.parameters[NUMBER])
    request: Wire = messages.CancelReservationRequest(reservation_id=number)
    return "CancelReservation", request


CALLS: Final[Mapping[str, Callable[[Asking], tuple[str, Wire]]]] = {
    ActivityKind.LOCAL_LIST_VERSION: _local_list_version,
    ActivityKind.LOCAL_LIST: _local_list,
    ActivityKind.RESERVE: _reserve,
    ActivityKind.CANCEL_RESERVATION: _cancel_reservation,
}

VERDICTS: Final[Mapping[str, Mapping[str, Outcome | str]]] = {
    ActivityKind.RESERVE: {"Accepted": Outcome.DONE},
    ActivityKind.CANCEL_RESERVATION: {"Accepted": Outcome.DONE},
}

JUDGES: Final[Mapping[str, Callable[[Asking, Any], Verdict]]] = {
    ActivityKind.LOCAL_LIST: _list_taken,
    ActivityKind.LOCAL_LIST_VERSION: _version_told,
}
