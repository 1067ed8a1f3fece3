"""An EV that is plugged and whose transfer has not begun reserves nothing."""

import pytest

from domain.loop.allocation import build
from domain.loop.replay import check
from domain.loop.router import restore, state_of
from domain.loop.zone_state import ZoneState
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.metering import MeterPoint
from domain.model.plan_events import EtpSent, EtpTimedOut
from domain.model.values import MINUTE, SECOND
from domain.use_cases.clause_7_5_station_transactions import (
    ReportTransaction,
    report_transaction,
)
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from domain.use_cases.shared_path import By
from tests.loop.world import START, ZONE, World, world
from tests.loop.zone_by_hand import (
    EVSE,
    STATION,
    Zone,
    able,
    accepted,
    clock,
    connected,
    installed,
)

AT = START + MINUTE


def waiting(default_w: int = 0) -> Zone:
    """A zone where an EV has been plugged, as a status told."""
    zone = Zone()
    zone.tell(connected(), able(), clock(), installed(default_w))
    zone.tell(z.EvseOccupied(evse_id=EVSE, session_id="ev0"))
    return zone


def bound() -> t.StationTransactionBound:
    return t.StationTransactionBound(
        station_id=STATION, transaction_id="tx", session_id="ev0", evse_id=EVSE
    )


@pytest.mark.parametrize("default_w", [0, 2_000])
def test_an_ev_without_a_transfer_is_not_planned_and_takes_the_default(
    default_w: int,
) -> None:
    zone = waiting(default_w)
    found = build(zone.state, zone.now)
    assert found.slots == found.fixed == ()
    assert found.problem.pre_upper_w[0] == 30_000 - default_w
    assert zone.send() == []


def test_it_is_planned_once_its_station_has_a_transaction_though_no_register() -> None:
    zone = waiting()
    zone.tell(bound())
    assert build(zone.state, zone.now).slots == (zone.slot(),)
    accepted(zone, (0, 5_000))
    zone.tell(s.TransferEnded(session_id="ev0", energy_wh=10, reason="by app"))
    assert build(zone.state, zone.now).slots == ()


def test_a_transaction_that_is_told_before_its_plug_is_the_next_evs() -> None:
    zone = waiting()
    zone.tell(
        z.EvseVacated(evse_id=EVSE, session_id="ev0"),
        bound(),
        z.EvseOccupied(evse_id=EVSE, session_id="ev1"),
    )
    assert build(zone.state, zone.now).slots == (zone.slot(),)
    zone.tell(
        z.EvseVacated(evse_id=EVSE, session_id="ev1"),
        z.EvseOccupied(evse_id=EVSE, session_id="ev2"),
    )
    assert build(zone.state, zone.now).slots == ()


def plug(zone: World) -> None:
    """Let a status tell of an EV, and nothing of where its meter stands."""
    by = By(actor="s0", at=zone.clock.at)
    plug_ev(zone.system, PlugEv(evse_id=EVSE, register_wh=None), by)


def begin(zone: World, *points: MeterPoint) -> None:
    command = ReportTransaction(
        station_id="s0",
        kind="started",
        evse_id=EVSE,
        transaction_id="tx",
        seq_no=0,
        points=points,
    )
    report_transaction(zone.system, command, By(actor="s0", at=zone.clock.at))


@pytest.mark.parametrize("points", [(), (MeterPoint(AT + 5 * MINUTE, 7_000),)])
def test_its_etp_leaves_when_the_transaction_begins_and_not_before(
    points: tuple[MeterPoint, ...],
) -> None:
    with world(2, 10) as zone:
        zone.pre(0, (7_200, 9_999))
        zone.at(AT, lambda: plug(zone))
        zone.at(AT + 5 * MINUTE, lambda: begin(zone, *points))
        zone.simulation._send = lambda evse_id, sent: None  # type: ignore[method-assign]
        zone.run()
        sent = [r.occurred_at for r in zone.rows() if isinstance(r.event, EtpSent)]
        # What it takes to plan, which is a second in simulations.
        assert sent[0] == AT + 5 * MINUTE + SECOND
        first = next(r for r in zone.rows() if isinstance(r.event, EtpTimedOut))
        assert first.occurred_at > sent[0]
        assert check(zone.system.log).differing == ()


@pytest.mark.parametrize("begun", [False, True])
def test_a_restarted_loop_knows_of_the_transaction(begun: bool) -> None:
    def again() -> ZoneState:
        return state_of(ZONE, restore(zone.system.log, ZONE, zone.clock.at)[1])

    with world(2, 10) as zone:
        zone.at(AT, lambda: plug(zone))
        if begun:
            zone.at(AT + MINUTE, lambda: begin(zone))
        zone.run()
        for state in (zone.loop.state, again()):
            assert state.slots[EVSE].is_in_use == begun
