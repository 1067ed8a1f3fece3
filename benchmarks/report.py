"""The report of a simulated day: one HTML file that needs nothing else.

No script, no font, no picture comes from elsewhere; every picture is inline SVG whose
parts say on hovering what they are.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from benchmarks import pictures
from benchmarks.pictures import DayAxis, due_wh, share_of
from benchmarks.simulator.day import DayFigures, DayOutcome, DriverOutcome

GENERATOR = "voltledger"
_STYLE = Path(__file__).with_name("report.css")


class Figure(msgspec.Struct, frozen=True):
    """One key figure: its name, its text, and its value with which one is better.

    ``better`` is 1 when more is better, -1 when less is, 0 when neither.
    """

    name: str
    text: Callable[[DayFigures], str]
    value: Callable[[DayFigures], float]
    better: int = 0


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1_000:.1f}"


FIGURES = (
    Figure(
        "drivers served", lambda f: str(f.drivers_served), lambda f: f.drivers_served, 1
    ),
    Figure(
        "kWh delivered",
        lambda f: _kwh(f.energy_delivered_wh),
        lambda f: f.energy_delivered_wh,
        1,
    ),
    Figure(
        "minutes outside the PRE",
        lambda f: str(f.pre_violation_steps),
        lambda f: f.pre_violation_steps,
        -1,
    ),
    Figure(
        "kWh outside the PRE",
        lambda f: _kwh(f.pre_violation_wh),
        lambda f: f.pre_violation_wh,
        -1,
    ),
    Figure(
        "AETPs outside the PRE",
        lambda f: str(f.aetp_outside_pre),
        lambda f: f.aetp_outside_pre,
        -1,
    ),
    Figure("plans", lambda f: str(f.plans), lambda f: f.plans),
    Figure("ETPs changed", lambda f: str(f.etps_changed), lambda f: f.etps_changed, -1),
    Figure(
        "ms a plan, p50 / p99",
        lambda f: f"{f.plan_ms_p50:.1f} / {f.plan_ms_p99:.1f}",
        lambda f: f.plan_ms_p99,
    ),
    Figure("events in the ledger", lambda f: str(f.events), lambda f: f.events),
    Figure("s to simulate", lambda f: f"{f.wall_s:.1f}", lambda f: f.wall_s),
)


def best_of(figure: Figure, figures: Sequence[DayFigures]) -> set[str]:
    """Return which strategies are best in a figure, of those that keep the PRE.

    None when there is nothing to choose: who breaks the PRE may serve everybody.
    """
    keeping = [f for f in figures if f.pre_violation_steps == 0]
    values = {f.strategy: figure.better * figure.value(f) for f in keeping}
    if not figure.better or len(set(values.values())) < 2:
        return set()
    return {strategy for strategy, v in values.items() if v == max(values.values())}


def write_report(
    outcomes: Sequence[DayOutcome], path: Path, *, tz: ZoneInfo | None = None
) -> None:
    """Write the report of one day under some strategies.

    Parameters
    ----------
    outcomes
        The first one's pictures are the large ones.
    tz
        Zone of the time axis; without it hours count from the day's start, which is
        the local midnight.
    """
    path.write_text(page(outcomes, tz), "utf-8")


def page(outcomes: Sequence[DayOutcome], tz: ZoneInfo | None) -> str:
    """Return the report as HTML."""
    first, others = outcomes[0], outcomes[1:]
    axis = DayAxis.of(outcomes, tz)
    title = (
        f"Charging day {first.figures.date}, {first.figures.capacity_w / 1_000:g} kW"
    )
    body = [
        f"<h1>{escape(title)}</h1>",
        _in_words(outcomes, axis),
        _figures_table([outcome.figures for outcome in outcomes]),
        _TERMS,
        _power(first, others, axis),
        _worth(first, axis),
        _etps(first, others, axis),
        _shares(first, others),
        _plan_times(outcomes),
        _drivers_table(outcomes, axis),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="generator" content="{GENERATOR}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text('utf-8')}</style>"
        "</head><body>" + "\n".join(body) + "</body></html>\n"
    )


_TERMS = """<dl class="terms">
<div><dt>PRE</dt><dd>Power range envelope: the range of power that the resource manager
of the site lets all charging take together. It must never be left.</dd></div>
<div><dt>ETP</dt><dd>Energy transfer plan: the power that one charging point (EVSE) is
told to give its car, over the time to come.</dd></div>
<div><dt>AETP</dt><dd>Aggregated ETP: the sum of all ETPs in force, which is what the
site has announced to take at most.</dd></div>
<div><dt>served</dt><dd>A driver who got at least 99 % of the smaller of what was asked
and what the car took on the real day. <b>Servable</b> are those whom charging without
any limit serves.</dd></div>
</dl>"""


def _in_words(outcomes: Sequence[DayOutcome], axis: DayAxis) -> str:
    f = outcomes[0].figures
    cut = (
        f" {f.drivers_cut_off} were still plugged in when the day ended, and are cut "
        "off there."
        if f.drivers_cut_off
        else ""
    )
    lines = [
        f"{f.drivers} drivers came. They asked for {_kwh(f.energy_requested_wh)} kWh; "
        f"their cars took {_kwh(f.energy_needed_wh)} kWh on the real day.{cut} "
        f"Times are {escape(axis.zone_name)}.",
        *(
            f"<b>{escape(o.figures.strategy)}</b> {_verdict(o.figures)}"
            for o in outcomes
        ),
    ]
    return f'<p class="lead">{"<br>".join(lines)}</p>'


def _verdict(f: DayFigures) -> str:
    kept = (
        "never left the PRE"
        if f.pre_violation_steps == 0
        else f"left the PRE for {f.pre_violation_steps} minutes "
        f"({_kwh(f.pre_violation_wh)} kWh outside)"
    )
    return (
        f"served {f.drivers_served} of {f.drivers_servable} servable drivers with "
        f"{_kwh(f.energy_delivered_wh)} kWh and {kept}."
    )


def _figures_table(figures: Sequence[DayFigures]) -> str:
    head = "".join(f"<th>{escape(f.strategy)}</th>" for f in figures)
    rows = []
    for row in FIGURES:
        best = best_of(row, figures)
        cells = "".join(
            f'<td class="best">{row.text(f)}</td>'
            if f.strategy in best
            else f"<td>{row.text(f)}</td>"
            for f in figures
        )
        rows.append(f"<tr><th>{escape(row.name)}</th>{cells}</tr>")
    note = (
        "Bold: the best of those that never left the PRE." if len(figures) > 1 else ""
    )
    return (
        f'<table class="figures"><thead><tr><th></th>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table><p class="note">{note}</p>'
    )


def _section(title: str, text: str, *pictures_: str) -> str:
    return f"<section><h2>{title}</h2><p>{text}</p>{''.join(pictures_)}</section>"


def _named(outcome: DayOutcome, picture: str) -> str:
    name = escape(outcome.figures.strategy)
    return f"<figure><figcaption>{name}</figcaption>{picture}</figure>"


def _power(first: DayOutcome, others: Sequence[DayOutcome], axis: DayAxis) -> str:
    keeping = [o for o in (first, *others) if not o.figures.pre_violation_steps]
    # One scale for all that keep the PRE; one that does not would flatten them.
    top_w = max((pictures.most_w(o) for o in keeping), default=0.0)
    small = "".join(
        _named(
            o,
            pictures.power(
                o, axis, max(top_w, pictures.most_w(o)), width=560, height=240
            ),
        )
        for o in others
    )
    large = pictures.power(
        first,
        axis,
        max(top_w, pictures.most_w(first)),
        width=pictures.WIDE,
        height=340,
    )
    return _section(
        "Power of the site over the day",
        "The band is the PRE. The line is the power really drawn, minute by minute; "
        "where it runs below the AETP, cars took less than they were allowed. Red is "
        "power outside the PRE; a strategy that leaves it has its own scale, and its "
        "AETP may rise beyond the picture.",
        pictures.power_legend(),
        _named(first, large),
        f'<div class="pair">{small}</div>' if small else "",
    )


def _worth(first: DayOutcome, axis: DayAxis) -> str:
    if not any(value for _, value in first.pre_worth):
        return ""
    return _section(
        "What more PRE would have been worth",
        "By each plan when it was made: how much of the energy asked for one more unit "
        "of PRE at that time would serve. 0 where nobody lacks anything, 1 where all "
        "of it would go to EVs that leave without what they asked for. This is what a "
        "resource manager needs to know (E3).",
        _named(first, pictures.worth(first, axis)),
    )


def _etps(first: DayOutcome, others: Sequence[DayOutcome], axis: DayAxis) -> str:
    folded = "".join(
        f"<details><summary>The same under {escape(o.figures.strategy)}</summary>"
        f"{pictures.etps(o, axis)}</details>"
        for o in others
    )
    return _section(
        "What each charging point was told to give",
        "One row for each charging point that had a car. A frame is a car's stay; the "
        "stronger its colour, the more power its ETP gave it at that time. Behind a "
        "stay: ✓ served, ✗ not served.",
        pictures.etps_legend(axis.most_evse_w),
        _named(first, pictures.etps(first, axis)),
        folded,
    )


def _shares(first: DayOutcome, others: Sequence[DayOutcome]) -> str:
    within = [o for o in others if o.figures.pre_violation_steps == 0]
    beside = within[0] if within else None
    text = (
        "One bar for each driver: what was got, of the smaller of what was asked and "
        "what the car took on the real day. Hatched: drivers who stated no needs and "
        "were planned with the zone's default."
    )
    return _section(
        "Served share by driver",
        text,
        pictures.shares_legend(beside.figures.strategy if beside else ""),
        _named(first, pictures.shares(first, beside)),
    )


def _plan_times(outcomes: Sequence[DayOutcome]) -> str:
    shown = [o for o in outcomes if len(o.plan_ms)]
    return _section(
        "Time to make a plan",
        "How long the planner computed, plan by plan; the axis is logarithmic. The "
        "lines are median (p50) and 99th percentile (p99).",
        '<div class="pair">'
        + "".join(_named(o, pictures.plan_times(o)) for o in shown[:2])
        + "</div>",
    )


def _drivers_table(outcomes: Sequence[DayOutcome], axis: DayAxis) -> str:
    names = "".join(f"<th>{escape(o.figures.strategy)}</th>" for o in outcomes)
    found = [{d.label: d for d in o.drivers} for o in outcomes]
    rows = [
        _driver_row(driver, [by_label[driver.label] for by_label in found], axis)
        for driver in outcomes[0].drivers
    ]
    return _section(
        "Drivers",
        "Energies in kWh. Under a strategy: what the driver got there, and its share "
        "of what was due.",
        '<div class="wide"><table class="drivers"><thead><tr><th>EVSE</th>'
        "<th>arrival</th><th>departure</th><th>needs</th><th>asked</th>"
        f"<th>took on the real day</th>{names}<th>session</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>",
    )


def _driver_row(
    driver: DriverOutcome, everywhere: Sequence[DriverOutcome], axis: DayAxis
) -> str:
    cut = " (cut off)" if driver.cut_off else ""
    cells = [
        f"<td>{escape(driver.evse_id)}</td>",
        f"<td>{axis.clock(driver.arrival_at)}</td>",
        f"<td>{axis.clock(driver.departure_at)}{cut}</td>",
        f"<td>{'stated' if driver.claimed else 'default'}</td>",
        f"<td>{_kwh(driver.asked_wh)}</td>",
        f"<td>{_kwh(driver.takes_wh)}</td>",
    ]
    for d in everywhere:
        kind = "served" if d.served else "unserved"
        # Cut, not rounded: who is not served does not read 99 %.
        share = f"{int(share_of(d) * 100)} %" if due_wh(d) else "–"
        mark = "✓" if d.served else "✗"
        cells.append(f'<td class="{kind}">{_kwh(d.got_wh)} · {share} {mark}</td>')
    cells.append(f"<td>{escape(driver.label)}</td>")
    return f"<tr>{''.join(cells)}</tr>"
