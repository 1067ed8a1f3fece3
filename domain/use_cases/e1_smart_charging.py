"""E1 Smart charging management (IEC 63110-1 8.2.3): what stations and EV users report.

The commands and facts that make up E1's event detection loop: an EV plugged or
unplugged (Info1), needs stated or changed, pauses and resumptions; by `shared_path`.
What follows from them, the update loop and the ETPs (Info2), is `domain.loop`.

What a station reports is recorded in any case. Where it contradicts what is known it is
kept as such and changes nothing.
"""

import re

import msgspec

from domain.errors import InvalidValue
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.session import Session
from domain.model.site import Evse
from domain.model.values import HOUR, SECOND, Instant, Quality, iso_of
from domain.ports import Answer, Append, Batch, System
from domain.use_cases.clause_6_2_guards import batch_of, step
from domain.use_cases.clause_6_2_joining import (
    Reference,
    binding,
    join_or_open,
    resolve,
)
from domain.use_cases.shared_path import (
    By,
    decision,
    load_evse,
    load_session,
    load_zone,
    record,
)

LONGEST_STAY = 31 * 24 * HOUR

# What a meter or a wish may say: an energy beyond this is a typing error.
ENERGY_LIMIT_WH = 1_000_000_000_000
WISH_LIMIT_WH = 100_000_000
COST_LIMIT_MINOR = 1_000_000_000_000

# The form of ISO 4217; which of them a site bills in is its CSO's to say.
_CURRENCY = re.compile(r"[A-Z]{3}")

# An EV may have taken a little more than its EVSE's limit allows, by the meter's class.
_METER_MARGIN = 0.05
_METER_MARGIN_WH = 100


def check_currency(name: str, currency: str) -> None:
    """Refuse what has not the form of a currency's code."""
    if not _CURRENCY.fullmatch(currency):
        raise InvalidValue(
            f"{name}: currency {currency!r} is not three capital letters"
        )


