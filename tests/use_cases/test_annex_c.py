"""6.2 The complex service session of IEC 63110-1 Annex C, from reservation to keys."""

from datetime import UTC, datetime

import pytest

from domain.model import session_events as s
from domain.model.values import MINUTE, Instant, instant_of
from domain.ports import System
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.e1_smart_charging import (
    PlugEv,
    SignalPause,
    StateNeeds,
    UnplugEv,
    plug_ev,
    signal_pause,
    state_needs,
    unplug_ev,
)
from tests.use_cases.small_site import E1, E2, ZONE, Site, by

BOOKING = Reference("cso", "booking", "2019-4711")
TICKET = Reference("parkco", "ticket", "T 12")


def june(day: int, hour: int, minute: int) -> Instant:
    return instant_of(datetime(2020, 6, day, hour, minute, tzinfo=UTC))


@pytest.mark.requirement("7.5.1")
def test_a_complex_service_session(site: Site, system: System) -> None:
    # a) 1 June: a place is reserved from 10 June on.
    reserved = s.ReservationMade(
        session_id="",
        from_at=june(10, 9, 0),
        until_at=june(20, 18, 0),
        evse_class=f"{ZONE}/AC",
    )
    session_id = site.add(reserved, at=june(1, 12, 0), reference=BOOKING)
    needs = StateNeeds(
        session_id=session_id, departure_at=june(20, 13, 0), energy_target_wh=8_000
    )
    state_needs(system, needs, by(june(1, 12, 1)))
    site.run_timers(june(9, 0, 0))
    assert site.session(session_id).is_open

    # Somebody else plugs the day before: the reservation is not theirs.
    stranger = site.plug(E1, june(9, 8, 0))
    assert stranger != session_id
    site.unplug(E1, june(9, 9, 0))

    # b) 10 June: the EV arrives, the reference of the reservation is presented.
    arrived = june(10, 9, 2)
    site.run_timers(arrived)
    matched = s.ReservationMatched(session_id="")
    assert site.add(matched, at=arrived, reference=BOOKING) == session_id

    # c) The valet takes over, d) parks the EV; the parking operator has a ticket.
    valet = s.OtherStarted(session_id="", service="valet")
    site.add(valet, at=june(10, 9, 5), reference=BOOKING)
    parking = s.ParkingStarted(session_id="", place="level 2")
    site.add(parking, session_id, at=june(10, 9, 6), reference=TICKET)

    # e) The valet plugs the EV; the driver's contract is authorized.
    plugged = plug_ev(system, PlugEv(evse_id=E1), by(june(10, 9, 7), "s1"))
    assert site.session_of(plugged) == session_id
    contract = system.vault.subject_of("emaid", "DE-8AA-C12345678-9")
    assert site.present(E1, contract, june(10, 9, 7)) == session_id
    accepted = s.AuthorizationAccepted(session_id="", by="emsp")
    site.add(accepted, session_id, at=june(10, 9, 8))

    # f) Energy flows, g) pauses and flows again.
    for at, paused in ((june(10, 9, 40), True), (june(10, 9, 50), False)):
        signal_pause(system, SignalPause(evse_id=E1, paused=paused), by(at, "s1"))

    # h) The end of energy transfer, i) the valet moves the EV away from the EVSE.
    unplugged = UnplugEv(evse_id=E1, energy_wh=7_900)
    unplug_ev(system, unplugged, by(june(10, 10, 30), "s1"))
    site.add(s.ParkingEnded(session_id=""), at=june(10, 10, 35), reference=TICKET)
    moved = s.ParkingStarted(session_id="", place="level 5")
    site.add(moved, at=june(10, 10, 40), reference=TICKET)
    site.run_timers(june(20, 13, 0))
    assert site.session(session_id).is_open

    # j) 20 June: the driver returns and gets the keys.
    site.add(s.ParkingEnded(session_id=""), at=june(20, 13, 36), reference=TICKET)
    done = s.OtherEnded(session_id="", service="valet")
    site.add(done, session_id, at=june(20, 13, 36))
    used = s.ReservationEnded(session_id="", reason="used")
    site.add(used, session_id, at=june(20, 13, 36))
    site.run_timers(june(20, 13, 36) + CLOSE_AFTER - 1)
    assert site.session(session_id).is_open
    site.run_timers(june(20, 13, 36) + CLOSE_AFTER)

    assert site.types(session_id) == [
        "session.opened",
        "session.reference_bound",
        "reservation.made",
        "needs.stated",
        "reservation.matched",
        "other.started",
        "session.reference_bound",
        "parking.started",
        "session.evse_bound",
        "needs.stated",
        "transfer.started",
        "authorization.requested",
        "authorization.accepted",
        "transfer.paused",
        "transfer.resumed",
        "transfer.ended",
        "session.evse_released",
        "parking.ended",
        "parking.started",
        "parking.ended",
        "other.ended",
        "reservation.ended",
        "session.closed",
        "sdr.collected",
    ]
    state = site.session(session_id)
    assert state.closed
    assert (state.energy_wh, state.subject_id) == (7_900, contract)
    last = site.log.read_stream(f"session-{session_id}")[-1]
    assert last.occurred_at == june(20, 13, 51)

    # Nothing of it is left but what it is called; the next EV is somebody else's.
    assert set(site.guards()) == {"reference"}
    assert site.timers() == []
    assert site.plug(E2, june(20, 13, 51) + MINUTE) != session_id
