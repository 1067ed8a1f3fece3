"""E1 Smart charging management (IEC 63110-1 8.2.3): what stations and EV users report.

The commands and facts that make up E1's event detection loop: an EV plugged or unplugged
(Info1), needs stated or changed, pauses and resumptions; by `shared_path`. What follows
from them, the update loop and the ETPs (Info2), is `domain.loop`.
"""

import msgspec

from domain.errors import InvalidValue
from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import HOUR, SECOND, Quality, iso_of
from domain.ports import Answer, Append, Batch, Claim, System, Timer
from domain.use_cases.clause_6_2_service_sessions import (
    CLOSE_AFTER,
    Reference,
    join_or_open,
    resolve,
)
from domain.use_cases.shared_path import (
    By,
    decision,
    load_evse,
    load_zone,
    record,
)

LONGEST_STAY = 31 * 24 * HOUR


class PlugEv(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports an EV plugged into an EVSE (E1 Info1)."""

    evse_id: str
    register_wh: int = 0
    reference: Reference | None = None
    subject_id: str = ""


def plug_ev(system: System, command: PlugEv, by: By) -> Answer:
    """Record the plug: the session joined or opened, the EVSE occupied, its needs.

    Needs stated before (with a reservation) are stated again after the binding, so that
    the zone's loop finds all it needs from there on; without any the zone's default is.
    An EVSE has one occupant. A plug where the EVSE is occupied is kept as a fact that
    contradicts and changes nothing.
    """

    def decide() -> Batch:
        evse = load_evse(system, command.evse_id)
        data = evse.check_usable(command.evse_id)
        if evse.session_id:
            return _contradicts(evse.session_id, command, by)
        joined = join_or_open(
            system,
            by,
            reference=command.reference,
            evse_id=command.evse_id,
            subject_id=command.subject_id,
        )
        session_id = joined.session_id
        stream = ids.session_stream(session_id)
        bound = s.EvseBound(
            session_id=session_id,
            evse_id=data.evse_id,
            station_id=data.station_id,
            zone_id=data.zone_id,
        )
        occupied = z.EvseOccupied(evse_id=data.evse_id, session_id=session_id)
        started = s.TransferStarted(
            session_id=session_id,
            evse_id=data.evse_id,
            register_wh=command.register_wh,
        )
        needs = joined.state.needs or _default_needs(
            system, data.zone_id, session_id, by
        )
        return Batch(
            appends=(
                decision(stream, joined.state, by.at, *joined.opening, bound, needs),
                decision(ids.evse_stream(data.evse_id), evse, by.at, occupied),
                Append(stream, (started,), by.at),
            ),
            claims=(Claim("occupant", data.evse_id, session_id),),
            releases=(Claim("waiting", data.evse_id, session_id),),
        )

    return record(system, by, command, decide)


def _contradicts(session_id: str, command: PlugEv, by: By) -> Batch:
    fact = s.FactKept(
        session_id=session_id,
        evse_id=command.evse_id,
        what="plugged",
        value=1,
        rule="an EVSE has one occupant; it was occupied already",
        quality=Quality.CONTRADICTS,
    )
    return Batch(appends=(Append(ids.session_stream(session_id), (fact,), by.at),))


def _default_needs(
    system: System, zone_id: str, session_id: str, by: By
) -> s.NeedsStated:
    zone = load_zone(system, zone_id).defined
    assert zone is not None  # load_zone refuses a zone that was never defined
    return s.NeedsStated(
        session_id=session_id,
        departure_at=by.at + zone.default_stay_s * SECOND,
        energy_target_wh=zone.default_energy_wh,
        source="default",
    )


class UnplugEv(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports an EV unplugged (E1 Info1), its register at ``register_wh``."""

    evse_id: str
    energy_wh: int
    reason: str = "EV disconnected"


def unplug_ev(system: System, command: UnplugEv, by: By) -> Answer | None:
    """Record the end of the transfer and the release of the EVSE.

    Where nothing else of the session is open it closes `CLOSE_AFTER` later. An EVSE that
    is not occupied has nothing to release: None.
    """
    if load_evse(system, command.evse_id).session_id == "":
        return None

    def decide() -> Batch:
        evse = load_evse(system, command.evse_id)
        state = resolve(system, evse.session_id)
        stream = ids.session_stream(state.session_id)
        ended = s.TransferEnded(
            session_id=state.session_id,
            energy_wh=command.energy_wh,
            reason=command.reason,
        )
        released = s.EvseReleased(session_id=state.session_id, evse_id=command.evse_id)
        vacated = z.EvseVacated(evse_id=command.evse_id, session_id=state.session_id)
        return Batch(
            appends=(
                Append(stream, (ended,), by.at),
                decision(stream, state, by.at, released),
                decision(ids.evse_stream(command.evse_id), evse, by.at, vacated),
            ),
            releases=(Claim("occupant", command.evse_id, state.session_id),),
            timers=(Timer(by.at + CLOSE_AFTER, stream, "close"),),
        )

    return record(system, by, command, decide)


class StateNeeds(msgspec.Struct, frozen=True, kw_only=True):
    """E-mobility needs of a session: departure, energies from the arrival on [Wh]."""

    session_id: str
    departure_at: int
    energy_target_wh: int
    energy_min_wh: int = 0
    energy_max_wh: int | None = None

    def check(self, at: int) -> None:
        """Refuse a departure in the past and energies that contradict each other."""
        if self.departure_at <= at:
            raise InvalidValue(
                f"departure {iso_of(self.departure_at)} is not after now, {iso_of(at)}"
            )
        if self.departure_at > at + LONGEST_STAY:
            raise InvalidValue(
                f"departure {iso_of(self.departure_at)} is more than 31 days ahead"
            )
        most_wh = self.energy_max_wh
        if most_wh is None:
            most_wh = self.energy_target_wh
        if not 0 <= self.energy_min_wh <= self.energy_target_wh <= most_wh:
            raise InvalidValue(
                f"needs: minimum {self.energy_min_wh} Wh, target "
                f"{self.energy_target_wh} Wh, maximum {self.energy_max_wh} Wh do not "
                "increase from 0"
            )


def state_needs(system: System, command: StateNeeds, by: By) -> Answer:
    """Record the needs the EV user stated."""
    command.check(by.at)

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        event = s.NeedsStated(
            session_id=state.session_id,
            departure_at=command.departure_at,
            energy_target_wh=command.energy_target_wh,
            energy_min_wh=command.energy_min_wh,
            energy_max_wh=command.energy_max_wh,
        )
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(decision(stream, state, by.at, event),))

    return record(system, by, command, decide)


class SignalPause(msgspec.Struct, frozen=True, kw_only=True):
    """A station reports that the EV paused, or (``paused`` false) wants energy."""

    evse_id: str
    paused: bool


def signal_pause(system: System, command: SignalPause, by: By) -> Answer | None:
    """Record the pause or resumption; None where no EV is plugged."""
    if load_evse(system, command.evse_id).session_id == "":
        return None

    def decide() -> Batch:
        session_id = load_evse(system, command.evse_id).session_id
        event: s.TransferPaused | s.TransferResumed
        if command.paused:
            event = s.TransferPaused(session_id=session_id, by="ev")
        else:
            event = s.TransferResumed(session_id=session_id)
        return Batch(appends=(Append(ids.session_stream(session_id), (event,), by.at),))

    return record(system, by, command, decide)
