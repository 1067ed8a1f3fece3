"""The report: complete, true to the outcome, and in need of nothing else."""

import re
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from benchmarks.kept import Kept, keep, read_kept
from benchmarks.pictures import DayAxis, share_of
from benchmarks.report import FIGURES, best_of, page, write_report
from benchmarks.simulator.day import DayFigures, DayOutcome, DriverOutcome
from domain.errors import InvalidValue
from domain.model.values import HOUR, MINUTE

START = 1_572_332_400_000_000  # 2019-10-29T00:00-07:00
PACIFIC = ZoneInfo("America/Los_Angeles")
VOID = {"meta", "br"}


def figures(strategy: str, **more: int) -> DayFigures:
    given = {
        "drivers": 3, "drivers_servable": 3, "drivers_served": 1, "drivers_cut_off": 1,
        "energy_requested_wh": 23_000, "energy_needed_wh": 17_000,
        "energy_delivered_wh": 11_100, "pre_violation_steps": 0, "pre_violation_wh": 0,
        "pre_violation_steps_short_notice": 0, "aetp_outside_pre": 0,
        "etps_changed": 12, "plans": 5, "plans_superseded": 0, "events": 321,
    }  # fmt: skip
    return DayFigures(
        strategy=strategy,
        date="2019-10-29",
        capacity_w=10_000,
        plan_ms_p50=2.5,
        plan_ms_p99=9.75,
        chain_head="ab" * 32,
        wall_s=1.25,
        **{**given, **more},
    )


def driver(label: str, evse: str, got_wh: int, **more: bool) -> DriverOutcome:
    return DriverOutcome(
        label=label,
        evse_id=evse,
        session_id=f"s-{label}",
        arrival_at=START + HOUR,
        departure_at=START + 5 * HOUR,
        claimed=more.get("claimed", True),
        asked_wh=8_000,
        takes_wh=6_000,
        got_wh=got_wh,
        served=got_wh >= 5_940,
        cut_off=more.get("cut_off", False),
    )


def outcome(strategy: str, **more: int) -> DayOutcome:
    minutes = 300
    return DayOutcome(
        figures=figures(strategy, **more),
        start_at=START,
        drivers=(
            driver("one", "US*ACN*E1", 6_000),
            driver("two", "US*ACN*E2", 5_930, claimed=False),
            driver("<three>", "US*ACN*E3", 100, cut_off=True),
        ),
        power_w=np.linspace(0, 12_000, minutes),
        pre_upper_w=np.full(minutes, 9_000.0),
        aetp_w=tuple((START + i * MINUTE, 30 * i) for i in range(minutes)),
        etps=(
            ("US*ACN*E1", START + HOUR, 6_656),
            ("US*ACN*E1", START + 2 * HOUR, 1_248),
            ("US*ACN*E1", START + 5 * HOUR, 0),
        ),
        plan_ms=np.array([1.0, 2.5, 3.0, 9.75, 0.4]),
        pre_worth=((START + HOUR, 1_000), (START + 3 * HOUR, 0)),
    )


