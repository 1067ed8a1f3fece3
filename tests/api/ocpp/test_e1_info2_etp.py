"""E1 Info2: what a station is told of its ETPs, and what its answers come to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.exchanges import (
    MODULES,
    clause_7_3_capabilities,
    clause_7_3_standing_profiles,
)
from api.ocpp.gateway import Gateway
from api.ocpp.violations import Version
from domain.model import station_events as t
from domain.model.plan_events import EtpAccepted, EtpRefused
from domain.model.values import MINUTE, SECOND
from domain.use_cases.e1_smart_charging import UnplugEv, unplug_ev
from tests.api.ocpp.etps_told import (
    begin,
    connected,
    deliveries,
    etps,
    limits,
    plug,
    profile_of,
    schedule_of,
    send,
    time_of,
    told,
)
from tests.api.ocpp.office import (
    ONE,
    TWO,
    VERSIONS,
    Office,
    evse_data,
    open_office,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        # The station is asked nothing else, and it is known what it can do.
        others = (clause_7_3_capabilities.MODULE, clause_7_3_standing_profiles.MODULE)
        modules = [module for module in MODULES if module not in others]
        office.gateway = Gateway(office.system, office.desk, office, modules)
        office.register("S1")
        office.commission("S1", evse_data(ONE), evse_data(TWO))
        yield office


@pytest.mark.requirement("E1.Req1")
@pytest.mark.requirement("E1.Info2")
@pytest.mark.parametrize("version", VERSIONS)
def test_an_etp_is_told_as_the_profile_of_the_transaction(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    plug(office)
    transaction_id = begin(office, wire)
    send(office, 7, (0, 11_000), (3_600, 5_000), (7_200, 0))
    call = told(wire)
    profile = profile_of(call)
    place = call[3].get("connectorId") or call[3].get("evseId")
    assert place == 1
    assert profile["transactionId"] == transaction_id
    assert profile["chargingProfileKind"] == "Absolute"
    assert profile["stackLevel"] == 7
    assert "duration" not in schedule_of(call)
    assert [limit for _, limit in limits(call)] == [11_000, 5_000, 0]
    assert deliveries(office) == [EtpAccepted(evse_id=ONE, number=7)]


@pytest.mark.parametrize("version", VERSIONS)
def test_before_a_transaction_an_etp_waits_and_the_newest_goes_out(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    plug(office)
    send(office, 1, (0, 9_000))
    send(office, 2, (0, 8_000))
    assert etps(wire) == []
    begin(office, wire)
    call = told(wire)
    # The loop plans a day; what comes then is the safe value, here nothing.
    assert [limit for _, limit in limits(call)] == [8_000, 0]
    assert limits(call)[1][0] == pytest.approx(86_400, abs=20)
    assert len(etps(wire)) == 1
    assert deliveries(office) == [
        t.EtpSuperseded(evse_id=ONE, number=1, by_number=2),
        EtpAccepted(evse_id=ONE, number=2),
    ]


def test_1_6_is_told_after_the_answer_to_its_start(office: Office) -> None:
    wire = connected(office, "1.6")
    plug(office)
    send(office, 1, (0, 9_000))
    started = {
        "connectorId": 1,
        "idTag": "04AABBCC",
        "meterStart": 0,
        "timestamp": time_of(office),
    }
    transaction_id = wire.ask("StartTransaction", started)["transactionId"]
    (call,) = etps(wire)
    assert profile_of(call)["transactionId"] == transaction_id
    assert wire.frames.index(call) > max(
        i for i, frame in enumerate(wire.frames) if frame[0] == 3
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_is_a_fact_with_its_reason(office: Office, version: Version) -> None:
    wire = connected(office, version)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000))
    told(wire, {"status": "Rejected"})
    assert deliveries(office) == [EtpRefused(evse_id=ONE, number=1, reason="Rejected")]
    send(office, 2, (0, 8_000))
    call = etps(wire)[-1]
    wire.raw(b'[4,"%s","InternalError","no",{}]' % call[1].encode())
    assert deliveries(office)[-1] == EtpRefused(
        evse_id=ONE, number=2, reason="InternalError: no"
    )


def test_what_cannot_be_encoded_is_refused_and_nothing_is_sent(office: Office) -> None:
    wire = connected(office, "2.0.1")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, -5_000))
    (refused,) = deliveries(office)
    assert isinstance(refused, EtpRefused)
    assert "discharge" in refused.reason
    assert etps(wire) == []


def test_a_station_without_smart_charging_is_told_nothing(office: Office) -> None:
    wire = connected(office, "2.0.1", has_smart_charging=False)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 5_000))
    assert etps(wire) == []
    assert [type(event) for event in deliveries(office)] == [EtpRefused]


def test_while_one_is_unanswered_the_newest_takes_the_place_of_those_between(
    office: Office,
) -> None:
    wire = connected(office, "2.1")
    plug(office)
    begin(office, wire)
    for number, power_w in ((1, 9_000), (2, 8_000), (3, 7_000)):
        send(office, number, (0, power_w))
    assert len(etps(wire)) == 1
    told(wire)
    told(wire)
    assert [limits(call)[0][1] for call in etps(wire)] == [9_000, 7_000]
    assert deliveries(office) == [
        t.EtpSuperseded(evse_id=ONE, number=2, by_number=3),
        EtpAccepted(evse_id=ONE, number=1),
        EtpAccepted(evse_id=ONE, number=3),
    ]


def test_decreases_go_before_increases(office: Office) -> None:
    wire = connected(office, "2.1")
    plug(office)
    plug(office, TWO)
    begin(office, wire, 1, "tx-1")
    begin(office, wire, 2, "tx-2")
    for number, evse_id in ((1, ONE), (2, TWO)):
        send(office, number, (0, 8_000), evse_id=evse_id)
        told(wire)
    send(office, 3, (0, 8_500), evse_id=ONE)  # is on its way
    send(office, 4, (0, 9_000), evse_id=ONE)
    send(office, 5, (0, 5_000), evse_id=TWO)
    told(wire)
    assert etps(wire)[-1][3]["evseId"] == 2


def test_a_station_of_one_period_is_told_again_at_each_step(office: Office) -> None:
    wire = connected(office, "1.6", max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 5_000), (60, 9_000), (1_000, 6_000))
    assert limits(told(wire)) == [(0, 5_000)]
    office.pass_time(61 * SECOND)
    assert limits(told(wire)) == [(0, 9_000)]
    office.pass_time(15 * MINUTE)
    assert limits(etps(wire)[-1]) == [(0, 6_000)]  # ahead of its fall, not after it
    assert len(etps(wire)) == 3
    assert len(office.events(EtpAccepted)) == 1  # it is the same ETP


def test_a_station_of_one_period_is_told_a_fall_a_minute_ahead_and_no_sooner(
    office: Office,
) -> None:
    wire = connected(office, "2.1", max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000), (280, 5_000), (300, 7_000))
    assert limits(told(wire)) == [(0, 9_000)]
    office.pass_time(219 * SECOND)
    assert len(etps(wire)) == 1
    office.pass_time(SECOND)
    assert limits(told(wire)) == [(0, 5_000)]
    office.pass_time(80 * SECOND)
    assert limits(told(wire)) == [(0, 7_000)]


def test_a_step_that_is_not_answered_leaves_the_station_at_what_it_was_told(
    office: Office,
) -> None:
    wire = connected(office, "1.6", max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000), (60, 5_000), (120, 6_000))
    assert limits(told(wire)) == [(0, 5_000)]  # it may hear no more in time
    send(office, 2, (0, 9_000), (301, 5_000))
    assert limits(told(wire)) == [(0, 9_000)]
    office.pass_time(5 * MINUTE + SECOND)
    assert limits(etps(wire)[-1]) == [(0, 5_000)]
    office.pass_time(11 * SECOND)
    (compared,) = office.events(t.ScheduleCompared)
    assert isinstance(compared, t.ScheduleCompared)
    assert (compared.expected_w, compared.allowed_w) == (5_000, 9_000)


def test_a_step_that_is_refused_leaves_the_station_at_what_it_was_told(
    office: Office,
) -> None:
    wire = connected(office, "1.6", max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000), (301, 5_000))
    told(wire)
    office.pass_time(5 * MINUTE + SECOND)
    told(wire, {"status": "Rejected"})
    (compared,) = office.events(t.ScheduleCompared)
    assert isinstance(compared, t.ScheduleCompared)
    assert (compared.expected_w, compared.allowed_w) == (5_000, 9_000)


@pytest.mark.parametrize("answer", [{"status": "Rejected"}, None])
def test_where_a_newer_etp_is_not_stored_nobody_tells_the_steps_of_the_one_before(
    office: Office, answer: dict[str, Any] | None
) -> None:
    wire = connected(office, "1.6", max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000), (600, 5_000))
    told(wire)
    office.pass_time(MINUTE)
    send(office, 2, (0, 10_000))
    if answer is None:
        office.pass_time(MINUTE)
    else:
        told(wire, answer)
    (compared,) = office.events(t.ScheduleCompared)
    assert isinstance(compared, t.ScheduleCompared)
    assert (compared.number, compared.expected_w, compared.allowed_w) == (
        1,
        5_000,
        9_000,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_after_a_decrease_it_is_asked_once_for_a_reading(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000))
    told(wire)
    office.pass_time(MINUTE)
    assert wire.calls("TriggerMessage") == []
    send(office, 2, (0, 6_000))
    told(wire)
    office.pass_time(MINUTE)
    (asked,) = wire.calls("TriggerMessage")
    assert asked[3]["requestedMessage"] == "MeterValues"


def test_after_a_pause_it_is_asked_whether_it_resumed_as_told(office: Office) -> None:
    wire = connected(office, "2.0.1")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 0))
    told(wire)
    office.pass_time(MINUTE)
    send(office, 2, (0, 6_000))
    told(wire)
    office.pass_time(MINUTE)
    assert len(wire.calls("TriggerMessage")) == 1


def test_after_each_step_from_0_that_it_takes_by_itself_it_is_asked_too(
    office: Office,
) -> None:
    wire = connected(office, "2.0.1")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 6_000), (300, 0), (600, 6_000), (900, 0), (1_200, 6_000))
    told(wire)
    office.pass_time(10 * MINUTE)
    assert wire.calls("TriggerMessage") == []
    office.pass_time(MINUTE)
    (asked,) = wire.calls("TriggerMessage")
    wire.answer(asked, {"status": "Accepted"})
    office.pass_time(9 * MINUTE)
    assert len(wire.calls("TriggerMessage")) == 1
    office.pass_time(MINUTE)
    assert len(wire.calls("TriggerMessage")) == 2


def test_while_a_decrease_is_open_the_station_reports_more_often(
    office: Office,
) -> None:
    wire = connected(office, "1.6")
    plug(office)
    begin(office, wire)
    for number, power_w in ((1, 9_000), (2, 6_000)):
        send(office, number, (0, power_w))
        told(wire)
    (fast,) = wire.calls("ChangeConfiguration")
    assert fast[3] == {"key": "MeterValueSampleInterval", "value": "10"}
    wire.answer(fast, {"status": "Accepted"})
    office.pass_time(12 * SECOND)
    wire.answer(wire.calls("TriggerMessage")[0], {"status": "Accepted"})
    office.pass_time(MINUTE)
    assert wire.calls("ChangeConfiguration")[-1][3]["value"] == "30"


def test_an_ev_that_left_has_no_etp(office: Office) -> None:
    wire = connected(office, "2.0.1")
    plug(office)
    send(office, 1, (0, 9_000))
    unplug_ev(office.system, UnplugEv(evse_id=ONE, energy_wh=0), office.by())
    office.follow()
    begin(office, wire)
    assert etps(wire) == []


def test_another_transaction_of_the_same_ev_gets_the_etp_of_its_own(
    office: Office,
) -> None:
    wire = connected(office, "2.0.1")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000))
    told(wire)
    begin(office, wire, name="tx-2")
    assert len(etps(wire)) == 1  # what was planned for the first one counts no more
    send(office, 2, (0, 8_000))
    assert profile_of(told(wire))["transactionId"] == "tx-2"


def test_a_limit_in_amperes_told_before_the_voltage_was_known_is_nobodys_limit(
    office: Office,
) -> None:
    wire = connected(office, "2.0.1", unit="A")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000))
    assert limits(told(wire, compares=True))[0] == (0, 11)
    office.gateway.peers.by_id["S1"].transactions[1].measured_v = 220.0
    (asked,) = wire.calls("GetCompositeSchedule")
    answer = composite(office, "2.0.1", 11)
    answer["schedule"]["chargingRateUnit"] = "A"
    wire.answer(asked, answer)
    assert office.events(t.ScheduleCompared) == []


def composite(office: Office, version: Version, limit_w: float) -> dict[str, Any]:
    periods = [{"startPeriod": 0, "limit": limit_w}]
    start = time_of(office)
    if version == "1.6":
        schedule = {"chargingRateUnit": "W", "chargingSchedulePeriod": periods}
        return {
            "status": "Accepted",
            "connectorId": 1,
            "scheduleStart": start,
            "chargingSchedule": schedule,
        }
    found = {
        "evseId": 1,
        "duration": 60,
        "scheduleStart": start,
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": periods,
    }
    return {"status": "Accepted", "schedule": found}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("allowed_w", "is_compared", "is_limited"),
    [(8_990, False, False), (10_000, True, False), (6_000, True, True)],
)
def test_after_a_reconnection_what_the_station_allows_is_compared(
    office: Office,
    version: Version,
    allowed_w: int,
    is_compared: bool,
    is_limited: bool,
) -> None:
    wire = connected(office, version)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000))
    told(wire, compares=True)
    (asked,) = wire.calls("GetCompositeSchedule")
    wire.answer(asked, composite(office, version, allowed_w))
    found = office.events(t.ScheduleCompared)
    limited = office.events(t.LimitReported)
    assert (bool(found), bool(limited)) == (is_compared, is_limited)
    send(office, 2, (0, 8_000))
    told(wire)
    assert len(wire.calls("GetCompositeSchedule")) == 1  # once a connection
    if is_limited:
        office.pass_time(15 * MINUTE)
        assert len(wire.calls("GetCompositeSchedule")) == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("allowed_w", "is_limited"), [(5_000, False), (3_000, True)])
def test_what_a_station_was_told_is_nobodys_limit_though_its_etp_says_more(
    office: Office, version: Version, allowed_w: int, is_limited: bool
) -> None:
    wire = connected(office, version, max_periods=1)
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 9_000), (40, 5_000))
    assert limits(told(wire, compares=True)) == [(0, 5_000)]  # the least until renewed
    (asked,) = wire.calls("GetCompositeSchedule")
    wire.answer(asked, composite(office, version, allowed_w))
    assert bool(office.events(t.LimitReported)) == is_limited


def test_an_etp_that_waits_behind_the_question_is_not_what_was_told(
    office: Office,
) -> None:
    wire = connected(office, "2.1")
    plug(office)
    begin(office, wire)
    send(office, 1, (0, 3_000))
    told(wire, compares=True)
    (asked,) = wire.calls("GetCompositeSchedule")
    send(office, 2, (0, 9_000))  # it leaves when the answer came
    wire.answer(asked, composite(office, "2.1", 3_000))
    assert office.events(t.LimitReported, t.ScheduleCompared) == []
