"""E1.Info1 What an EV needs and until when: NotifyEVChargingNeeds (ISO 15118).

The EV names what it still needs; ours count from its arrival on. What it does not name
stays as it was known. Needs that come before the EV's session wait for it.
"""

from typing import Final, NamedTuple

from msgspec import UnsetType

from api.ocpp.clock import our_time
from api.ocpp.codec import encode
from api.ocpp.desk import Desk
from api.ocpp.exchange import Carrier, InformationExchange, Module
from api.ocpp.gateway import Gateway
from api.ocpp.kept import may_keep
from api.ocpp.peers import Peer
from api.ocpp.unreadable import keep_message
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as v201
from domain.errors import InvalidValue, Refused, Unknown
from domain.model.session import Session
from domain.model.values import QUARTER_HOUR, Instant, Quality, instant_of
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.e1_smart_charging import WISH_LIMIT_WH, StateNeeds, state_needs
from domain.use_cases.shared_path import By, load_evse

Request = v201.NotifyEVChargingNeedsRequest | v21.NotifyEVChargingNeedsRequest
Needs = d201.ChargingNeeds | d21.ChargingNeeds
Number = float | UnsetType


class Still(NamedTuple):
    """What an EV still needs [Wh]; None: it does not say."""

    target_wh: int | None = None
    least_wh: int | None = None
    most_wh: int | None = None


class Refusal(NamedTuple):
    """Why needs are refused, as the protocol names it and in words."""

    code: str
    text: str


def needs_2_0_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v201.NotifyEVChargingNeedsRequest
) -> v201.NotifyEVChargingNeedsResponse:
    """Take in the needs of an EV at a station of 2.0.1."""
    if not _can_be_planned(peer):
        return v201.NotifyEVChargingNeedsResponse(status="Rejected")
    answer = _take(desk, peer, request)
    if isinstance(answer, Refusal):
        info = d201.StatusInfo(
            reason_code=answer.code, additional_info=answer.text[:512]
        )
        return v201.NotifyEVChargingNeedsResponse(status="Rejected", status_info=info)
    return v201.NotifyEVChargingNeedsResponse(
        status="Accepted" if answer else "Processing"
    )


def needs_2_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v21.NotifyEVChargingNeedsRequest
) -> v21.NotifyEVChargingNeedsResponse:
    """Take in the needs of an EV at a station of 2.1."""
    if not _can_be_planned(peer):
        return v21.NotifyEVChargingNeedsResponse(status="NoChargingProfile")
    answer = _take(desk, peer, request)
    if isinstance(answer, Refusal):
        info = d21.StatusInfo(
            reason_code=answer.code, additional_info=answer.text[:1024]
        )
        return v21.NotifyEVChargingNeedsResponse(status="Rejected", status_info=info)
    return v21.NotifyEVChargingNeedsResponse(
        status="Accepted" if answer else "Processing"
    )


def _can_be_planned(peer: Peer) -> bool:
    """Whether a profile can follow: not at a station without smart charging."""
    return peer.told is None or peer.told.has_smart_charging


def _take(desk: Desk, peer: Peer, request: Request) -> bool | Refusal:
    """State the needs; whether a plan follows at once. A session may still come."""
    evse_id = peer.evse_id(request.evse_id)
    if evse_id is None:
        peer.unreadable["UNKNOWN_EVSE"] += 1
        return Refusal("UnknownEvse", f"no EVSE {request.evse_id} was commissioned")
    try:
        _check_limits(request.charging_needs)
        still = still_needed(request.charging_needs)
        is_stated = _state(desk, peer, request, evse_id, still)
    except (InvalidValue, Refused, Unknown) as error:
        if may_keep(desk, peer):
            action, payload = "NotifyEVChargingNeeds", encode(request)
            keep_message(
                desk, peer, action, Quality.CONTRADICTS, str(error)[:255], payload
            )
        return Refusal("InvalidValue", str(error))
    if is_stated:
        peer.waiting_needs.pop(request.evse_id, None)
        _hand_over_periods(peer, request)
    else:
        peer.waiting_needs[request.evse_id] = request
    return is_stated


def _state(
    desk: Desk, peer: Peer, request: Request, evse_id: str, still: Still
) -> bool:
    session_id = load_evse(desk.system, evse_id).session_id
    if not session_id:
        return False
    session = resolve(desk.system, session_id)
    departure = request.charging_needs.departure_time
    told_at = None if isinstance(departure, UnsetType) else instant_of(departure)
    leaves_at = None if told_at is None else our_time(peer, told_at)
    command = needs_from_arrival(session, still, leaves_at, desk.now)
    by = By(actor=peer.station_id, at=desk.now)
    command.check(by.at)
    if not _is_known(session, command):
        state_needs(desk.system, command, by)
    return True


def _is_known(session: Session, command: StateNeeds) -> bool:
    known = session.needs
    return (
        known is not None
        and known.source == "ev"
        and (known.departure_at, known.energy_target_wh)
        == (command.departure_at, command.energy_target_wh)
        and (known.energy_min_wh, known.energy_max_wh)
        == (command.energy_min_wh, command.energy_max_wh)
    )


