"""Virtual stations, against a CSMS by hand; all they say is held to the schemas."""

import asyncio
import heapq
import json
from collections.abc import Callable
from typing import Any

import pytest
from ocpp.messages import Call, CallResult, _validate_payload

from benchmarks.data.site import SiteStation
from benchmarks.simulator.car import Car
from benchmarks.simulator.ocpp.behaviour import Behaviour
from benchmarks.simulator.ocpp.fleet import VERSIONS, Site, build
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.ocpp.world import Act
from domain.model.values import DAY, HOUR, MINUTE, SECOND, Instant, iso_of

NOW = 20_000 * DAY
TOKEN = "04AA11BB22CC33"


class World:
    """Time by hand, and a CSMS that takes every message at once."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.time = NOW
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[Any] = []
        self.answering = True
        self.boot_status = "Accepted"
        self.token_status = "Accepted"
        self.drawn_wh = 0.0
        self._due: list[tuple[Instant, int, list[Act]]] = []
        self._count = 0
        self._numbers = 0
        self._take: Callable[[bytes], None] = lambda frame: None

    def now(self) -> Instant:
        return self.time

    def at(self, instant: Instant, rank: int, act: Act) -> Callable[[], None]:
        self._count += 1
        pending = [act]
        heapq.heappush(self._due, (instant, self._count, pending))
        return pending.clear

    def count(self, at: Instant, energy_wh: float) -> None:
        self.drawn_wh += energy_wh

    async def open(self, on_frame: Callable[[bytes], None]) -> None:
        self._take = on_frame

    async def close(self) -> None:
        pass

    def send(self, frame: bytes) -> None:
        message = json.loads(frame)
        if message[0] != 2:
            self.answers.append(message)
            return
        _, message_id, action, payload = message
        _validate_payload(Call(message_id, action, payload), self.version)
        self.heard.append((action, payload))
        if self.answering:
            answer = json.dumps([3, message_id, self._answer(action)]).encode()
            self.at(self.time, 0, lambda: self._take(answer))

    def _answer(self, action: str) -> dict[str, Any]:
        info = {"status": self.token_status}
        key = "idTagInfo" if self.version == "1.6" else "idTokenInfo"
        self._numbers += 1
        answers: dict[str, dict[str, Any]] = {
            "BootNotification": {
                "status": self.boot_status,
                "interval": 300,
                "currentTime": iso_of(self.time),
            },
            "Authorize": {key: info},
            "StartTransaction": {key: info, "transactionId": 1000 + self._numbers},
            "Heartbeat": {"currentTime": iso_of(self.time)},
        }
        return answers.get(action, {})

    def run(self, duration: Instant = 0) -> None:
        until = self.time + duration
        while self._due and self._due[0][0] <= until:
            at, _, pending = heapq.heappop(self._due)
            self.time = max(self.time, at)
            if pending and (doing := pending[0]()) is not None:
                asyncio.run(self._await(doing))
        self.time = until

    @staticmethod
    async def _await(doing: Any) -> None:
        await doing

    def call(self, action: str, payload: dict[str, Any]) -> Any:
        """Call the station; return the payload of its answer."""
        _validate_payload(Call("c", action, payload), self.version)
        self._take(json.dumps([2, "c", action, payload]).encode())
        answer = self.answers[-1]
        if answer[0] == 3:
            result = CallResult("c", answer[2], action)
            _validate_payload(result, self.version)
        self.run()
        return answer[2]

    def told(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.heard if name == action]


def station_of(
    version: str, behaviour: Behaviour | None = None, index: int | None = None
) -> tuple[World, Station]:
    """Return a station that has booted; of one EVSE with 7,360 W."""
    world = World(version)
    data = SiteStation(station_id="S1", voltage_v=230)
    behaviours = {} if behaviour is None else {"S1": behaviour}
    site = Site(world, world.count, behaviours, lambda identity, rank, v: world)
    at = VERSIONS.index(version) if index is None else index
    station = build(site, data, at, 1)
    world.at(NOW, 0, station.switch_on)
    world.run()
    return world, station


def arrive(world: World, station: Station) -> Car:
    car = Car(max_w=7_360, lag=SECOND, needed_wh=50_000, floor_w=1_380)
    station.arrive(station.evses[0], car, TOKEN)
    world.run(10 * SECOND)
    return car


def profile(world: World, station: Station, limit: float, purpose: str = "") -> Any:
    """Give the station a profile; return its answer's status."""
    transaction = station.evses[0].transaction
    schedule = {
        "startSchedule": iso_of(world.time),
        "chargingRateUnit": station.profiles.unit[0],
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
    }
    shared = {
        "stackLevel": 0,
        "chargingProfilePurpose": purpose or "TxProfile",
        "chargingProfileKind": "Absolute",
    }
    number = 6 if purpose else 5
    if not purpose:
        assert transaction is not None
        shared["transactionId"] = transaction.id
    if world.version == "1.6":
        payload = {
            "connectorId": 1,
            "csChargingProfiles": {
                **shared, "chargingProfileId": number, "chargingSchedule": schedule,
            },
        }  # fmt: skip
    else:
        payload = {
            "evseId": 1,
            "chargingProfile": {
                **shared, "id": number, "chargingSchedule": [{"id": 1, **schedule}],
            },
        }  # fmt: skip
    return world.call("SetChargingProfile", payload)["status"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_from_plug_to_unplug(version: str) -> None:
    world, station = station_of(version)
    car = arrive(world, station)
    assert car.power_w == 7_360  # no profile: nothing limits
    assert profile(world, station, 2_000.0) == "Accepted"
    world.run(10 * MINUTE)
    assert car.power_w == 2_000
    assert world.drawn_wh == pytest.approx(car.energy_wh)
    station.leave(station.evses[0])
    world.run()
    ends = world.told("StopTransaction" if version == "1.6" else "TransactionEvent")
    if version == "1.6":
        assert ends[-1]["meterStop"] == int(car.energy_wh)
        assert ends[-1]["transactionId"] > 1000
    else:
        assert ends[-1]["eventType"] == "Ended"
        assert [e["seqNo"] for e in ends] == list(range(len(ends)))
        values = ends[-1]["meterValue"][0]["sampledValue"]
        assert values[0]["value"] == int(car.energy_wh)
    assert station.profiles.profiles == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pending_station_asks_again_and_says_nothing_else(version: str) -> None:
    world = World(version)
    world.boot_status = "Pending"
    site = Site(world, world.count, {}, lambda identity, rank, v: world)
    data = SiteStation(station_id="S1")
    station = build(site, data, VERSIONS.index(version), 1)
    world.at(NOW, 0, station.switch_on)
    world.run(11 * MINUTE)
    assert [action for action, _ in world.heard] == ["BootNotification"] * 3
    world.boot_status = "Accepted"
    world.run(5 * MINUTE)
    assert world.heard[-1][0] == "StatusNotification"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_that_is_refused_gets_no_power(version: str) -> None:
    world, station = station_of(version)
    world.token_status = "Invalid"
    car = arrive(world, station)
    world.run(MINUTE)
    assert car.power_w == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_kept_offline_comes_twice_and_backwards(version: str) -> None:
    world, station = station_of(
        version, Behaviour(sends_late_twice=True, sends_late_backwards=True)
    )
    world.at(world.time, 0, station.lose_connection)
    world.run(MINUTE)
    arrive(world, station)
    world.run(20 * MINUTE)
    station.leave(station.evses[0])
    world.heard.clear()
    world.at(world.time, 0, station.find_connection_again)
    world.run(MINUTE)
    names = [action for action, _ in world.heard]
    if version == "1.6":
        half = names[: len(names) // 2]
        assert half == ["StopTransaction", "MeterValues", "StartTransaction"]
        assert names == half * 2
    else:
        numbers = [p["seqNo"] for _, p in world.heard]
        half_numbers = numbers[: len(numbers) // 2]
        assert numbers == half_numbers * 2
        assert half_numbers == sorted(half_numbers, reverse=True)
        assert all(p["offline"] for _, p in world.heard)
    assert not station.has_more_to_say


@pytest.mark.parametrize("version", VERSIONS)
def test_after_a_reboot_the_default_holds_until_a_new_profile_comes(
    version: str,
) -> None:
    world, station = station_of(version)
    car = arrive(world, station)
    assert profile(world, station, 0.0, "TxDefaultProfile") == "Accepted"
    profile(world, station, 4_000.0)
    world.run(MINUTE)
    assert car.power_w == 4_000
    world.at(world.time, 0, station.switch_off)
    world.run(MINUTE)
    assert car.power_w == 0
    world.at(world.time, 0, station.switch_on)
    world.run(MINUTE)
    assert world.told("BootNotification")[1:]
    assert car.power_w == 0
    profile(world, station, 3_000.0)
    world.run(MINUTE)
    assert car.power_w == 3_000


def test_a_station_that_ignores_its_profiles_accepts_them() -> None:
    world, station = station_of("2.1", Behaviour(ignores_limits=True))
    car = arrive(world, station)
    assert profile(world, station, 1_400.0) == "Accepted"
    world.run(MINUTE)
    assert car.power_w == 7_360


def test_a_station_that_refuses_profiles_goes_on_without_them() -> None:
    world, station = station_of("1.6", Behaviour(refuses_profiles=True))
    car = arrive(world, station)
    assert profile(world, station, 1_400.0) == "Rejected"
    world.run(MINUTE)
    assert car.power_w == 7_360


def test_a_car_that_slept_at_0_does_not_wake() -> None:
    world, station = station_of("2.0.1", Behaviour(sleeps_after=10 * MINUTE))
    car = arrive(world, station)
    for power_w, wait, drawn_w in ((0.0, 5, 0), (5_000.0, 1, 5_000), (0.0, 11, 0)):
        profile(world, station, power_w)
        world.run(wait * MINUTE)
        assert car.power_w == drawn_w
    profile(world, station, 5_000.0)
    world.run(MINUTE)
    assert car.power_w == 0


def test_a_car_that_has_all_it_takes_shows_no_power_from_then_on() -> None:
    world, station = station_of("2.1")
    (evse,) = station.evses
    car = arrive(world, station)
    assert evse.told_power_w == 7_360
    car.needed_wh = car.energy_wh + 1
    evse.advance(world.time + SECOND)
    assert car.power_w == 7_360  # the model lets it settle at its next step
    assert (evse.state, evse.told_power_w) == ("SuspendedEV", 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_power_and_registers_come_as_often_as_was_set(version: str) -> None:
    world, station = station_of(version)
    names = "Energy.Active.Import.Register,Power.Active.Import"
    if version == "1.6":
        for key, value in (
            ("MeterValuesSampledData", names),
            ("MeterValueSampleInterval", "30"),
        ):
            setting = {"key": key, "value": value}
            assert world.call("ChangeConfiguration", setting)["status"] == "Accepted"
    else:
        data = [
            {
                "component": {"name": "SampledDataCtrlr"},
                "variable": {"name": name},
                "attributeValue": value,
            }
            for name, value in (
                ("TxUpdatedMeasurands", names),
                ("TxUpdatedInterval", "30"),
            )
        ]
        answer = world.call("SetVariables", {"setVariableData": data})
        results = answer["setVariableResult"]
        assert [r["attributeStatus"] for r in results] == ["Accepted", "Accepted"]
    arrive(world, station)
    world.heard.clear()
    world.run(5 * MINUTE)
    name = "MeterValues" if version == "1.6" else "TransactionEvent"
    readings = [p for p in world.told(name) if "meterValue" in p]
    assert len(readings) == 10
    values = readings[-1]["meterValue"][0]["sampledValue"]
    assert [v["measurand"] for v in values] == names.split(",")


QUESTIONS: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    "1.6": [
        ("GetConfiguration", {"key": ["NumberOfConnectors", "Nothing"]}, ""),
        ("GetCompositeSchedule", {"connectorId": 1, "duration": 3600}, "Accepted"),
        (
            "TriggerMessage",
            {"requestedMessage": "MeterValues", "connectorId": 1},
            "Accepted",
        ),
        ("ClearChargingProfile", {"id": 77}, "Unknown"),
        ("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}, "Scheduled"),
        ("RemoteStopTransaction", {"transactionId": 1}, "Rejected"),
        ("Reset", {"type": "Hard"}, "Accepted"),
    ],
    "2.x": [
        ("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}, "Accepted"),
        ("GetCompositeSchedule", {"evseId": 1, "duration": 3600}, "Accepted"),
        (
            "GetChargingProfiles",
            {"requestId": 2, "chargingProfile": {"stackLevel": 0}},
            "NoProfiles",
        ),
        (
            "TriggerMessage",
            {"requestedMessage": "TransactionEvent", "evse": {"id": 1}},
            "Accepted",
        ),
        ("GetTransactionStatus", {"transactionId": "nobody's"}, ""),
        ("ClearChargingProfile", {"chargingProfileId": 77}, "Unknown"),
        (
            "ChangeAvailability",
            {"evse": {"id": 1}, "operationalStatus": "Inoperative"},
            "Scheduled",
        ),
        ("RequestStopTransaction", {"transactionId": "nobody's"}, "Rejected"),
        ("Reset", {"type": "Immediate"}, "Accepted"),
    ],
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_answers_is_by_the_schemas(version: str) -> None:
    world, station = station_of(version)
    arrive(world, station)
    for action, payload, status in QUESTIONS["1.6" if version == "1.6" else "2.x"]:
        answer = world.call(action, payload)
        assert status in ("", answer.get("status")), action
    world.run(HOUR)  # it restarts, ends its transaction and boots again
    assert len(world.told("BootNotification")) == 2
