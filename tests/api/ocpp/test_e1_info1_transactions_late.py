"""E1 Info1: transactions that are told late, or by a clock that is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model.values import MINUTE, SECOND, Quality
from tests.api.ocpp.office import (
    NOW,
    V2,
    Office,
    iso,
)
from tests.api.ocpp.transactions import (
    event,
    kinds,
    meter,
    only,
    open_with_contract,
    running,
    started,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_contract(tmp_path) as office:
        yield office


@pytest.mark.requirement("7.5.1")
@pytest.mark.parametrize("version", V2)
def test_what_was_told_offline_is_booked_and_wakes_nobody(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    begin = NOW - 3 * 60 * MINUTE
    evse = {"id": 1}
    for seq_no, (kind, at, wh) in enumerate(
        [
            ("Started", begin, 500),
            ("Updated", begin + 60 * MINUTE, 6_500),
            ("Ended", begin + 120 * MINUTE, 9_500),
        ]
    ):
        told = event(
            office,
            kind,
            seq_no,
            "MeterValuePeriodic",
            at=at,
            evse=evse,
            offline=True,
            meterValue=[meter(at, wh, 6_000)],
        )
        wire.ask("TransactionEvent", told)
    assert office.readings == []
    assert running(office) is None
    assert office.events(s.TransferStarted) == []
    settled = only(office, s.TransferSettled)
    assert (settled.energy_wh, settled.quality) == (9_000, Quality.LATE)


def test_what_is_told_offline_is_late_however_short_ago(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    started(office, wire)
    office.pass_time(MINUTE)
    office.readings.clear()
    told = event(
        office,
        "Updated",
        1,
        "MeterValuePeriodic",
        at=office.clock.at - 30 * SECOND,
        offline=True,
        meterValue=[meter(office.clock.at - 30 * SECOND, 1_060, 7_200)],
    )
    wire.ask("TransactionEvent", told)
    assert office.readings == []
    assert kinds(office) == ["started", "updated"]


def test_a_slow_clock_makes_no_news_late(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    behind = 20 * MINUTE
    for _ in range(3):
        office.pass_time(6 * SECOND)
        status = {
            "timestamp": iso(office.clock.at - behind),
            "connectorStatus": "Available",
            "evseId": 1,
            "connectorId": 1,
        }
        wire.ask("StatusNotification", status)
    started(office, wire, at=office.clock.at - behind)
    rows = office.system.log.read(after=0, limit=1_000)
    (plugged,) = [row for row in rows if isinstance(row.event, s.EvseBound)]
    assert plugged.occurred_at == office.clock.at


def test_a_fast_clock_makes_nothing_happen_later(office: Office) -> None:
    wire = office.connect("S1", "2.1")
    wire.ask(
        "StatusNotification",
        {
            "timestamp": iso(NOW + 90 * SECOND),
            "connectorStatus": "Available",
            "evseId": 1,
            "connectorId": 1,
        },
    )
    started(office, wire, at=NOW + 90 * SECOND)
    rows = office.system.log.read(after=0, limit=1_000)
    (plugged,) = [row for row in rows if isinstance(row.event, s.EvseBound)]
    assert plugged.occurred_at == NOW


@pytest.mark.requirement("7.5.1")
@pytest.mark.parametrize("version", V2)
def test_a_register_that_is_dated_after_its_message_is_booked(
    office: Office, version: Version
) -> None:
    wire = office.connect("S1", version)
    started(office, wire)
    office.pass_time(MINUTE)
    told_at = office.clock.at - SECOND
    late = meter(told_at + 13, 1_040)
    ended = event(
        office,
        "Ended",
        1,
        "EVCommunicationLost",
        at=told_at,
        stoppedReason="EVDisconnected",
        meterValue=[late],
    )
    wire.ask("TransactionEvent", ended)
    assert only(office, s.TransferEnded).energy_wh == 40
