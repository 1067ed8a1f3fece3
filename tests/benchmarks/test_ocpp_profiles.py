"""How a virtual station reads charging profiles."""

from typing import Any

import pytest

from benchmarks.simulator.ocpp.profiles import (
    NO_LIMIT,
    Moment,
    ProfileSet,
    Unacceptable,
    Wiring,
    profile_of,
)
from domain.model.values import DAY, HOUR, MINUTE, SECOND, iso_of

NOW = 20_000 * DAY
AC = Wiring(230.0, 3)
TX = "t1"


def raw(purpose: str = "TxProfile", **changes: Any) -> dict[str, Any]:
    schedule = {
        "id": 1,
        "startSchedule": iso_of(NOW),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 5000.0}],
    }
    schedule |= changes.pop("schedule", {})
    profile = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [{k: v for k, v in schedule.items() if v is not None}],
    }
    return {**profile, **changes}


def profiles() -> ProfileSet:
    return ProfileSet(("A", "W"), 10, 5, [])


def moment(at: int = NOW, **changes: Any) -> Moment:
    values: dict[str, Any] = {
        "evse": 1,
        "at": at,
        "transaction_id": TX,
        "transaction_at": NOW - HOUR,
    }
    return Moment(**{**values, **changes})


def limit(stored: ProfileSet, at: int = NOW, **changes: Any) -> float:
    return stored.limit_w(moment(at, **changes), AC)


def test_without_a_profile_there_is_no_limit() -> None:
    assert limit(profiles()) == NO_LIMIT


def test_a_new_transaction_starts_on_the_default_and_then_has_its_own() -> None:
    stored = profiles()
    stored.put(profile_of(raw("TxDefaultProfile", id=7), 0), None)
    own = raw(transactionId=TX, schedule={"chargingSchedulePeriod": [
        {"startPeriod": 0, "limit": 9000.0}
    ]})  # fmt: skip
    assert limit(stored) == 5000
    stored.put(profile_of(own, 1), TX)
    assert limit(stored) == 9000
    assert limit(stored, transaction_id="t2") == 5000


def test_the_maximum_holds_over_all_and_the_higher_level_over_the_lower() -> None:
    stored = profiles()
    for level, power_w in ((0, 3000.0), (2, 8000.0)):
        periods = [{"startPeriod": 0, "limit": power_w}]
        stored.put(
            profile_of(
                raw(
                    "TxDefaultProfile",
                    id=10 + level,
                    stackLevel=level,
                    schedule={"chargingSchedulePeriod": periods},
                ),
                1,
            ),
            None,
        )
    assert limit(stored) == 8000
    stored.put(profile_of(raw("ChargingStationMaxProfile", id=3), 0), None)
    assert limit(stored) == 5000


def test_a_schedule_that_ends_hands_over_to_the_level_below() -> None:
    stored = profiles()
    stored.put(profile_of(raw("TxDefaultProfile", id=2), 0), None)
    own = raw(
        transactionId=TX,
        schedule={
            "duration": 60,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}],
        },
    )
    stored.put(profile_of(own, 1), TX)
    assert limit(stored, NOW + 59 * SECOND) == 1
    assert limit(stored, NOW + MINUTE) == 5000
    assert stored.next_change(moment(NOW)) == NOW + MINUTE


def test_amperes_are_of_each_line_that_is_used() -> None:
    stored = profiles()
    periods = [
        {"startPeriod": 0, "limit": 10.0},
        {"startPeriod": 30, "limit": 6.0, "numberPhases": 1},
    ]
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    stored.put(profile_of(raw(transactionId=TX, schedule=schedule), 1), TX)
    assert limit(stored) == 6900
    assert limit(stored, NOW + 30 * SECOND) == 1380


def test_a_relative_schedule_counts_from_the_start_of_the_transaction() -> None:
    stored = profiles()
    periods = [{"startPeriod": 0, "limit": 1.0}, {"startPeriod": 3600, "limit": 2.0}]
    schedule = {"startSchedule": None, "chargingSchedulePeriod": periods}
    relative = raw(chargingProfileKind="Relative", transactionId=TX, schedule=schedule)
    stored.put(profile_of(relative, 1), TX)
    assert limit(stored, NOW - 1) == 1
    assert limit(stored, NOW) == 2


def test_offline_for_too_long_a_profile_holds_no_more() -> None:
    stored = profiles()
    stored.put(profile_of(raw(transactionId=TX, maxOfflineDuration=900), 1), TX)
    since = NOW - 10 * MINUTE
    assert limit(stored, offline_since=since) == 5000
    assert limit(stored, NOW + 5 * MINUTE, offline_since=since) == NO_LIMIT
    assert stored.next_change(moment(offline_since=since)) == NOW + 5 * MINUTE


REFUSED: dict[str, tuple[dict[str, Any], int, str | None, str]] = {
    "no transaction": (raw(transactionId=TX), 1, None, "TxNotFound"),
    "another transaction": (raw(transactionId="t0"), 1, TX, "TxNotFound"),
    "the station's own": (raw(transactionId=TX), 0, TX, "InvalidProfile"),
    "a level too high": (
        raw(transactionId=TX, stackLevel=6), 1, TX, "InvalidStackLevel",
    ),
    "no start": (
        raw(transactionId=TX, schedule={"startSchedule": None}), 1, TX,
        "NoStartSchedule",
    ),
    "relative with a start": (
        raw(transactionId=TX, chargingProfileKind="Relative"), 1, TX,
        "StartScheduleSet",
    ),
    "too many periods": (
        raw(transactionId=TX, schedule={"chargingSchedulePeriod": [
            {"startPeriod": s, "limit": 1.0} for s in range(11)
        ]}), 1, TX, "TooManyPeriods",
    ),
    "periods out of order": (
        raw(transactionId=TX, schedule={"chargingSchedulePeriod": [
            {"startPeriod": s, "limit": 1.0} for s in (0, 60, 30)
        ]}), 1, TX, "InvalidSchedule",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "evse", "active", "code"), REFUSED.values(), ids=REFUSED
)
def test_what_cannot_be_stored_is_refused(
    given: dict[str, Any], evse: int, active: str | None, code: str
) -> None:
    with pytest.raises(Unacceptable, match=code):
        profiles().put(profile_of(given, evse), active)


def test_another_id_at_the_same_level_of_a_transaction_is_refused() -> None:
    stored = profiles()
    stored.put(profile_of(raw(transactionId=TX), 1), TX)
    stored.put(profile_of(raw(transactionId=TX), 1), TX)
    with pytest.raises(Unacceptable, match="DuplicateProfile"):
        stored.put(profile_of(raw(transactionId=TX, id=2), 1), TX)


def test_clearing_forgets_what_matches() -> None:
    stored = profiles()
    stored.put(profile_of(raw("TxDefaultProfile", id=2), 0), None)
    stored.put(profile_of(raw("ChargingStationMaxProfile", id=3), 0), None)
    assert not stored.clear(9)
    assert stored.clear(None, "ChargingStationMaxProfile")
    assert [p.id for p in stored.profiles] == [2]
    assert stored.clear(2)
    assert stored.profiles == []