class PlugEv(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports an EV plugged into an EVSE (E1 Info1).

    ``register_wh`` is None where it tells none yet: then no transfer begins with it.
    """

    evse_id: str
    register_wh: int | None = 0
    reference: Reference | None = None
    subject_id: str = ""


def plug_ev(system: System, command: PlugEv, by: By) -> Answer:
    """Record the plug: the session joined or opened, the EVSE occupied, its needs.

    Needs stated before (with a reservation) are stated again after the binding, so that
    the zone's loop finds all it needs from there on; without any the zone's default is.
    An EVSE has one occupant. A plug where the EVSE is occupied is kept as a fact that
    contradicts and changes nothing; so is one where the EVSE is blocked, and what comes
    of that EV then is no session's.
    """

    def decide() -> Batch:
        if command.reference:
            command.reference.check()
        if command.subject_id:
            ids.name_of("subject id", command.subject_id)
        _check_storable("register_wh", command.register_wh or 0)
        evse = load_evse(system, command.evse_id)
        if evse.session_id:
            rule = "an EVSE has one occupant; it was occupied already"
            return _kept(evse.session_id, command.evse_id, "plugged", 1, rule, by)
        if evse.blocked:
            rule = f"nobody may use a blocked EVSE; it was blocked: {evse.blocked}"
            return _kept("", command.evse_id, "plugged", 1, rule, by)
        return _plugged(system, command, evse, by)

    return record(system, by, command, decide)


def _plugged(system: System, command: PlugEv, evse: Evse, by: By) -> Batch:
    data = evse.check_usable(command.evse_id)
    joined = join_or_open(
        system,
        by,
        reference=command.reference,
        evse_id=command.evse_id,
        subject_id=command.subject_id,
    )
    session_id = joined.state.session_id
    arrival = arrived(system, joined.state, data, by.at)
    occupied = z.EvseOccupied(evse_id=data.evse_id, session_id=session_id)
    reference = binding(system, session_id, command.reference)
    plugged = step(joined.state, by.at, *joined.opening, *reference, *arrival)
    batch = batch_of(system, [plugged])
    return msgspec.structs.replace(
        batch,
        appends=(
            *batch.appends,
            decision(ids.evse_stream(data.evse_id), evse, by.at, occupied),
            *_started(session_id, data.evse_id, command.register_wh, by.at),
        ),
    )


def _started(
    session_id: str, evse_id: str, register_wh: int | None, at: Instant
) -> tuple[Append, ...]:
    if register_wh is None:
        return ()
    started = s.TransferStarted(
        session_id=session_id,
        evse_id=evse_id,
        register_wh=register_wh,
        quality=Quality.GOOD if register_wh >= 0 else Quality.IMPLAUSIBLE,
    )
    return (Append(ids.session_stream(session_id), (started,), at),)


def arrived(
    system: System, state: Session, data: z.EvseCommissioned, at: Instant
) -> tuple[s.EvseBound, s.NeedsStated]:
    """Return what binds a session to an EVSE, and its needs, for the zone's loop."""
    bound = s.EvseBound(
        session_id=state.session_id,
        evse_id=data.evse_id,
        station_id=data.station_id,
        zone_id=data.zone_id,
    )
    needs = state.needs
    if needs is None or needs.source == "default":
        needs = _default_needs(system, data.zone_id, state.session_id, at)
    return bound, needs


def _kept(
    session_id: str, evse_id: str, what: str, value: int, rule: str, by: By
) -> Batch:
    """Return the batch that keeps a fact which contradicts what is known.

    Where no session has it, it is the EVSE's.
    """
    fact = z.EvseFactKept(
        evse_id=evse_id,
        what=what,
        value=value,
        rule=rule,
        quality=Quality.CONTRADICTS,
    )
    if not session_id:
        return Batch(appends=(Append(ids.evse_stream(evse_id), (fact,), by.at),))
    of_session = s.FactKept(session_id=session_id, **msgspec.structs.asdict(fact))
    stream = ids.session_stream(session_id)
    return Batch(appends=(Append(stream, (of_session,), by.at),))


def _check_storable(name: str, energy_wh: int) -> None:
    if not abs(energy_wh) <= ENERGY_LIMIT_WH:
        raise InvalidValue(f"{name} {energy_wh} Wh is beyond ±{ENERGY_LIMIT_WH} Wh")


def _default_needs(
    system: System, zone_id: str, session_id: str, at: Instant
) -> s.NeedsStated:
    zone = load_zone(system, zone_id).defined
    assert zone is not None  # load_zone refuses a zone that was never defined
    return s.NeedsStated(
        session_id=session_id,
        departure_at=at + zone.default_stay_s * SECOND,
        energy_target_wh=zone.default_energy_wh,
        source="default",
    )


class UnplugEv(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports an EV unplugged (E1 Info1), ``energy_wh`` transferred."""

    evse_id: str
    energy_wh: int
    reason: str = "EV disconnected"


def unplug_ev(system: System, command: UnplugEv, by: By) -> Answer:
    """Record the end of the transfer and the release of the EVSE.

    Where nothing else of the session is open it closes some time later. An unplug where
    no EV was plugged then is kept as a fact that contradicts and releases nothing.
    """

    def decide() -> Batch:
        _check_storable("energy_wh", command.energy_wh)
        evse = load_evse(system, command.evse_id)
        session_id = _occupant(system, evse)
        if rule := _contradiction(evse, by.at):
            wh = command.energy_wh
            return _kept(session_id, command.evse_id, "unplugged", wh, rule, by)
        state = load_session(system, session_id)
        ended = s.TransferEnded(
            session_id=state.session_id,
            energy_wh=command.energy_wh,
            reason=command.reason,
            quality=_quality(evse, command.energy_wh, by.at),
        )
        released = s.EvseReleased(session_id=state.session_id, evse_id=command.evse_id)
        vacated = z.EvseVacated(evse_id=command.evse_id, session_id=state.session_id)
        batch = batch_of(system, [step(state, by.at, released)])
        return msgspec.structs.replace(
            batch,
            appends=(
                Append(ids.session_stream(state.session_id), (ended,), by.at),
                *batch.appends,
                decision(ids.evse_stream(command.evse_id), evse, by.at, vacated),
            ),
        )

    return record(system, by, command, decide)


def _occupant(system: System, evse: Evse) -> str:
    """Return whose EV is at an EVSE, else whose was there last; empty: nobody's."""
    last = evse.session_id or evse.last_session_id
    return resolve(system, last).session_id if last else ""


def _contradiction(evse: Evse, at: Instant) -> str:
    """Return why a report of the EV at the EVSE cannot be; empty when it can."""
    if not evse.session_id:
        return "no EV was plugged"
    if at < evse.plugged_at:
        return f"before the plug at {iso_of(evse.plugged_at)}"
    return ""


def _quality(evse: Evse, energy_wh: int, at: Instant) -> Quality:
    """Return what an energy is worth, by what the EVSE could transfer meanwhile."""
    data = evse.commissioned
    if data is None:
        return Quality.IMPLAUSIBLE
    hours = (at - evse.plugged_at) / HOUR * (1 + _METER_MARGIN)
    least = data.min_w * hours - _METER_MARGIN_WH
    most = data.max_w * hours + _METER_MARGIN_WH
    return Quality.GOOD if least <= energy_wh <= most else Quality.IMPLAUSIBLE


class StateNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """E-mobility needs of a session: departure, energies from the arrival on [Wh].

    ``cost_limit_minor`` is the most that the EV user wants to pay (7.4), in minor units
    (cents) of ``currency``. ``source`` is ``user``, or ``ev`` where the EV told them.
    """

    session_id: str
    departure_at: int
    energy_target_wh: int
    energy_min_wh: int = 0
    energy_max_wh: int | None = None
    cost_limit_minor: int | None = None
    currency: str = ""
    source: str = "user"

    def check(self, at: int) -> None:
        """Refuse a departure in the past, energies that contradict, a cost of none."""
        if self.departure_at <= at:
            raise InvalidValue(
                f"departure {iso_of(self.departure_at)} is not after now, {iso_of(at)}"
            )
        if self.departure_at > at + LONGEST_STAY:
            raise InvalidValue(
                f"departure {iso_of(self.departure_at)} is more than 31 days ahead"
            )
        self._check_energies()
        self._check_cost()

    def _check_energies(self) -> None:
        most_wh = self.energy_max_wh
        if most_wh is None:
            most_wh = self.energy_target_wh
        if most_wh > WISH_LIMIT_WH:
            raise InvalidValue(f"needs: {most_wh} Wh are beyond {WISH_LIMIT_WH} Wh")
        if not 0 <= self.energy_min_wh <= self.energy_target_wh <= most_wh:
            raise InvalidValue(
                f"needs: minimum {self.energy_min_wh} Wh, target "
                f"{self.energy_target_wh} Wh, maximum {self.energy_max_wh} Wh do not "
                "increase from 0"
            )

    def _check_cost(self) -> None:
        limit = self.cost_limit_minor
        if limit is None:
            if self.currency:
                raise InvalidValue(f"needs: {self.currency!r} without a limit of cost")
            return
        check_currency("needs", self.currency)
        if not 0 <= limit <= COST_LIMIT_MINOR:
            raise InvalidValue(
                f"needs: a limit of cost of {limit} minor units is not within 0 and "
                f"{COST_LIMIT_MINOR}"
            )


def state_needs(system: System, command: StateNeeds, by: By) -> Answer:
    """Record the needs that the EV user or the EV stated."""

    def decide() -> Batch:
        command.check(by.at)
        state = resolve(system, command.session_id)
        state.check_open()
        event = s.NeedsStated(
            session_id=state.session_id,
            departure_at=command.departure_at,
            energy_target_wh=command.energy_target_wh,
            energy_min_wh=command.energy_min_wh,
            energy_max_wh=command.energy_max_wh,
            cost_limit_minor=command.cost_limit_minor,
            currency=command.currency,
            source=command.source,
        )
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(decision(stream, state, by.at, event),))

    return record(system, by, command, decide)


class SignalPause(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports that the EV paused, or (``paused`` false) wants energy."""

    evse_id: str
    paused: bool


def signal_pause(system: System, command: SignalPause, by: By) -> Answer:
    """Record the pause or resumption; where no EV was plugged, as contradicting."""

    def decide() -> Batch:
        evse = load_evse(system, command.evse_id)
        session_id = _occupant(system, evse)
        if rule := _contradiction(evse, by.at):
            what = "paused" if command.paused else "resumed"
            return _kept(session_id, command.evse_id, what, 1, rule, by)
        event: s.TransferPaused | s.TransferResumed
        if command.paused:
            event = s.TransferPaused(session_id=session_id, by="ev")
        else:
            event = s.TransferResumed(session_id=session_id)
        return Batch(appends=(Append(ids.session_stream(session_id), (event,), by.at),))

    return record(system, by, command, decide)
