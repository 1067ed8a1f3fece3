"""S3 Remote start and stop, and what operators ask of stations, as activities.

An activity that was asked for is carried out when its station is there: at once, or
when it connects. It ends by the station's answer where that says all, else by what the
station reports then: its transaction, its boot. What a lost connection left unknown is
asked again where that does no harm, and otherwise waits for such a report.
"""

from functools import partial
from typing import Final

from api.ocpp.activity_calls import call_of, verdict_of
from api.ocpp.asking import Asking, Verdict
from api.ocpp.asking_of import asking_of
from api.ocpp.calls import Answered, Call, NotAnswered, Refusal
from api.ocpp.desk import Desk, Pace
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.exchanges.clause_7_3_availability import taken
from api.ocpp.exchanges.clause_7_3_standing_profiles import install
from api.ocpp.exchanges.s1_reservations import answered_reservation
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer, Standing
from domain.errors import InvalidValue, Refused
from domain.model import station_events as t
from domain.model.activity_events import (
    ActivityAsked,
    ActivityEnded,
    ActivityKind,
    ActivityTimedOut,
    Outcome,
)
from domain.model.values import SECOND
from domain.ports import Recorded
from domain.store.erasure import erase_subject
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.clause_7_3_activities import (
    AGAIN,
    NOT_SENT,
    SCHEDULED,
    SENT,
    UNANSWERED,
    EndActivity,
    ProgressActivity,
    end_activity,
    load_activity,
    open_activities,
    progress_activity,
)
from domain.use_cases.clause_7_3_passwords import settle_password
from domain.use_cases.clause_7_3_stations import digest_of
from domain.use_cases.s3_remote_start import GiveUpStart, give_up_start
from domain.use_cases.shared_path import By

# A station that connects may boot next; whoever does not is spoken to after this.
BOOTS_WITHIN: Final = 10 * SECOND

# Of what a station says to an error no more is kept.
_LONGEST: Final = 255

# What is not asked again where it may have been carried out: it ends or begins a
# charge that somebody meanwhile decided on anew, or is not the same a second time.
_ONCE: Final = frozenset(
    {
        ActivityKind.REMOTE_START,
        ActivityKind.RESET,
        ActivityKind.UNLOCK,
        ActivityKind.UPDATE_FIRMWARE,
        ActivityKind.DATA_TRANSFER,
    }
)
# What a station that is not commissioned is asked, too.
_WHILE_PENDING: Final = frozenset(
    {
        ActivityKind.RESET,
        ActivityKind.TRIGGER,
        ActivityKind.GET_VARIABLES,
        ActivityKind.SET_VARIABLES,
        ActivityKind.UPDATE_FIRMWARE,
        ActivityKind.GET_LOG,
        ActivityKind.NETWORK_PROFILE,
        ActivityKind.CHANGE_PASSWORD,
    }
)