def needs_from_arrival(
    session: Session, still: Still, departure_at: Instant | None, now: Instant
) -> StateNeeds:
    """Return needs that count from the arrival on; what is not told stays as known."""
    known, so_far_wh = session.needs, session.energy_wh
    if departure_at is None:
        known_at = 0 if known is None else known.departure_at
        departure_at = max(known_at, now + QUARTER_HOUR)
    target_wh = 0 if known is None else known.energy_target_wh
    if still.target_wh is not None:
        target_wh = still.target_wh + so_far_wh
    most_wh = None if still.most_wh is None else still.most_wh + so_far_wh
    if still.least_wh is not None:
        least_wh = still.least_wh + so_far_wh
    else:
        least_wh = 0 if known is None else min(known.energy_min_wh, target_wh)
    return StateNeeds(
        session_id=session.session_id,
        departure_at=departure_at,
        energy_target_wh=target_wh,
        energy_min_wh=least_wh,
        energy_max_wh=most_wh,
        cost_limit_minor=None if known is None else known.cost_limit_minor,
        currency="" if known is None else known.currency,
        source="ev",
    )


def still_needed(needs: Needs) -> Still:
    """Return what an EV says it still needs, by the parameters that say most."""
    if isinstance(needs, d21.ChargingNeeds):
        v2x = needs.v2x_charging_parameters
        if not isinstance(v2x, UnsetType):
            target_wh = _energy(v2x.ev_target_energy_request)
            if target_wh is not None:
                return Still(
                    target_wh,
                    _energy(v2x.ev_min_energy_request),
                    _energy(v2x.ev_max_energy_request),
                )
    dc = needs.dc_charging_parameters
    if not isinstance(dc, UnsetType):
        return _still_dc(dc)
    ac = needs.ac_charging_parameters
    if not isinstance(ac, UnsetType):
        return Still(_asked("energyAmount", ac.energy_amount))
    return Still()


def _still_dc(dc: d201.DCChargingParameters | d21.DCChargingParameters) -> Still:
    """Return what an EV needs by its amount, else by its battery."""
    capacity, soc = dc.ev_energy_capacity, dc.state_of_charge
    most_wh = target_wh = None
    if not isinstance(capacity, UnsetType) and not isinstance(soc, UnsetType):
        _asked("evEnergyCapacity", capacity)
        full = 100 if isinstance(dc.full_so_c, UnsetType) else dc.full_so_c
        bulk = full if isinstance(dc.bulk_so_c, UnsetType) else dc.bulk_so_c
        if bulk > full:
            raise InvalidValue(f"needs: bulkSoC {bulk} % is above fullSoC {full} %")
        most_wh = int(capacity * max(0, full - soc) // 100)
        target_wh = int(capacity * max(0, bulk - soc) // 100)
    if not isinstance(dc.energy_amount, UnsetType):
        target_wh = _asked("energyAmount", dc.energy_amount)
        if most_wh is not None and target_wh is not None:
            # An EV counts what it heats and cools with, its battery does not.
            most_wh = max(most_wh, target_wh)
    return Still(target_wh, None, most_wh)


def _energy(asked_wh: Number) -> int | None:
    """Return an amount; ISO 15118-20 has negative ones where there is enough."""
    if isinstance(asked_wh, UnsetType):
        return None
    return max(0, int(min(asked_wh, WISH_LIMIT_WH + 1)))


def _asked(name: str, asked_wh: float) -> int:
    if not 0 <= asked_wh <= WISH_LIMIT_WH:
        raise InvalidValue(f"needs: {name} {asked_wh} Wh is not 0..{WISH_LIMIT_WH} Wh")
    return int(asked_wh)


def _check_limits(needs: Needs) -> None:
    """Refuse limits that contradict themselves."""
    ac = needs.ac_charging_parameters
    if not isinstance(ac, UnsetType) and ac.ev_min_current > ac.ev_max_current:
        raise InvalidValue(
            f"needs: evMinCurrent {ac.ev_min_current} A is above evMaxCurrent "
            f"{ac.ev_max_current} A"
        )


def _hand_over_periods(peer: Peer, request: Request) -> None:
    """Let the encoder know how many periods the EV takes."""
    transaction = peer.transactions.get(request.evse_id)
    most = request.max_schedule_tuples
    if transaction is not None and not isinstance(most, UnsetType) and most > 0:
        transaction.max_periods = most


def _began(gateway: Gateway, desk: Desk, peer: Peer, evse_number: int) -> None:
    """State needs that waited for their session."""
    request = peer.waiting_needs.pop(evse_number, None)
    if isinstance(
        request, v201.NotifyEVChargingNeedsRequest | v21.NotifyEVChargingNeedsRequest
    ):
        _take(desk, peer, request)


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "what an EV needs, and until when",
            (
                Carrier(("2.1",), "=", ("NotifyEVChargingNeeds",), "in"),
                Carrier(
                    ("2.0.1",),
                    "~",
                    ("NotifyEVChargingNeeds",),
                    "in",
                    "neither control mode nor minimum and maximum; whole numbers",
                ),
                Carrier(
                    ("1.6",),
                    "∅",
                    note="the EV user's app over `/v1`, else the zone's default",
                ),
            ),
        ),
    ),
    handlers={
        ("2.0.1", "NotifyEVChargingNeeds"): needs_2_0_1,
        ("2.1", "NotifyEVChargingNeeds"): needs_2_1,
    },
    on_transaction=_began,
)
