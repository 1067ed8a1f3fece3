"""Samples: one file a day by the day of recording, sealed once and for good."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.errors import StoreFull
from domain.model.plan_events import ReadingsTaken, SamplesSealed
from domain.model.values import DAY, HOUR
from domain.store.ledger import Ledger
from domain.store.samples import SAMPLES_STREAM, Samples, end_of_day
from domain.store.verify import verify
from tests.store.fakes import MONDAY, FakeClock, SeededIds


@pytest.fixture
def samples(
    tmp_path: Path, ledger: Ledger, clock: FakeClock, ids: SeededIds
) -> Iterator[Samples]:
    samples = opened(tmp_path, ledger, clock, ids)
    yield samples
    samples.close()


def opened(folder: Path, ledger: Ledger, clock: FakeClock, ids: SeededIds) -> Samples:
    return Samples(folder / "samples", log=ledger, clock=clock, ids=ids)


def readings(power_w: int) -> ReadingsTaken:
    return ReadingsTaken(
        zone_id="z", from_at=MONDAY, evse_ids=("e",), evse_index=bytes(4),
        offset_ms=bytes(4), power_w=power_w.to_bytes(4, "little"), register_wh=bytes(4),
    )  # fmt: skip


def seals(ledger: Ledger) -> list[SamplesSealed]:
    events = [row.event for row in ledger.read_stream(SAMPLES_STREAM)]
    return [event for event in events if isinstance(event, SamplesSealed)]


def test_the_day_of_recording_holds_the_rows(
    samples: Samples, clock: FakeClock
) -> None:
    samples.append("samples-z", readings(1), MONDAY)
    samples.append("samples-y", readings(2), MONDAY)
    samples.append("samples-z", readings(3), MONDAY)
    clock.at += DAY
    samples.append("samples-z", readings(4), MONDAY)
    monday, tuesday = (list(samples.read_day(day)) for day in samples.days())
    assert [(r.position, r.stream, r.version) for r in monday] == [
        (1, "samples-z", 1), (2, "samples-y", 1), (3, "samples-z", 2),
    ]  # fmt: skip
    assert [row.event for row in tuesday] == [readings(4)]
    assert tuesday[0].occurred_at == MONDAY
    assert not tuesday[0].is_decision
    assert list(samples.read_day("2001-01-01")) == []


def test_a_day_can_be_read_from_the_moment_it_is_there(
    samples: Samples, clock: FakeClock
) -> None:
    ended = threading.Event()

    def read_all() -> int:
        while not ended.is_set():
            for day in samples.days()[-1:]:
                rows = list(samples.read_day(day))
        return len(rows)

    with ThreadPoolExecutor() as pool:
        reading = [pool.submit(read_all) for _ in range(2)]
        for _ in range(50):
            samples.append("samples-z", readings(1), MONDAY)
            clock.at += DAY
        ended.set()
        assert [each.result() for each in reading] == [1, 1]


def test_a_day_whose_file_was_not_finished_begins_anew(
    samples: Samples, tmp_path: Path
) -> None:
    for left in ("2019-10-21.new", "2019-10-21.new-wal"):
        (tmp_path / "samples" / left).write_bytes(b"half of a file")
    samples.append("samples-z", readings(1), MONDAY)
    (day,) = samples.days()
    assert len(list(samples.read_day(day))) == 1
    samples.close()
    assert [file.name for file in (tmp_path / "samples").iterdir()] == [f"{day}.sqlite"]


def test_a_day_that_ended_is_sealed_once(
    samples: Samples, ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    samples.append("samples-z", readings(1), MONDAY)
    samples.close_days_before(clock.at + HOUR)
    assert seals(ledger) == []
    clock.at += DAY
    for _ in range(2):
        samples.close_days_before(clock.at)
    (seal,) = seals(ledger)
    assert (seal.day, seal.rows) == ("2019-10-21", 2)
    assert end_of_day("2019-10-21") == MONDAY + DAY
    ledger.flush()
    assert not (tmp_path / "samples" / "2019-10-21.sqlite-wal").exists()
    assert verify(tmp_path).is_intact


def test_a_late_reading_goes_where_the_present_ones_go(
    samples: Samples, ledger: Ledger, clock: FakeClock
) -> None:
    samples.append("samples-z", readings(1), MONDAY)
    clock.at += DAY
    samples.close_days_before(clock.at)
    samples.append("samples-z", readings(2), MONDAY)
    assert samples.days() == ["2019-10-21", "2019-10-22"]
    assert len(list(samples.read_day("2019-10-21"))) == 1


def test_a_sealed_day_stays_sealed_when_the_clock_goes_back(
    tmp_path: Path, ledger: Ledger, clock: FakeClock, ids: SeededIds
) -> None:
    first = opened(tmp_path, ledger, clock, ids)
    first.append("samples-z", readings(1), MONDAY)
    first.close_days_before(clock.at + DAY)
    first.append("samples-z", readings(2), MONDAY)
    first.close()
    again = opened(tmp_path, ledger, clock, ids)
    again.append("samples-z", readings(3), MONDAY)
    again.close_days_before(clock.at + 2 * DAY)
    again.close()
    assert [(seal.day, seal.rows) for seal in seals(ledger)] == [
        ("2019-10-21", 2), ("2019-10-22", 3),
    ]  # fmt: skip
    ledger.flush()
    assert verify(tmp_path).is_intact


def test_a_day_goes_on_after_a_restart(
    tmp_path: Path, ledger: Ledger, clock: FakeClock, ids: SeededIds
) -> None:
    for power_w in range(3):
        samples = opened(tmp_path, ledger, clock, ids)
        samples.append("samples-z", readings(power_w), MONDAY)
        samples.close()
    rows = list(samples.read_day("2019-10-21"))
    assert [row.version for row in rows] == [1, 2, 3]
    assert verify(tmp_path).is_intact


def test_sealing_goes_on_after_a_crash_before_the_flush(
    tmp_path: Path, clock: FakeClock, ids: SeededIds
) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, clock=clock, ids=ids)
    samples = opened(tmp_path, ledger, clock, ids)
    samples.append("samples-z", readings(1), MONDAY)
    samples.close_days_before(MONDAY + DAY)
    samples.close()
    ledger._roll_back()
    assert seals(ledger) == []
    ledger.close()
    with Ledger(path, clock=clock, ids=ids) as ledger:
        samples = opened(tmp_path, ledger, clock, ids)
        samples.close_days_before(MONDAY + DAY)
        samples.close()
        assert [seal.rows for seal in seals(ledger)] == [2]


def test_a_full_disk_costs_the_row_and_not_the_day(
    samples: Samples, tmp_path: Path
) -> None:
    samples.append("samples-z", readings(1), MONDAY)
    assert samples._connection is not None
    samples._connection.execute("PRAGMA max_page_count = 1").fetchone()
    big = ReadingsTaken(
        zone_id="z", from_at=MONDAY, evse_ids=("e",), evse_index=bytes(99_999),
        offset_ms=b"", power_w=b"", register_wh=b"",
    )  # fmt: skip
    with pytest.raises(StoreFull, match="samples of 2019-10-21"):
        samples.append("samples-z", big, MONDAY)
    samples.append("samples-z", readings(2), MONDAY)
    versions = [row.version for row in samples.read_day("2019-10-21")]
    assert versions == [1, 2]
