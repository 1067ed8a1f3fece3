"""What an activity's call is made of: its station, and what is opened to be sent."""

from api.ocpp.asking import Asking, ListEntry
from api.ocpp.charging_profiles import Request, evse_of_etp
from api.ocpp.desk import Desk
from api.ocpp.etp import start_request
from api.ocpp.peers import Peer
from domain.errors import InvalidValue, Refused
from domain.model.activity_events import ActivityAsked, ActivityKind
from domain.model.values import SECOND
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.clause_7_3_availability import OPERATIVE, YES
from domain.use_cases.clause_7_3_passwords import PASSWORD_CONTEXT
from domain.use_cases.s2_local_lists import (
    CONTRACTS,
    FULL,
    UPDATE,
    contracts_of,
    token_of,
)
from domain.use_cases.shared_path import load_evse


def asking_of(desk: Desk, peer: Peer, activity: ActivityAsked) -> Asking:
    """Return an activity with what its call is made of; raise `Refused`."""
    assert peer.version is not None  # it is connected
    _check_profile(peer, activity)
    _check_availability(desk, peer, activity)
    number = peer.evse_number(activity.evse_id) if activity.evse_id else 0
    transaction = peer.transactions.get(number)
    is_start = activity.kind == ActivityKind.REMOTE_START
    return Asking(
        activity=activity,
        version=peer.version,
        evse_number=number,
        transaction_id=None if transaction is None else transaction.transaction_id,
        token=_token(desk, activity),
        profile=_profile(desk, peer, number) if is_start else None,
        entries=_entries(desk, activity),
        group_id=desk.system.cso.group_of(activity.subject_id, desk.now),
    )


def _check_profile(peer: Peer, activity: ActivityAsked) -> None:
    """Refuse to clear an ETP: it is the planner's, and counted on."""
    told = dict(activity.parameters)
    if activity.kind != ActivityKind.CLEAR_PROFILE or "profile_id" not in told:
        return
    number = int(told["profile_id"])
    if evse_number := evse_of_etp(number, len(peer.evse_ids)):
        raise Refused(
            f"profile {number} is the ETP of EVSE {evse_number}, which only a newer "
            "plan changes"
        )


def _check_availability(desk: Desk, peer: Peer, activity: ActivityAsked) -> None:
    """Refuse to put to use what is blocked, also as one connector of all (1.6)."""
    told = dict(activity.parameters)
    if activity.kind != ActivityKind.CHANGE_AVAILABILITY or told[OPERATIVE] != YES:
        return
    together = peer.evse_ids if peer.version == "1.6" else ()
    for evse_id in (activity.evse_id,) if activity.evse_id else together:
        load_evse(desk.system, evse_id).check_usable(evse_id)


def _profile(desk: Desk, peer: Peer, number: int) -> Request | None:
    """Return what a transaction begins with: no more than its ETP, nor the default.

    The default holds without it, and is what the EVSE is counted at.
    """
    told = peer.etps.get(number)
    if told is None or peer.told is None or not peer.told.has_smart_charging:
        return None
    later = told.etp.profile.changes
    from_s = (desk.now - told.etp.profile.start_at) // SECOND
    powers_w = [power_w for at_s, power_w in later if at_s > from_s]
    powers_w.append(told.etp.profile.power_w(desk.now))
    if peer.defaults is not None:
        powers_w.append(peer.defaults.default_w)
    wiring = peer.wiring(told.etp.evse_id)
    try:
        return start_request(min(powers_w), wiring, peer.capabilities, told.etp.number)
    except InvalidValue:  # its limits say nothing of power there: it starts as it would
        return None


def _token(desk: Desk, activity: ActivityAsked) -> str:
    if activity.credential is None:
        return ""
    if activity.kind == ActivityKind.CHANGE_PASSWORD:
        context = PASSWORD_CONTEXT
    else:
        context = credential_context(activity.evse_id)
    opened = desk.system.vault.open(activity.credential, context)
    if opened is None:
        raise Refused("the credential was erased")
    return opened.decode()


def _entries(desk: Desk, activity: ActivityAsked) -> tuple[ListEntry, ...]:
    """Return what a local list has now: tokens of contracts, opened to be sent."""
    if activity.kind != ActivityKind.LOCAL_LIST:
        return ()
    told = dict(activity.parameters)
    found = [
        ListEntry(kind, text, each.is_valid, each.until_at, each.registered.group_id)
        for each in contracts_of(desk.system, told[CONTRACTS].split(), desk.now)
        for kind, text in [token_of(desk.system.vault, each)]
        if text
    ]
    if told[UPDATE] == FULL:
        found = [entry for entry in found if entry.is_valid]
    return tuple({entry.text: entry for entry in found}.values())
