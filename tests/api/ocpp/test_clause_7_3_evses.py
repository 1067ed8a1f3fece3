"""What a station says of its EVSEs is held against what they were commissioned with."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from api.ocpp.violations import Version
from domain.loop.router import restore, state_of
from domain.model import station_events as t
from domain.model.values import DAY, Current
from domain.use_cases.clause_7_3_commissioning import (
    ChangeEvseLimits,
    change_evse_limits,
)
from tests.api.ocpp.office import (
    ONE,
    TWO,
    V2,
    Office,
    Wire,
    evse_data,
    iso,
    open_office,
)
from tests.api.ocpp.sockets import BOOT_2, open_yard


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        dc = evse_data(TWO, current=Current.DC, max_w=50_000, floor_w=0)
        office.commission("S1", evse_data(ONE), dc)
        yield office


def item(
    name: str, evse: int, variable: str, value: str = "", **about: Any
) -> dict[str, Any]:
    """Return what is told of a variable; ``about`` are its characteristics."""
    data: dict[str, Any] = {
        "component": {"name": name, "evse": {"id": evse}},
        "variable": {"name": variable},
        "variableAttribute": [{"value": value} if value else {"type": "Actual"}],
    }
    if about:
        about = {"dataType": "decimal", "supportsMonitoring": False, **about}
        data["variableCharacteristics"] = about
    return data


def power(evse: int, max_limit: float, unit: str = "W") -> dict[str, Any]:
    return item("EVSE", evse, "Power", unit=unit, maxLimit=max_limit)


def report(
    office: Office, number: int, *items: dict[str, Any], **more: Any
) -> dict[str, Any]:
    told = {"reportData": list(items)} if items else {}
    return {
        "requestId": number,
        "generatedAt": iso(office.clock.at),
        "seqNo": 0,
        **told,
        **more,
    }


def asked(wire: Wire) -> dict[str, Any]:
    """Boot, and answer until the station is asked of its EVSEs; return that."""
    wire.ask("BootNotification", BOOT_2)
    for _ in range(30):
        for call in wire.calls("GetReport"):
            if call[1] not in ANSWERED:
                ANSWERED.add(call[1])
                wire.answer(call, {"status": "Accepted"})
                return dict(call[3])
        call = wire.calls()[-1]
        wire.raw(json.dumps([4, call[1], "NotSupported", "", {}]).encode())
    raise AssertionError("the station was not asked")


ANSWERED: set[str] = set()


@pytest.fixture(autouse=True)
def _nothing_answered() -> None:
    ANSWERED.clear()


def limits(office: Office) -> list[tuple[str, int | None]]:
    """Return the limits in the order in which they came; None: it is over."""
    found: list[tuple[str, int | None]] = []
    for each in office.events(t.LimitReported):
        assert isinstance(each, t.LimitReported)
        assert each.source == "EVSE"
        power_w = each.profile.power_w(office.clock.at) if each.profile else None
        found.append((each.evse_id, power_w))
    return found


def alerts(office: Office) -> list[tuple[int, str, str, bool]]:
    return [
        (e.evse_number, e.variable, e.value, e.is_cleared)
        for e in office.events(t.StationAlertReported)
        if isinstance(e, t.StationAlertReported)
    ]


@pytest.mark.requirement("7.3.1")
@pytest.mark.parametrize("version", V2)
def test_an_evse_that_can_do_less_is_planned_at_that(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    request = asked(wire)
    wanted = [
        (each["component"]["name"], each["variable"]["name"])
        for each in request["componentVariable"]
    ]
    assert ("EVSE", "Power") in wanted
    number = request["requestId"]
    first = report(office, number, power(1, 11.04, "kW"), tbc=True)
    wire.ask("NotifyReport", first)
    assert limits(office) == []  # more is to come
    wire.ask("NotifyReport", report(office, number, power(2, 60_000), seqNo=1))
    assert limits(office) == [(ONE, 11_040)]
    now = office.clock.at + 500 * DAY  # it was told once, and holds
    upto, rows = restore(office.system.log, "site", now)
    slots = state_of("site", rows, upto).slots
    assert slots[ONE].limits["EVSE"].largest(now, now) == 11_040
    assert slots[TWO].limits == {}
    assert alerts(office) == []


def test_what_is_told_again_or_not_at_all_changes_nothing(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    number = asked(wire)["requestId"]
    wire.ask("NotifyReport", report(office, number, power(1, 7_000)))
    again = asked(wire)["requestId"]
    assert again != number
    wire.ask("NotifyReport", report(office, number, power(1, 3_000)))  # an old one
    wire.ask("NotifyReport", report(office, again))
    third = asked(wire)["requestId"]
    wire.ask("NotifyReport", report(office, third, power(1, 7_000), power(9, 1)))
    assert limits(office) == [(ONE, 7_000)]
    assert len(office.events(t.StationEvsesTold)) == 1
    # What nobody asked for is kept.
    assert len(office.events(t.StationMessageKept)) == 1


def test_a_limit_ends_when_the_evse_can_do_more_or_less_is_wanted_of_it(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.0.1")
    number = asked(wire)["requestId"]
    both = (power(1, 7_000), power(2, 40_000))
    wire.ask("NotifyReport", report(office, number, *both))
    number = asked(wire)["requestId"]
    wire.ask("NotifyReport", report(office, number, power(2, 50_000)))
    assert limits(office) == [(ONE, 7_000), (TWO, 40_000), (TWO, None)]
    command = ChangeEvseLimits(evse_id=ONE, max_w=7_000, floor_w=4_140)
    change_evse_limits(office.system, command, office.by())
    office.follow()
    assert limits(office)[3:] == [(ONE, None)]


def test_what_contradicts_the_commissioning_is_an_alert_until_it_does_no_more(
    office: Office,
) -> None:
    wire = office.connect("S1", "2.1")
    number = asked(wire)["requestId"]
    told = (
        item("EVSE", 1, "SupplyPhases", "1"),
        item("EVSE", 2, "SupplyPhases", "3"),  # of DC: its supply
        item("Connector", 1, "ConnectorType", "cCCS2"),
        item("Connector", 2, "ConnectorType", "sType2"),
        item("Connector", 2, "ConnectorType", "cCCS2"),
        power(1, 2_000),
    )
    wire.ask("NotifyReport", report(office, number, *told))
    assert alerts(office) == [
        (1, "Power", "2000 W", False),
        (1, "SupplyPhases", "1", False),
        (1, "ConnectorType", "cCCS2", False),
    ]
    number = asked(wire)["requestId"]
    better = (item("EVSE", 1, "SupplyPhases", "3"), power(1, 22_080))
    wire.ask("NotifyReport", report(office, number, *better))
    assert alerts(office)[3:] == [
        (1, "Power", "2000 W", True),
        (1, "SupplyPhases", "1", True),
    ]
    assert limits(office) == [(ONE, 2_000), (ONE, None)]


@pytest.mark.parametrize("value", ["", "-1", "many", "1e9", "0"])
def test_a_power_that_is_none_is_not_known(office: Office, value: str) -> None:
    wire = office.connect("S1", "2.1")
    number = asked(wire)["requestId"]
    told = item("EVSE", 1, "Power", value, unit="W")
    told["variableAttribute"] = [{"type": "MaxSet", "value": value}]
    wire.ask("NotifyReport", report(office, number, told, power(2, 5, "A")))
    assert office.events(t.StationEvsesTold) == []
    set_w = {"type": "MaxSet", "value": "3680.5"}
    told["variableAttribute"] = [set_w]
    number = asked(wire)["requestId"]
    wire.ask("NotifyReport", report(office, number, told))
    assert limits(office) == [(ONE, 3_680)]


@pytest.mark.parametrize(
    "answer",
    [
        [3, {"status": "EmptyResultSet"}],
        [3, {"status": "NotSupported"}],
        [3, {"status": "Rejected"}],
        [4, "NotImplemented", "", {}],
        [3, {"status": "Accepted"}],
    ],
)
def test_over_a_socket_who_refuses_stays_as_it_was_and_who_tells_is_limited(
    tmp_path: Path, answer: list[Any]
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            yard.office.commission("S1", evse_data(ONE))
            async with yard.connect("S1", "ocpp2.0.1") as client:
                await talk(yard.office, client)
            is_told = answer == [3, {"status": "Accepted"}]
            assert limits(yard.office) == ([(ONE, 11_000)] if is_told else [])

    async def talk(office: Office, client: ClientConnection) -> None:
        await client.send(json.dumps([2, "b", "BootNotification", BOOT_2]))
        number = 0
        async with asyncio.timeout(10):
            while not number:
                kind, message_id, *rest = json.loads(await client.recv())
                if kind == 2 and rest[0] == "GetReport":
                    number = rest[1]["requestId"]
                    told = [answer[0], message_id, *answer[1:]]
                    await client.send(json.dumps(told))
                elif kind == 2:
                    no = [4, message_id, "NotSupported", "", {}]
                    await client.send(json.dumps(no))
        if answer == [3, {"status": "Accepted"}]:
            told = [2, "r", "NotifyReport", report(office, number, power(1, 11_000))]
            await client.send(json.dumps(told))
        await client.send(json.dumps([2, "h", "Heartbeat", {}]))
        async with asyncio.timeout(10):
            while json.loads(await client.recv())[1] != "h":
                pass

    asyncio.run(check())