class Reader(HTMLParser):
    """What a page refers to, the text of its cells, and whether its tags match."""

    def __init__(self) -> None:
        super().__init__()
        self.refers: list[str] = []
        self.tags: list[str] = []
        self.cells: list[list[str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [
            value or ""
            for name, value in attrs
            if name in ("src", "href", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1][-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


OURS = outcome("voltledger")
ALL = (
    OURS,
    outcome("equal-share", drivers_served=0, energy_delivered_wh=9_000),
    outcome("uncontrolled", pre_violation_steps=75, pre_violation_wh=900),
)


def test_the_page_needs_nothing_else() -> None:
    html = page(ALL, PACIFIC)
    reader = read(html)
    assert reader.refers == []
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert re.findall(r"https?://|@import|url\((?!#)", html) == []


def test_every_driver_is_in_the_table_with_what_was_got() -> None:
    rows = {row[-1]: row for row in read(page(ALL, PACIFIC)).cells}
    assert {"one", "two", "<three>"} <= rows.keys()
    assert rows["one"][:4] == ["US*ACN*E1", "01:00", "05:00", "stated"]
    assert rows["one"][6] == "6.0 · 100 % ✓"
    # 98.8 %: not served, and not rounded up to what is.
    assert rows["two"][3] == "default"
    assert rows["two"][6] == "5.9 · 98 % ✗"
    assert rows["<three>"][2] == "05:00 (cut off)"


def test_the_figures_are_those_of_the_outcomes() -> None:
    rows = {row[0]: row[1:] for row in read(page(ALL, PACIFIC)).cells if row}
    for figure in FIGURES:
        assert rows[figure.name] == [figure.text(o.figures) for o in ALL]
    assert rows["drivers served"] == ["1", "0", "1"]
    assert rows["kWh delivered"] == ["11.1", "9.0", "11.1"]
    assert rows["minutes outside the PRE"] == ["0", "0", "75"]
    assert rows["ms a plan, p50 / p99"][0] == "2.5 / 9.8"


def test_the_best_is_among_those_that_keep_the_pre() -> None:
    served = next(figure for figure in FIGURES if figure.name == "drivers served")
    generous = figures("uncontrolled", drivers_served=3, pre_violation_steps=1)
    ours, other = figures("voltledger"), figures("equal-share", drivers_served=0)
    assert best_of(served, [ours, other, generous]) == {"voltledger"}
    # Equal figures, or one alone, have no best.
    assert best_of(served, [ours, generous]) == set()


def test_power_outside_the_pre_is_drawn_minute_by_minute() -> None:
    html = page([OURS], PACIFIC)
    above = int((OURS.power_w > OURS.pre_upper_w + 1).sum())
    sign_in_legend = 1
    assert html.count('<rect class="outside"') == above + sign_in_legend


def test_a_stay_shows_each_power_that_was_allowed() -> None:
    html = page([OURS], PACIFIC)
    assert "from 01:00: 6.7 kW" in html
    assert "from 02:00: 1.2 kW" in html
    assert "from 05:00" not in html


def test_hours_are_those_of_the_zone() -> None:
    axis = DayAxis.of([OURS], PACIFIC)
    assert [label for _, label in axis.hours()] == ["00:00", "02:00", "04:00"]
    assert axis.clock(START + 25 * HOUR + 30 * MINUTE) == "01:30 +1 d"


def test_the_hour_that_clocks_skip_is_skipped() -> None:
    spring = 1_552_204_800_000_000  # 2019-03-10T00:00-08:00
    axis = DayAxis.of([msgspec.structs.replace(OURS, start_at=spring)], PACIFIC)
    assert axis.clock(spring + 2 * HOUR) == "03:00"


def test_without_a_zone_hours_count_from_the_start() -> None:
    axis = DayAxis.of([OURS], None)
    assert axis.clock(START + 90 * MINUTE) == "01:30"
    assert "counted from the local midnight" in page([OURS], None)


def test_a_day_without_drivers_has_a_report() -> None:
    empty = msgspec.structs.replace(
        OURS,
        drivers=(),
        power_w=np.zeros(0),
        pre_upper_w=np.zeros(0),
        aetp_w=(),
        etps=(),
        plan_ms=np.zeros(0),
    )
    read(page([empty], PACIFIC))


def test_nothing_due_counts_as_got() -> None:
    nothing = msgspec.structs.replace(OURS.drivers[0], takes_wh=0, got_wh=0)
    assert share_of(nothing) == 1.0


def test_what_was_kept_gives_the_same_page(tmp_path: Path) -> None:
    keep(tmp_path, Kept(seed=3, tz=PACIFIC.key, outcome=OURS))
    again = read_kept(tmp_path)
    write_report([OURS], tmp_path / "a.html", tz=PACIFIC)
    write_report([again.outcome], tmp_path / "b.html", tz=ZoneInfo(again.tz))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_only_outcomes_of_the_same_day_are_compared() -> None:
    ours, other = (Kept(seed=0, tz="", outcome=o) for o in ALL[:2])
    assert ours.is_same_day(other)
    assert not ours.is_same_day(Kept(seed=1, tz="", outcome=ALL[1]))
    wider = msgspec.structs.replace(ALL[1], pre_upper_w=ALL[1].pre_upper_w + 50)
    assert not ours.is_same_day(Kept(seed=0, tz="", outcome=wider))


@pytest.mark.parametrize("content", [b"", b"\x80", b"<html>"])
def test_a_file_that_is_no_outcome_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outcome.msgpack").write_bytes(content)
    with pytest.raises(InvalidValue, match=r"outcome\.msgpack"):
        read_kept(tmp_path)
