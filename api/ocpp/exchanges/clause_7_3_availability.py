"""7.3 What an operator takes out of use or puts to use, as its station takes it in.

The station keeps it over reboots. What it says is `Scheduled` comes when nobody charges
there any more: then it tells that the connector is unavailable.
"""

from typing import Final

from api.ocpp.desk import Desk
from api.ocpp.exchange import ALL_VERSIONS, Carrier, InformationExchange, Module
from api.ocpp.exchanges.clause_7_10_safety import keep_from_use
from api.ocpp.facts import record_fact
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from domain.model import ids
from domain.model import station_events as t
from domain.model.activity_events import ActivityAsked, ActivityKind, Outcome
from domain.ports import Recorded
from domain.use_cases.clause_7_3_activities import (
    SCHEDULED,
    EndActivity,
    end_activity,
    load_activity,
    open_activities,
)
from domain.use_cases.clause_7_3_availability import OPERATIVE, YES
from domain.use_cases.shared_path import By

_OUT_OF_USE: Final = "Unavailable"


def taken(gateway: Gateway, desk: Desk, peer: Peer, activity: ActivityAsked) -> None:
    """Record what the station took in; what is blocked stays kept from use.

    In 1.6 what is said of the station is said of each of its connectors.
    """
    is_operative = dict(activity.parameters)[OPERATIVE] == YES
    is_whole = not activity.evse_id
    of = [activity.evse_id]
    if is_whole and peer.version == "1.6":
        of += peer.evse_ids
    for each in of:
        event = t.StationUseChanged(
            station_id=peer.station_id, evse_id=each, is_operative=is_operative
        )
        record_fact(desk, peer, ids.station_stream(peer.station_id), event)
        peer.take_use(event)
    _replace_older(desk, peer, activity)
    for evse_id in peer.evse_ids if is_whole else of:
        keep_from_use(gateway, desk, peer, evse_id)


def _replace_older(desk: Desk, peer: Peer, activity: ActivityAsked) -> None:
    """End what was scheduled before for the same place."""
    for older in _scheduled(desk, peer.station_id):
        is_same = older.activity_id == activity.activity_id
        if older.evse_id == activity.evse_id and not is_same:
            _end(desk, older, Outcome.FAILED, "another one came after it")


def out_of_use(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End what was scheduled when the station tells that it has come."""
    event = row.event
    assert isinstance(event, t.StationStatusReported)
    peer = gateway.peers.by_id.get(event.station_id)
    if peer is None or event.status != _OUT_OF_USE:
        return
    for activity in _scheduled(desk, peer.station_id):
        numbers = [peer.evse_number(activity.evse_id)] if activity.evse_id else []
        if _is_out_of_use(peer, numbers or list(range(1, len(peer.evse_ids) + 1))):
            _end(desk, activity, Outcome.DONE, "it is out of use")


def _is_out_of_use(peer: Peer, numbers: list[int]) -> bool:
    """Whether all connectors of some EVSEs that are known are out of use."""
    told = {n: status for (n, _), (status, _, _) in peer.statuses.items()}
    of_all = [s[0] for (n, _), s in peer.statuses.items() if n in numbers]
    is_known = all(number in told for number in numbers)
    return is_known and all(status == _OUT_OF_USE for status in of_all)


def _scheduled(desk: Desk, station_id: str) -> list[ActivityAsked]:
    return [
        each
        for each in open_activities(desk.system, station_id)
        if each.kind == ActivityKind.CHANGE_AVAILABILITY
        and load_activity(desk.system, each.activity_id).last_step == SCHEDULED
    ]


def _end(desk: Desk, activity: ActivityAsked, outcome: Outcome, detail: str) -> None:
    over = EndActivity(activity_id=activity.activity_id, outcome=outcome, detail=detail)
    end_activity(desk.system, over, By(actor=activity.station_id, at=desk.now))


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.3",
            "a station or an EVSE is taken out of use, or put to use",
            (
                Carrier(
                    ("1.6",),
                    "=",
                    ("ChangeAvailability",),
                    "out",
                    "of the station: all its connectors",
                ),
                Carrier(ALL_VERSIONS[1:], "=", ("ChangeAvailability",), "out"),
                Carrier(
                    ALL_VERSIONS,
                    "=",
                    ("StatusNotification",),
                    "in",
                    "what was scheduled has come",
                ),
            ),
        ),
    ),
    followers={t.StationStatusReported: out_of_use},
)
