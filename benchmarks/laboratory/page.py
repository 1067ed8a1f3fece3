"""The page of a study: one HTML file that needs nothing else, in pictures and figures.

No script, no font, no picture comes from elsewhere; parts of the pictures say on
hovering what they are.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.laboratory import plots
from benchmarks.laboratory.figures import Figures, served_shares
from benchmarks.laboratory.hindsight import NAME as PERFECT_INFORMATION
from benchmarks.laboratory.study import Run, Study
from benchmarks.laboratory.tables import Origin
from optimizer.checks import Floats

PAGE_FILE = "report.html"
_STYLE = Path(__file__).parent.parent / "report.css"
_COLOURS = (
    "#1f5fbf", "#6aa2f0", "#d9822b", "#f0b45a", "#a8541c", "#3f8f63", "#86c49f",
    "#8a5fbf", "#c59be6", "#c0392b", "#7a8793", "#1d2329",
)  # fmt: skip


class Column(msgspec.Struct, frozen=True):
    """A column of the table of runs: its head and its text; +1 when more is better."""

    head: str
    text: Callable[[Run, Figures], str]
    value: Callable[[Figures], float] | None = None
    better: int = 0


COLUMNS = (
    Column(
        "energy %",
        lambda r, f: f"{f.energy_percent:.2f}",
        lambda f: f.energy_percent,
        1,
    ),
    Column(
        "drivers %",
        lambda r, f: f"{f.drivers_percent:.2f}",
        lambda f: f.drivers_percent,
        1,
    ),
    Column(
        "worst %",
        lambda r, f: f"{f.worst_driver_percent:.1f}",
        lambda f: f.worst_driver_percent,
        1,
    ),
    Column("unfair", lambda r, f: f"{f.unfairness:.3f}", lambda f: f.unfairness, -1),
    Column("cost", lambda r, f: f"{f.cost:.0f}"),
    Column("peak kW", lambda r, f: f"{f.peak_kw:.1f}"),
    Column(
        "PRE viol.",
        lambda r, f: _violations(f.pre_violation_steps, f.plan_pre_violation_steps),
    ),
    Column(
        "phase viol.",
        lambda r, f: _violations(f.phase_violation_steps, f.plan_phase_violation_steps),
    ),
    Column("plans", lambda r, f: str(f.plans)),
    Column(
        "ms mean / p99 / max",
        lambda r, f: (
            f"{r.times.plan_ms_mean:.2f} / {r.times.plan_ms_p99:.2f} / "
            f"{r.times.plan_ms_max:.1f}"
        ),
    ),
    Column("run s", lambda r, f: f"{r.times.run_s:.1f}"),
)


def _violations(drawn: int, planned: int) -> str:
    return str(drawn) if drawn == planned else f"{drawn} ({planned})"


def write_page(path: Path, study: Study, runs: Sequence[Run], origin: Origin) -> None:
    """Write the page of a study."""
    path.write_text(page(study, runs, origin), "utf-8")


def page(study: Study, runs: Sequence[Run], origin: Origin) -> str:
    """Return the page as HTML."""
    title = f"Allocation strategies, {origin.days}, {study.site}, {study.setting.name}"
    done = [run for run in runs if run.figures is not None]
    body = [f"<h1>{escape(title)}</h1>", _in_words(study, origin), _TERMS]
    body += [f'<p class="lead">{escape(r.failure)}</p>' for r in runs if r.failure]
    body.append(_table(done))
    if done:
        body += _pictures(study, done)
    style = _STYLE.read_text("utf-8") + "".join(
        f"svg .c{i} {{ fill: {c}; }} svg .curve.c{i} {{ fill: none; stroke: {c}; "
        "stroke-width: 1.6; }\n"
        for i, c in enumerate(_COLOURS)
    )
    style += "svg .whisker { stroke: var(--soft); } .figures td { padding-left: 8px; }"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="generator" content="voltledger">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        + "\n".join(body)
        + "</body></html>\n"
    )


_TERMS = """<dl class="terms">
<div><dt>energy %</dt><dd>Energy delivered, of what the cars take when nothing limits
them.</dd></div>
<div><dt>drivers %</dt><dd>Drivers who got at least 99 % of what was due to
them.</dd></div>
<div><dt>worst %</dt><dd>What the worst served driver got of what was due.</dd></div>
<div><dt>unfair</dt><dd>1 minus Jain's index of the served shares: 0 when all are
alike.</dd></div>
<div><dt>violations</dt><dd>Steps in which the cars drew more than the PRE or a line's
current allows; in brackets those in which the plan allotted more.</dd></div>
<div><dt>perfect information</dt><dd>The most energy that could be delivered, had
everything been known beforehand: a bound, not a strategy.</dd></div>
</dl>"""


def _in_words(study: Study, origin: Origin) -> str:
    setting = study.setting
    sessions = sum(fleet.size for fleet in study.fleets)
    needed = sum(float(fleet.need_wh.sum()) for fleet in study.fleets) / 1000
    libraries = ", ".join(f"{n} {v}" for n, v in origin.libraries.items())
    return (
        f'<p class="lead">{sessions} sessions, {needed:.0f} kWh. Steps of '
        f"{setting.step_s // 60} minutes; plans at every arrival and departure and "
        f"after {setting.replan_steps} steps; departures {setting.departures.value}, "
        f"energies as {setting.energy.value}.</p>"
        f'<p class="note">{escape(origin.sessions)}, seed {origin.seed}, voltledger '
        f"{escape(origin.version)}, commit {escape(origin.commit)}, Python "
        f"{origin.python}, {escape(libraries)}; {escape(origin.cpu)}.</p>"
    )


def _table(runs: Sequence[Run]) -> str:
    head = "".join(f"<th>{escape(c.head)}</th>" for c in COLUMNS)
    rows = []
    for run in runs:
        assert run.figures is not None
        rivals = [r.figures for r in runs if r.capacity_kw == run.capacity_kw]
        cells = "".join(
            f"<td{_best(c, run.figures, rivals)}>"
            f"{escape(c.text(run, run.figures))}</td>"
            for c in COLUMNS
        )
        rows.append(
            f"<tr><th>{run.capacity_kw:g} kW, {escape(run.strategy)}</th>{cells}</tr>"
        )
    return (
        '<div class="wide"><table class="figures drivers"><thead><tr><th></th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _best(column: Column, own: Figures, rivals: Sequence[Figures | None]) -> str:
    """Return the mark of the best value of a capacity, of strategies within limits."""
    if column.value is None:
        return ""
    value = column.value
    fair = [f for f in rivals if f is not None and _competes(f)]
    most = max((column.better * value(f) for f in fair), default=0.0)
    is_best = _competes(own) and column.better * value(own) >= most
    return ' class="best"' if is_best else ""


def _competes(figures: Figures) -> bool:
    """Whether it is a strategy, and one that keeps the limits."""
    broken = figures.plan_pre_violation_steps or figures.plan_phase_violation_steps
    return figures.strategy != PERFECT_INFORMATION and not broken


def _pictures(study: Study, runs: Sequence[Run]) -> list[str]:
    names = list(study.strategies)

    def shares(run: Run) -> Floats:
        due = np.concatenate([fleet.due_wh for fleet in study.fleets])
        got = np.concatenate(run.energy_wh)
        return served_shares(got, due)

    def figure(name: str) -> Callable[[Run], float]:
        return lambda run: float(getattr(run.figures, name))

    body = [plots.strategies_legend(names)]
    for head, unit, name in (
        ("Energy delivered", "%", "energy_percent"),
        ("Drivers fully served", "%", "drivers_percent"),
        ("Worst driver", "%", "worst_driver_percent"),
        ("Unfairness", "", "unfairness"),
    ):
        body.append(f"<h2>{head}</h2>")
        digits = 1 if unit else 2
        body.append(plots.bars(head, unit, digits, runs, names, figure(name)))
    for capacity in study.capacities_kw:
        some = [run for run in runs if run.capacity_kw == capacity]
        body.append(f"<h2>Served shares at {capacity:g} kW, best first</h2>")
        body.append(plots.share_curves(some, names, shares))
        body.append(f"<h2>Mean power over the day at {capacity:g} kW</h2>")
        body.append(plots.day_curves(some, names))
    body.append("<h2>Time of a plan: mean, p99, largest</h2>")
    body.append(plots.plan_times(runs, names))
    return body
