import csv
import gzip
import io
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data.sessions import (
    COLUMNS,
    ChargingRecord,
    read_sessions,
    separated,
)
from domain.model.values import HOUR, SECOND, datetime_of, instant_of

moments = st.datetimes(datetime(1971, 1, 1), datetime(2198, 1, 1)).map(
    lambda moment: instant_of(moment.replace(tzinfo=UTC))
)
stays = st.integers(1, 30 * 24 * HOUR)
energies = st.integers(0, 2_000_000)
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=40
)


@st.composite
def records(draw: st.DrawFn) -> ChargingRecord:
    arrival_at = draw(moments)
    return ChargingRecord(
        session_id=draw(names),
        station_id=draw(
            st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._*-]{0,30}", fullmatch=True)
        ),
        arrival_at=arrival_at,
        departure_at=arrival_at + draw(stays),
        requested_wh=draw(energies),
        delivered_wh=draw(energies),
        estimated_departure_at=arrival_at + draw(stays),
        claimed=draw(st.booleans()),
        utc_offset_s=draw(st.integers(-14 * 60, 14 * 60)) * 60,
    )


def csv_row_of(r: ChargingRecord) -> list[str]:
    def local(instant: int) -> str:
        offset = timedelta(seconds=r.utc_offset_s)
        sign = "-" if offset < timedelta() else "+"
        naive = (datetime_of(instant) + offset).replace(tzinfo=None)
        minutes = abs(r.utc_offset_s) // 60
        return f"{naive.isoformat(' ')}{sign}{minutes // 60:02}:{minutes % 60:02}"

    energy = (f"{wh / 1_000}" for wh in (r.requested_wh, r.delivered_wh))
    times = local(r.arrival_at), local(r.departure_at)
    estimate = local(r.estimated_departure_at)
    return [*times, *energy, r.station_id, r.session_id, estimate, str(r.claimed)]


@given(st.lists(records(), min_size=1, unique_by=lambda r: r.session_id))
def test_whatever_is_written_by_the_columns_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[ChargingRecord]
) -> None:
    path = tmp_path_factory.mktemp("round-trip") / "sessions.csv.gz"
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(csv_row_of(r) for r in drawn)
    path.write_bytes(gzip.compress(text.getvalue().encode()))
    read = read_sessions(path).records
    assert sorted(read, key=lambda r: r.session_id) == sorted(
        drawn, key=lambda r: r.session_id
    )
    assert [r.arrival_at for r in read] == sorted(r.arrival_at for r in drawn)


@given(st.lists(records(), max_size=20, unique_by=lambda r: r.session_id))
def test_separated_sessions_never_overlap_and_none_is_lost(
    drawn: list[ChargingRecord],
) -> None:
    crowded = [
        msgspec.structs.replace(
            r,
            station_id="A" if r.claimed else "B",
            arrival_at=r.arrival_at % HOUR,
            departure_at=r.arrival_at % HOUR + SECOND + r.departure_at % HOUR,
        )
        for r in drawn
    ]
    apart = separated(crowded)
    assert len(apart.records) + apart.dropped == len(drawn)
    free_at: dict[str, int] = {}
    for r in apart.records:
        assert free_at.get(r.station_id, r.arrival_at) <= r.arrival_at < r.departure_at
        free_at[r.station_id] = r.departure_at
