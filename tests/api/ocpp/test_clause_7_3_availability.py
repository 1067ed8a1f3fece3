"""An operator takes stations and EVSEs out of use, and puts them to use again."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.exchanges import MODULES
from api.ocpp.gateway import Gateway
from api.ocpp.violations import Version
from domain.errors import Refused
from domain.model import station_events as t
from domain.model.values import SECOND, iso_of
from domain.use_cases.clause_7_3_availability import (
    ChangeAvailability,
    change_availability,
)
from domain.use_cases.clause_7_10_safety import (
    RecordAssessment,
    ReportSafetyIssue,
    record_assessment,
    report_safety_issue,
)
from tests.api.ocpp.activities import connected, ended, start, steps
from tests.api.ocpp.office import (
    ONE,
    TWO,
    V2,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    open_with_station,
)
from tests.api.ocpp.sockets import open_yard


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


def change(office: Office, is_operative: bool, evse_id: str = "") -> None:
    command = ChangeAvailability(
        station_id="S1", is_operative=is_operative, evse_id=evse_id
    )
    change_availability(office.system, command, office.by())
    office.follow()


def told(version: Version, is_operative: bool, number: int = 0) -> dict[str, Any]:
    """Return what the station is told of an EVSE, or of itself."""
    status = "Operative" if is_operative else "Inoperative"
    if version == "1.6":
        return {"connectorId": number, "type": status}
    evse = {"evse": {"id": number}} if number else {}
    return {"operationalStatus": status, **evse}


def last(wire: Wire) -> Any:
    return wire.calls("ChangeAvailability")[-1]


def say(office: Office, wire: Wire, version: Version, status: str, number: int) -> None:
    request = {"connectorId": number, "status": status, "errorCode": "NoError"}
    if version != "1.6":
        request = {
            "timestamp": iso_of(office.clock.at),
            "connectorStatus": status,
            "evseId": number,
            "connectorId": 1,
        }
    wire.ask("StatusNotification", request)


def used(office: Office) -> list[tuple[str, bool]]:
    return [
        (e.evse_id, e.is_operative)
        for e in office.events(t.StationUseChanged)
        if isinstance(e, t.StationUseChanged)
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("evse_id", ["", TWO])
def test_a_station_or_an_evse_goes_out_of_use_and_comes_back(
    office: Office, version: Version, evse_id: str
) -> None:
    wire = connected(office, version)
    number = 2 if evse_id else 0
    all_of_them = [ONE, TWO] if version == "1.6" and not evse_id else []
    for is_operative in (False, True):
        change(office, is_operative, evse_id)
        call = last(wire)
        assert call[3] == told(version, is_operative, number)
        wire.answer(call, {"status": "Accepted"})
        assert ended(office).outcome == "done"
        of = [(each, is_operative) for each in (evse_id, *all_of_them)]
        assert used(office)[-len(of) :] == of
        assert len(wire.calls("ChangeAvailability")) == 1 + is_operative


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_scheduled_is_done_when_the_station_says_that_it_has_come(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    change(office, False)
    wire.answer(last(wire), {"status": "Scheduled"})
    assert steps(office) == ["sent", "scheduled"]
    assert ("", False) in used(office)  # the station will see to it
    say(office, wire, version, "Unavailable", 1)
    office.follow()
    assert steps(office) == ["sent", "scheduled"]
    say(office, wire, version, "Unavailable", 2)
    office.follow()
    assert steps(office) == ["sent", "scheduled", "done"]


def test_what_comes_after_it_takes_the_place_of_what_is_scheduled(
    office: Office,
) -> None:
    wire = connected(office, "2.1")
    change(office, False, ONE)
    wire.answer(last(wire), {"status": "Scheduled"})
    change(office, False, TWO)
    wire.answer(last(wire), {"status": "Scheduled"})
    change(office, True, ONE)
    wire.answer(last(wire), {"status": "Accepted"})
    assert steps(office)[-2:] == ["failed", "done"]
    assert "another one" in str(office.events(type(ended(office)))[0])
    assert used(office) == [(ONE, False), (TWO, False), (ONE, True)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_that_rejects_it_stays_as_it_was(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    change(office, False, ONE)
    wire.answer(last(wire), {"status": "Rejected"})
    assert ended(office).outcome == "refused"
    assert used(office) == []


@pytest.mark.requirement("7.10.1")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_blocked_is_not_put_to_use_by_this(
    office: Office, version: Version
) -> None:
    issue = ReportSafetyIssue(evse_id=ONE, issue="smoke")
    report_safety_issue(office.system, issue, office.by())
    office.follow()
    with pytest.raises(Refused, match="blocked: smoke"):
        change(office, True, ONE)
    wire = connected(office, version)
    wire.answer(last(wire), {"status": "Accepted"})
    before = len(wire.calls("ChangeAvailability"))
    change(office, True)
    if version == "1.6":  # all connectors would be of use
        assert ended(office).outcome == "refused"
        assert "smoke" in ended(office).detail
        assert len(wire.calls("ChangeAvailability")) == before
        return
    wire.answer(last(wire), {"status": "Accepted"})
    assert ended(office).outcome == "done"
    assert last(wire)[3] == told(version, False, 1)  # told once more


@pytest.mark.parametrize("version", V2)
def test_what_the_operator_took_out_of_use_stays_so_after_a_block_and_a_restart(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    change(office, False, ONE)
    wire.answer(last(wire), {"status": "Accepted"})
    issue = ReportSafetyIssue(evse_id=ONE, issue="smoke")
    report_safety_issue(office.system, issue, office.by())
    office.follow()
    wire.answer(last(wire), {"status": "Accepted"})
    office.gateway = Gateway(office.system, office.desk, office, MODULES)
    office.ask_nothing()
    safe = RecordAssessment(
        evse_id=ONE, issue_number=1, is_safe=True, assessor="inspector"
    )
    record_assessment(office.system, safe, office.by())
    wire = connected(office, version)
    peer = office.gateway.peers.by_id["S1"]
    assert (peer.out_of_use, peer.inoperative) == ({ONE}, {ONE})
    assert all(
        c[3] == told(version, False, 1) for c in wire.calls("ChangeAvailability")
    )


@pytest.mark.parametrize("evse_id", ["", TWO])
def test_nobody_is_started_remotely_where_it_is_out_of_use(
    office: Office, evse_id: str
) -> None:
    wire = connected(office, "2.1")
    change(office, False, evse_id)
    wire.answer(last(wire), {"status": "Accepted"})
    with pytest.raises(Refused, match="taken out of use"):
        start(office)
    change(office, True, evse_id)
    wire.answer(last(wire), {"status": "Accepted"})
    start(office)


def test_who_is_away_is_told_when_it_connects(office: Office) -> None:
    change(office, False)
    assert steps(office) == []
    wire = connected(office, "1.6")
    office.pass_time(15 * SECOND)
    assert last(wire)[3] == {"connectorId": 0, "type": "Inoperative"}


@pytest.mark.parametrize("version", VERSIONS)
def test_over_a_socket_a_station_goes_out_of_use_when_its_ev_has_left(
    tmp_path: Path, version: Version
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            yard.office.commission("S1", evse_data(ONE))
            async with yard.connect("S1", f"ocpp{version}") as client:
                await talk(yard.office, client)
            assert steps(yard.office) == ["sent", "scheduled", "done"]

    async def talk(office: Office, client: Any) -> None:
        await client.send(json.dumps([2, "h", "Heartbeat", {}]))
        assert json.loads(await client.recv())[1] == "h"
        change(office, False)
        kind, message_id, action, payload = json.loads(await client.recv())
        assert (kind, action) == (2, "ChangeAvailability")
        assert payload == told(version, False)
        await client.send(json.dumps([3, message_id, {"status": "Scheduled"}]))
        status: dict[str, Any] = {"connectorId": 1, "status": "Unavailable"}
        status |= {"errorCode": "NoError"}
        if version != "1.6":
            status = {
                "timestamp": iso_of(office.clock.at),
                "connectorStatus": "Unavailable",
                "evseId": 1,
                "connectorId": 1,
            }
        await client.send(json.dumps([2, "s", "StatusNotification", status]))
        assert json.loads(await client.recv())[:2] == [3, "s"]
        office.follow()

    asyncio.run(asyncio.wait_for(check(), 20))
