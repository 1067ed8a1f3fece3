"""A power range envelope (PRE) read from a CSV file.

Columns ``start, end, lower_w, upper_w``: RFC 3339 instants with their UTC offset, and
watts, + is grid to EV. Each range begins where the one before ends.
"""

from math import ceil, floor
from pathlib import Path

from benchmarks.data.csv_rows import Row, read_rows
from domain.errors import InvalidValue
from domain.model.profile import (
    POWER_LIMIT_W,
    PowerRangeEnvelope,
    envelope_of_spans,
)
from domain.model.values import SECOND, Instant, instant_of, iso_of

START = "start"
END = "end"
LOWER = "lower_w"
UPPER = "upper_w"
COLUMNS = (START, END, LOWER, UPPER)

Span = tuple[Instant, Instant, float, float]


def read_pre(path: Path) -> PowerRangeEnvelope:
    """Return the PRE of a CSV file (.csv or .csv.gz).

    Raises
    ------
    InvalidValue
        for gaps, overlaps, parts of a second, lower above upper, powers that are not
        finite and all that is not such a row, naming file, line, column and rule.
    """
    spans: list[Span] = []
    for row in read_rows(path, COLUMNS):
        spans.append(_span_of(row, spans[-1][1] if spans else None))
    if not spans:
        raise InvalidValue(f"{path}, line 2: the file has no power ranges")
    return envelope_of_spans(spans)


def _span_of(row: Row, expected_at: Instant | None) -> Span:
    start_at, end_at = _whole_second(row, START), _whole_second(row, END)
    if expected_at is not None and start_at != expected_at:
        what = "a gap" if start_at > expected_at else "an overlap"
        raise row.refusal(
            START, f"leaves {what}: the range before ends at {iso_of(expected_at)}"
        )
    if end_at <= start_at:
        raise row.refusal(END, f"is not after the start {iso_of(start_at)}")
    lower_w, upper_w = _power_w(row, LOWER), _power_w(row, UPPER)
    if lower_w > upper_w:
        raise row.refusal(LOWER, f"W is above upper_w, {upper_w:g} W")
    if ceil(lower_w) > floor(upper_w):  # an envelope is rounded inward
        raise row.refusal(UPPER, f"has no whole watt from lower_w, {lower_w:g} W, on")
    return start_at, end_at, lower_w, upper_w


def _whole_second(row: Row, column: str) -> Instant:
    at = instant_of(row.moment(column))
    if at % SECOND:
        raise row.refusal(column, "is not a whole second")
    return at


def _power_w(row: Row, column: str) -> float:
    power_w = row.number(column)
    if abs(power_w) > POWER_LIMIT_W:
        raise row.refusal(column, f"W is beyond ±{POWER_LIMIT_W} W")
    return power_w
