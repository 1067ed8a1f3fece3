"""E5 Info2: a mandatory ETP that is not followed is enforced, rung by rung."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.exchanges.e5_info2_enforcement import REASON
from api.ocpp.open_transactions import began, runs
from api.ocpp.violations import Version
from domain.errors import InvalidValue
from domain.model import activity_events as y
from domain.model import ids
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.plan_events import EtpSent
from domain.model.profile import PowerProfile
from domain.model.values import MINUTE, SECOND, Event
from domain.ports import Append, Batch
from domain.use_cases.clause_7_3_commissioning import (
    ChangeEnforcement,
    change_enforcement,
)
from domain.use_cases.e1_smart_charging import PlugEv, UnplugEv, plug_ev, unplug_ev
from tests.api.ocpp.office import (
    ONE,
    VERSIONS,
    Office,
    Wire,
    open_with_station,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path) as office:
        able = t.StationCapabilities(
            station_id="S1", version="2.1", unit="W", max_periods=24
        )
        defaults = t.StationDefaultsInstalled(
            station_id="S1", default_w=10_000, maximum_w=44_160
        )
        record(office, ids.station_stream("S1"), able, defaults)
        yield office


def record(office: Office, stream: str, *events: Event) -> None:
    batch = Batch(actor="test", appends=(Append(stream, events, office.clock.at),))
    office.system.log.append(batch)
    office.follow()


def deliver(office: Office, *events: Event) -> None:
    record(office, ids.delivery_stream("S1", office.clock.at), *events)


class Station:
    """A station that stores what it is told, and whose car does not care."""

    def __init__(self, office: Office, version: Version) -> None:
        self.office = office
        self.wire: Wire = office.connect("S1", version)
        self._answered = 0
        plug_ev(office.system, PlugEv(evse_id=ONE), office.by())
        office.follow()
        peer = office.gateway.peers.by_id["S1"]
        name = 41 if version == "1.6" else "tx-1"
        runs(office.gateway, peer, began(peer, name, 1, office.clock.at))

    def serve(self) -> None:
        while self._answered < len(self.wire.calls()):
            call = self.wire.calls()[self._answered]
            self._answered += 1
            status = "Rejected" if call[2] == "GetCompositeSchedule" else "Accepted"
            self.wire.answer(call, {"status": status})
        self.office.follow()

    def wait(self, seconds: int) -> None:
        for _ in range(seconds // 10):
            self.serve()
            self.office.pass_time(10 * SECOND)
        self.serve()

    def ignores(self, *, mandatory: bool = True) -> None:
        """Be sent an ETP, accept it, and draw more."""
        profile = PowerProfile(self.office.clock.at, ((0, 4_200),))
        sent = EtpSent(evse_id=ONE, number=9, profile=profile, mandatory=mandatory)
        deliver(self.office, sent)
        self.serve()
        deliver(self.office, t.EtpNotFollowed(evse_id=ONE, number=9, power_w=11_000))
        self.serve()

    def follows(self) -> None:
        deliver(self.office, t.EtpFollowedAgain(evse_id=ONE, number=9))
        self.serve()


def profiles(wire: Wire) -> list[tuple[int, str, float]]:
    """Return EVSE, purpose and first limit of all profiles that were to be stored."""
    found = []
    for call in wire.calls("SetChargingProfile"):
        payload: dict[str, Any] = call[3]
        profile = payload.get("csChargingProfiles") or payload["chargingProfile"]
        place: Any = payload.get("connectorId", payload.get("evseId"))
        schedule = profile["chargingSchedule"]
        schedule = schedule if isinstance(schedule, dict) else schedule[0]
        limit = schedule["chargingSchedulePeriod"][0]["limit"]
        found.append((place, profile["chargingProfilePurpose"], limit))
    return found


def steps(office: Office) -> list[str]:
    found = office.events(y.ActivityProgressed)
    of_ladder = {
        e.activity_id
        for e in office.events(y.ActivityAsked)
        if isinstance(e, y.ActivityAsked) and e.kind == y.ActivityKind.ENFORCE
    }
    return [
        e.step
        for e in found
        if isinstance(e, y.ActivityProgressed) and e.activity_id in of_ladder
    ]


def ends(office: Office) -> list[Event]:
    return office.events(y.ActivityEnded)


def allow(office: Office, **how: bool) -> None:
    command = ChangeEnforcement(zone_id="site", **how)
    change_enforcement(office.system, command, office.by())
    office.follow()


@pytest.mark.parametrize("version", VERSIONS)
def test_limit_0_is_sent_again_then_the_maximum_is_lowered_and_no_more(
    office: Office, version: Version
) -> None:
    station = Station(office, version)
    station.ignores()
    assert profiles(station.wire) == [(1, "TxProfile", 4_200), (1, "TxProfile", 0)]
    station.wait(30)
    maximum = (
        "ChargePointMaxProfile" if version == "1.6" else "ChargingStationMaxProfile"
    )
    # The other EVSE keeps its default.
    assert profiles(station.wire)[-1] == (0, maximum, 10_000)
    station.wait(300)
    assert steps(office) == ["limit 0", "maximum lowered"]
    assert ends(office) == []


def test_measured_power_ends_it_and_what_was_changed_is_put_back(
    office: Office,
) -> None:
    station = Station(office, "2.0.1")
    station.ignores()
    station.wait(40)
    station.follows()
    station.wait(10)
    (ended,) = ends(office)
    assert isinstance(ended, y.ActivityEnded)
    assert (ended.outcome, ended.detail) == ("done", "it follows")
    told = profiles(station.wire)
    assert told[-1] == (0, "ChargingStationMaxProfile", 44_160)
    assert (1, "TxProfile", 4_200) in told[2:]
    station.wait(120)
    assert steps(office) == ["limit 0", "maximum lowered"]


def test_followed_on_the_first_rung_no_other_is_climbed(office: Office) -> None:
    station = Station(office, "2.1")
    station.ignores()
    station.wait(10)
    station.follows()
    station.wait(120)
    assert steps(office) == ["limit 0"]
    assert profiles(station.wire)[-1] == (1, "TxProfile", 4_200)


def test_an_ev_that_leaves_ends_it(office: Office) -> None:
    station = Station(office, "2.1")
    station.ignores()
    unplug_ev(office.system, UnplugEv(evse_id=ONE, energy_wh=0), office.by())
    office.follow()
    assert len(ends(office)) == 1


def test_what_is_not_mandatory_is_not_enforced(office: Office) -> None:
    station = Station(office, "2.1")
    station.ignores(mandatory=False)
    station.wait(60)
    assert steps(office) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_zone_allows_it_the_transaction_is_stopped_and_the_evse_reset(
    office: Office, version: Version
) -> None:
    allow(office, may_stop=True, may_reset=True)
    station = Station(office, version)
    station.ignores()
    station.wait(300)
    assert steps(office) == [
        "limit 0",
        "maximum lowered",
        "stop asked",
        "reset asked",
        "kept from use",
    ]
    stop = "RemoteStopTransaction" if version == "1.6" else "RequestStopTransaction"
    assert len(station.wire.calls(stop)) >= 1
    (reset,) = station.wire.calls("Reset")
    hard = {"type": "Hard"} if version == "1.6" else {"type": "Immediate", "evseId": 1}
    assert reset[3] == hard
    assert office.events(z.EvseBlocked) == [z.EvseBlocked(evse_id=ONE, reason=REASON)]
    availability = station.wire.calls("ChangeAvailability")[-1][3]
    assert "Inoperative" in availability.values()


def test_a_zone_that_may_not_reset_stops_and_keeps_it_from_use(office: Office) -> None:
    allow(office, may_stop=True, may_reset=False)
    station = Station(office, "2.1")
    station.ignores()
    station.wait(300)
    assert steps(office)[2:] == ["stop asked", "kept from use"]
    assert station.wire.calls("Reset") == []


def test_who_may_not_stop_may_not_reset(office: Office) -> None:
    with pytest.raises(InvalidValue, match="a reset stops the transaction"):
        allow(office, may_stop=False, may_reset=True)


def test_after_a_reconnection_it_goes_on(office: Office) -> None:
    station = Station(office, "2.1")
    station.ignores()
    station.wire = office.connect("S1", "2.1")
    station._answered = 0
    station.wait(130)
    assert steps(office) == ["limit 0", "maximum lowered"]
    office.pass_time(10 * MINUTE)
