from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data.pre_file import read_pre
from domain.errors import InvalidValue
from domain.model.profile import PowerRangeEnvelope, Range
from domain.model.values import SECOND, iso_of

HEADER = "start,end,lower_w,upper_w"
EIGHT, NINE, TEN = (f"2019-10-29T{hour}:00:00-07:00" for hour in ("08", "09", "10"))
FIRST = f"{EIGHT},{NINE},0,20000"


def written(folder: Path, *rows: str) -> Path:
    path = folder / "pre.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def test_a_file_of_ranges_is_a_pre(tmp_path: Path) -> None:
    pre = read_pre(written(tmp_path, FIRST, f"{NINE},2019-10-29T17:30:00Z,-1.5,9e3"))
    assert iso_of(pre.start_at) == "2019-10-29T15:00:00Z"
    assert pre.ranges == (Range(3_600, 0, 20_000), Range(5_400, -1, 9_000))


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        (f"{TEN},{TEN},0,1", "start", "leaves a gap: the range before ends at"),
        (f"{EIGHT},{TEN},0,1", "start", "leaves an overlap"),
        (f"{NINE},{NINE},0,1", "end", "is not after the start"),
        (f"{NINE},{EIGHT},0,1", "end", "is not after the start"),
        (f"{NINE},2019-10-29T09:00:00.5-07:00,0,1", "end", "is not a whole second"),
        (f"2019-10-29T09:00:00,{TEN},0,1", "start", "has no UTC offset"),
        (f"nine,{TEN},0,1", "start", "is not YYYY-MM-DD"),
        (f"{NINE},{TEN},2,1", "lower_w", "W is above upper_w, 1 W"),
        (f"{NINE},{TEN},0.2,0.7", "upper_w", "has no whole watt"),
        (f"{NINE},{TEN},0,nan", "upper_w", "is not a finite decimal number"),
        (f"{NINE},{TEN},-inf,1", "lower_w", "is not a finite decimal number"),
        (f"{NINE},{TEN},0,1e9", "upper_w", "W is beyond ±100000000 W"),
    ],
)
def test_a_bad_range_is_refused_naming_line_column_and_rule(
    tmp_path: Path, row: str, column: str, rule: str
) -> None:
    path = written(tmp_path, FIRST, row)
    with pytest.raises(InvalidValue) as refused:
        read_pre(path)
    assert str(refused.value).startswith(f"{path}, line 3, column {column!r}: ")
    assert rule in str(refused.value)


def test_a_file_without_ranges_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="line 2: the file has no power ranges"):
        read_pre(written(tmp_path))


ranges = st.builds(
    lambda duration_s, a, b: Range(duration_s, min(a, b), max(a, b)),
    st.integers(1, 86_400),
    st.integers(-100_000_000, 100_000_000),
    st.integers(-100_000_000, 100_000_000),
)


@given(st.integers(0, 4_000_000_000), st.lists(ranges, min_size=1, max_size=20))
def test_whatever_pre_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, start_s: int, drawn: list[Range]
) -> None:
    rows = []
    at = start_s * SECOND
    for r in drawn:
        end_at = at + r.duration_s * SECOND
        rows.append(f"{iso_of(at)},{iso_of(end_at)},{r.lower_w},{r.upper_w}")
        at = end_at
    path = written(tmp_path_factory.mktemp("pre"), *rows)
    assert read_pre(path) == PowerRangeEnvelope(start_s * SECOND, tuple(drawn))
