"""A gateway that was cut off: the loop counts on it, and all goes on with the next."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.loop.router import Router, restore, state_of
from domain.loop.zone_loop import ZoneLoop
from domain.model import ids
from domain.model import station_events as t
from domain.model.plan_events import EtpAccepted, EtpSent
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import DAY, MINUTE, SECOND
from domain.ports import Fence
from domain.use_cases.clause_7_3_stations import (
    RegisterStation,
    digest_of,
    register_station,
)
from domain.use_cases.e4_pre_from_rm import ReceivePre, receive_pre
from optimizer import Planner
from tests.api.ocpp.etps_told import connected, etps, record, told
from tests.api.ocpp.office import (
    NOW,
    ONE,
    TWO,
    Office,
    Wire,
    evse_data,
    iso,
    open_office,
)
from tests.api.ocpp.transactions import event, meter

DEFAULT_W = 4_500
UPPER_W = 20_000


class Site:
    """An office with the loop of its zone, each of which can be cut off."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.begin_loop()

    def begin_loop(self) -> None:
        """Begin anew from the ledger."""
        system, now = self.office.system, self.office.clock.at
        upto, rows = restore(system.log, "site", now)
        fence = Fence("zone-epoch", "site", system.log.raise_epoch("site"))
        self._router = Router()
        for row in rows:
            self._router.zone_of(row)
        state = state_of("site", rows, upto)
        self.loop = ZoneLoop(system, state, Planner().plan, fence)

    def begin_gateway(self) -> None:
        """Let another gateway take the place of one that left no word."""
        office = self.office
        office._due.clear()
        office.ask_nothing()
        office.desk.put(office.gateway.resume)

    def drive(self, seconds: int = 1) -> None:
        """Let time pass, and the loop do what is due in each second."""
        for _ in range(seconds):
            self._catch_up()
            now = self.office.clock.at
            if (planning := self.loop.start(now)) is not None:
                result = self.loop.solve(planning)
                assert result is not None
                self._catch_up()
                self.loop.finish(result, now)
                self._catch_up()
            self.loop.deliver(now)
            self.office.follow()
            self.office.pass_time(SECOND)
        self._catch_up()

    def _catch_up(self) -> None:
        log, seen = self.office.system.log, self.loop.state.position
        for row in log.read(after=seen, limit=10_000):
            if self._router.zone_of(row) == "site":
                self.loop.observe(row)

    def counted_w(self) -> int:
        slot = self.loop.state.slots[ONE]
        now, settle = self.office.clock.at, self.loop.state.settle_of(slot)
        return max(c.largest(now - settle, now) for c in slot.delivery.courses(now))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_office(tmp_path) as office:
        office.ask_nothing()
        office.register("S1")
        office.commission("S1", evse_data(ONE), evse_data(TWO))
        envelope = PowerRangeEnvelope(NOW, (Range(86_400, 0, UPPER_W),))
        pre = ReceivePre(zone_id="site", pre_id="pre", envelope=envelope)
        receive_pre(office.system, pre, office.by("rm"))
        yield Site(office)


def began(site: Site, wire: Wire) -> None:
    """Let an EV's transaction begin."""
    started = event(
        site.office,
        "Started",
        0,
        "CablePluggedIn",
        evse={"id": 1, "connectorId": 1},
        chargingState="Charging",
        meterValue=[meter(site.office.clock.at, 1_000)],
    )
    wire.ask("TransactionEvent", started)


def charging(site: Site) -> Wire:
    """Return the wire of a station whose EV took its ETP."""
    wire = connected(site.office, "2.1")
    default = t.StationDefaultsInstalled(station_id="S1", default_w=DEFAULT_W)
    record(site.office, ids.station_stream("S1"), default)
    began(site, wire)
    site.drive(2)
    told(wire)
    site.drive(60)
    assert site.counted_w() == UPPER_W
    return wire


def sent(site: Site) -> list[EtpSent]:
    return [e for e in site.office.events(EtpSent) if isinstance(e, EtpSent)]


@pytest.mark.parametrize("loop_too", [False, True])
def test_after_a_crash_its_schedule_and_the_default_of_both_evses_count(
    site: Site, loop_too: bool
) -> None:
    charging(site)
    site.begin_gateway()
    if loop_too:
        site.begin_loop()
    site.drive(5)
    state = site.loop.state
    assert state.stations["S1"].is_silent
    assert site.counted_w() == UPPER_W
    # Where nobody is an EV may begin, unseen, and there is no room for another ETP.
    assert [slot.evse_id for slot in state.counting()] == [ONE, TWO]
    assert len(sent(site)) == 1


@pytest.mark.parametrize("loop_too", [False, True])
def test_the_station_comes_back_and_is_told_again(site: Site, loop_too: bool) -> None:
    charging(site)
    site.begin_gateway()
    if loop_too:
        site.begin_loop()
    site.drive(MINUTE // SECOND)
    wire = site.office.connect("S1", "2.1")
    site.drive(2)
    assert len(etps(wire)) == 1
    told(wire)
    site.drive(60)
    assert len(site.office.events(EtpAccepted)) == 2
    # Who came to the other one meanwhile the station has yet to tell.
    assert [slot.evse_id for slot in site.loop.state.counting()] == [ONE, TWO]
    assert site.counted_w() == UPPER_W - DEFAULT_W


def test_a_station_that_is_silent_for_days_goes_by_its_last_schedule(
    site: Site,
) -> None:
    wire = connected(site.office, "1.6", max_periods=1)
    default = t.StationDefaultsInstalled(station_id="S1", default_w=DEFAULT_W)
    record(site.office, ids.station_stream("S1"), default)
    started = {
        "connectorId": 1,
        "idTag": "04A2B3C4",
        "meterStart": 0,
        "timestamp": iso(site.office.clock.at),
    }
    wire.ask("StartTransaction", started)
    site.drive(5)
    told(wire)
    site.drive(60)
    assert site.counted_w() == UPPER_W
    assert wire.connection is not None
    site.office.gateway.disconnect(wire.connection, "gone")
    site.drive(2)
    site.office.clock.at += 5 * DAY
    site.begin_loop()
    assert site.counted_w() == UPPER_W


def test_what_was_sent_and_never_left_is_told_when_the_station_is_back(
    site: Site,
) -> None:
    wire = connected(site.office, "2.1")
    began(site, wire)
    site.office.gateway.follow = lambda rows: None  # type: ignore[method-assign]
    site.drive(2)
    assert len(sent(site)) == 1
    assert etps(wire) == []
    site.begin_gateway()
    site.drive(2)
    wire = site.office.connect("S1", "2.1")
    site.drive(2)
    assert len(etps(wire)) == 1


def test_a_station_that_was_registered_this_very_moment_is_known(
    tmp_path: Path,
) -> None:
    with open_office(tmp_path) as office:
        command = RegisterStation(station_id="S9", identity="CS-9", security_profile=1)
        digest = digest_of("secret")
        register_station(office.system, command, office.by(), password_digest=digest)
        # The gateway has not followed the log since.
        peer = office.gateway.peers.find("CS-9")
        assert peer is not None
        assert peer.station_id == "S9"
        assert office.gateway.peers.find("CS-10") is None