def asked(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Carry out an activity, where its station is there."""
    assert isinstance(row.event, ActivityAsked)
    peer = gateway.peers.by_id.get(row.event.station_id)
    if peer is not None:
        _carry_out(gateway, desk, peer, row.event)


def connected(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Go on with what is still to be done, a while after the station connected."""
    for activity in open_activities(desk.system, peer.station_id):
        state = load_activity(desk.system, activity.activity_id)
        if state.last_step == SENT and activity.kind not in _ONCE:
            _progress(desk, activity, AGAIN)
    carry_on = partial(_carry_on, gateway, station_id=peer.station_id)
    gateway.at(desk.now + BOOTS_WITHIN, carry_on, Pace.LATER)


def accepted(gateway: Gateway, desk: Desk, peer: Peer) -> None:
    """Go on with what is still to be done: the station booted."""
    _carry_on(gateway, desk, peer.station_id)


def transaction_bound(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the remote start whose session has a transaction of the station now."""
    event = row.event
    assert isinstance(event, t.StationTransactionBound)
    for activity in _open(desk, event.station_id, ActivityKind.REMOTE_START):
        session_id = resolve(desk.system, activity.session_id).session_id
        if session_id == resolve(desk.system, event.session_id).session_id:
            _end(desk, activity, Outcome.DONE, "its transaction began")


def transaction_reported(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the remote stop of a transaction that ended; begin what waited for that."""
    event = row.event
    assert isinstance(event, t.StationTransactionReported)
    if event.kind != "ended" or event.is_offline:
        return
    for activity in _open(desk, event.station_id, ActivityKind.REMOTE_STOP):
        if activity.evse_id == event.evse_id:
            _end(desk, activity, Outcome.DONE, "its transaction ended")
    _carry_on(gateway, desk, event.station_id)


def booted(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """End the reset after which the station booted."""
    assert isinstance(row.event, t.StationBooted)
    for activity in _open(desk, row.event.station_id, ActivityKind.RESET):
        is_waiting = load_activity(desk.system, activity.activity_id).is_waiting
        if not activity.evse_id and not is_waiting:
            _end(desk, activity, Outcome.DONE, "the station booted")


def given_up(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Let nobody else charge on a remote start that nothing came of.

    A password that was told is readable no more, however that ended.
    """
    event = row.event
    assert isinstance(event, ActivityEnded | ActivityTimedOut)
    _forget_password(desk, event.activity_id)
    if isinstance(event, ActivityEnded) and event.outcome == Outcome.DONE:
        return
    activity = load_activity(desk.system, event.activity_id).asked
    if activity is not None and activity.kind == ActivityKind.REMOTE_START:
        command = GiveUpStart(evse_id=activity.evse_id, session_id=activity.session_id)
        give_up_start(desk.system, command, _by(desk, activity))


def _forget_password(desk: Desk, activity_id: str) -> None:
    activity = load_activity(desk.system, activity_id).asked
    if activity is None or activity.kind != ActivityKind.CHANGE_PASSWORD:
        return
    log, vault = desk.system.log, desk.system.vault
    erase_subject(log, vault, activity.subject_id, at=desk.now, actor="gateway")


def _open(desk: Desk, station_id: str, kind: ActivityKind) -> list[ActivityAsked]:
    return [a for a in open_activities(desk.system, station_id) if a.kind == kind]


def _carry_on(gateway: Gateway, desk: Desk, station_id: str) -> None:
    peer = gateway.peers.by_id[station_id]
    for activity in open_activities(desk.system, station_id):
        _carry_out(gateway, desk, peer, activity)


def _carry_out(
    gateway: Gateway, desk: Desk, peer: Peer, activity: ActivityAsked
) -> None:
    """Ask the station, if it was not asked yet and there is nothing to wait for."""
    state = load_activity(desk.system, activity.activity_id)
    if activity.kind == ActivityKind.ENFORCE:
        return  # goes rung by rung, by `e5_info2_enforcement`
    if peer.connection is None or not state.is_waiting or _is_to_wait(peer, activity):
        return
    try:
        asking = asking_of(desk, peer, activity)
        action, request = call_of(asking)
    except (InvalidValue, Refused) as error:
        _end(desk, activity, Outcome.REFUSED, str(error))
        return
    _progress(desk, activity, SENT)
    gateway.ask(desk, peer, Call(action, request, partial(_answered, asking=asking)))


def _is_to_wait(peer: Peer, activity: ActivityAsked) -> bool:
    """Whether the station is not accepted yet, or to be idle first.

    A soft reset of 1.6 ends transactions, so that it is we who wait for their end.
    """
    if peer.standing is not Standing.ACCEPTED:
        return activity.kind not in _WHILE_PENDING
    return (
        activity.kind == ActivityKind.RESET
        and peer.version == "1.6"
        and dict(activity.parameters).get("how") == "on-idle"
        and bool(peer.transactions)
    )


def _answered(
    gateway: Gateway, desk: Desk, peer: Peer, answered: Answered, *, asking: Asking
) -> None:
    activity = asking.activity
    match answered:
        case Refusal():
            told = f"{answered.code}: {answered.description}"[:_LONGEST]
            _judged(gateway, desk, peer, asking, Verdict(Outcome.REFUSED, detail=told))
        case NotAnswered.NOT_CONNECTED | NotAnswered.SUPERSEDED:
            _progress(desk, activity, NOT_SENT, answered.value)
        case NotAnswered.DISCONNECTED if activity.kind not in _ONCE:
            _progress(desk, activity, AGAIN, answered.value)
        case NotAnswered():
            _progress(desk, activity, UNANSWERED, answered.value)
        case _:
            _judged(gateway, desk, peer, asking, verdict_of(asking, answered))


def _judged(
    gateway: Gateway, desk: Desk, peer: Peer, asking: Asking, verdict: Verdict
) -> None:
    activity, outcome = asking.activity, verdict.outcome
    is_taken = outcome is Outcome.DONE or verdict.step == SCHEDULED
    if activity.kind == ActivityKind.CHANGE_AVAILABILITY and is_taken:
        taken(gateway, desk, peer, activity)
    if outcome is None:
        _progress(desk, activity, verdict.step, verdict.detail)
        return
    _end(desk, activity, outcome, verdict.detail, verdict.results)
    if activity.kind == ActivityKind.RESERVE:
        answered_reservation(desk, peer, activity, outcome, verdict.detail)
    if activity.kind == ActivityKind.CHANGE_PASSWORD:
        by = _by(desk, activity)
        settle_password(desk.system, activity, outcome, asking.token, by)
        if outcome is Outcome.DONE and peer.connection is not None:
            peer.connection.proves_by(digest_of(asking.token))
    if activity.kind == ActivityKind.CLEAR_PROFILE and outcome is Outcome.DONE:
        install(gateway, desk, peer)  # what was cleared may have been ours


def _progress(desk: Desk, activity: ActivityAsked, step: str, detail: str = "") -> None:
    command = ProgressActivity(
        activity_id=activity.activity_id, step=step, detail=detail
    )
    progress_activity(desk.system, command, _by(desk, activity))


def _end(
    desk: Desk,
    activity: ActivityAsked,
    outcome: Outcome,
    detail: str,
    results: tuple[tuple[str, str], ...] = (),
) -> None:
    command = EndActivity(
        activity_id=activity.activity_id,
        outcome=outcome,
        detail=detail,
        results=results,
    )
    end_activity(desk.system, command, _by(desk, activity))


def _by(desk: Desk, activity: ActivityAsked) -> By:
    return By(actor=activity.station_id, at=desk.now)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "S3.Info1",
            "an EV user who is known by other means may charge, or no more",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("RemoteStartTransaction", "RemoteStopTransaction"),
                    "out",
                    "its session is known by the EVSE, no reference is carried",
                ),
                Carrier(
                    V2,
                    "=",
                    ("RequestStartTransaction", "RequestStopTransaction"),
                    "out",
                    "`remoteStartId` stands for the session",
                ),
            ),
        ),
        InformationExchange(
            "M5.Info1",
            "the station reboots",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("Reset",),
                    "out",
                    "the whole station only; when idle: sent when it is",
                ),
                Carrier(V2, "~", ("Reset",), "out", "at once, or when idle"),
            ),
        ),
        InformationExchange(
            "7.3",
            "what operators ask of a station",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    (
                        *("UnlockConnector", "TriggerMessage"),
                        *("GetConfiguration", "ChangeConfiguration"),
                    ),
                    "out",
                    "nothing for its display",
                ),
                Carrier(
                    V2,
                    "=",
                    (
                        *("UnlockConnector", "TriggerMessage"),
                        *("GetVariables", "SetVariables", "SetDisplayMessage"),
                    ),
                    "out",
                ),
            ),
        ),
    ),
    followers={
        ActivityAsked: asked,
        ActivityEnded: given_up,
        ActivityTimedOut: given_up,
        t.StationTransactionBound: transaction_bound,
        t.StationTransactionReported: transaction_reported,
        t.StationBooted: booted,
    },
    on_connected=connected,
    on_accepted=accepted,
)
