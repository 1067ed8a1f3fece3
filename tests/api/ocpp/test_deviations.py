"""Deviations are tolerated where a setting says so, counted, and no others are."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.calls import Call
from api.ocpp.codec import CODECS
from api.ocpp.deviations import read
from api.ocpp.v16 import messages as m16
from api.ocpp.violations import Violation
from domain.model import station_events as t
from domain.model.deviations import Deviation
from domain.model.values import MINUTE
from tests.api.ocpp.office import Office, Wire, open_office

BOOT = {"chargePointVendor": "Acme", "chargePointModel": "One"}
CODEC = CODECS["1.6"]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        yield office


def accepted(office: Office, *deviations: Deviation) -> Wire:
    office.register("S1", deviations=tuple(d.value for d in deviations))
    office.commission("S1")
    wire = office.connect("S1", "1.6")
    assert wire.ask("BootNotification", BOOT)["status"] == "Accepted"
    return wire


def status(**changes: Any) -> dict[str, Any]:
    said = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}
    return {**said, "timestamp": "2024-10-04T08:00:00Z", **changes}


CASES = [
    (Deviation.INSTANT_WITHOUT_OFFSET, status(timestamp="2024-10-04T08:00:00")),
    (Deviation.NULL_MEMBER, status(info=None, vendorId=None)),
    (Deviation.UNKNOWN_MEMBER, status(colour="red")),
    (Deviation.NUMBER_AS_TEXT, status(connectorId="1")),
]


@pytest.mark.parametrize(("deviation", "said"), CASES, ids=[str(c[0]) for c in CASES])
def test_a_deviation_is_read_where_it_is_tolerated_and_nowhere_else(
    office: Office, deviation: Deviation, said: dict[str, Any]
) -> None:
    office.register("S2", deviations=tuple(d for d in Deviation if d != deviation))
    office.commission("S2")
    strict = office.connect("S2", "1.6")
    strict.ask("BootNotification", BOOT)
    assert strict.call("StatusNotification", said)[0] == 4
    assert accepted(office, deviation).ask("StatusNotification", said) == {}
    (shown,) = office.events(t.StationStatusReported)
    assert isinstance(shown, t.StationStatusReported)
    assert (shown.station_id, shown.evse_number, shown.status) == ("S1", 1, "Available")


def test_a_boolean_in_quotation_marks_is_read_in_2_0_1(office: Office) -> None:
    office.register("S1", deviations=(Deviation.BOOLEAN_AS_TEXT.value,))
    office.commission("S1")
    wire = office.connect("S1", "2.0.1")
    said = {
        "eventType": "Started",
        "timestamp": "2024-10-04T08:00:00Z",
        "triggerReason": "CablePluggedIn",
        "seqNo": 0,
        "offline": "true",
        "transactionInfo": {"transactionId": "tx-1"},
        "evse": {"id": 1},
    }
    assert wire.call("TransactionEvent", said)[0] == 3
    assert wire.call("TransactionEvent", {**said, "offline": "maybe"})[0] == 4


def test_answers_to_what_we_ask_are_read_so_too(office: Office) -> None:
    wire = accepted(office, Deviation.NULL_MEMBER)
    peer = office.gateway.peers.by_id["S1"]
    found: list[object] = []
    request = m16.GetCompositeScheduleRequest(connector_id=1, duration=60)
    asked = Call(
        "GetCompositeSchedule", request, lambda *answered: found.append(answered[-1])
    )
    office.gateway.ask(office.desk.desk, peer, asked)
    answered = 0
    while answered < len(wire.calls()):
        wire.answer(
            wire.calls()[answered], {"status": "Rejected", "scheduleStart": None}
        )
        answered += 1
    assert m16.GetCompositeScheduleResponse(status="Rejected") in found


def test_uses_are_counted_in_a_row_at_first_and_one_an_hour(office: Office) -> None:
    wire = accepted(office, Deviation.NULL_MEMBER)
    for _ in range(7):
        wire.ask("StatusNotification", status(info=None, vendorId=None))
        office.pass_time(10 * MINUTE)
    found = [
        (event.deviation, event.count)
        for event in office.events(t.StationDeviationTolerated)
        if isinstance(event, t.StationDeviationTolerated)
    ]
    assert found == [("null-member", 2), ("null-member", 12)]


def test_what_keeps_to_its_protocol_is_not_counted(office: Office) -> None:
    wire = accepted(office, *Deviation)
    wire.ask("StatusNotification", status())
    assert office.events(t.StationDeviationTolerated) == []


@pytest.mark.parametrize(
    "said",
    [
        b'{"connectorId": "1.5.1", "errorCode": "NoError", "status": "Available"}',
        b'{"connectorId": "one", "errorCode": "NoError", "status": "Available"}',
        b'{"connectorId": null, "errorCode": "NoError", "status": "Available"}',
        b'{"connectorId": 1, "errorCode": "NoError", "status": "Gone"}',
        b'{"connectorId": 1, "connectorId": "1", "errorCode": "NoError", '
        b'"status": "Available"}',
        b'{"connectorId": 1, "errorCode": "NoError", "status": "Available", '
        b'"timestamp": "yesterday"}',
        b"[1]",
    ],
)
def test_what_is_no_deviation_of_the_list_is_refused_whatever_is_tolerated(
    office: Office, said: bytes
) -> None:
    accepted(office, *Deviation)
    peer = office.gateway.peers.by_id["S1"]
    decode = partial(CODEC.request, "StatusNotification")
    with pytest.raises(Violation):
        read(office.desk.desk, peer, decode, said)
    assert office.events(t.StationDeviationTolerated) == []
