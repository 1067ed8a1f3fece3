"""A row of the planner's speed table: times, peers, goals, and whether optima agree."""

import statistics
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

SAME = 1e-9
MOST = 200
HEAD = (
    "| work | ours, median (quartiles; most) | CPU | peers | ratio | goal: reached | |"
    " optimum |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)


class Times(msgspec.Struct, frozen=True):
    """Times of calls [ms], of the clock and of the process's CPU."""

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The median of the clock."""
        return statistics.median(self.wall_ms)

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the clock."""
        return float(np.percentile(self.wall_ms, percent))

    def joined(self, other: "Times") -> "Times":
        """Return these and others."""
        return Times(self.wall_ms + other.wall_ms, self.cpu_ms + other.cpu_ms)


class Peer(msgspec.Struct, frozen=True):
    """What another solver took, or why it was left out."""

    name: str
    ms: float | None = None
    left_out: str = ""
    difference: float | None = None


class Goal(msgspec.Struct, frozen=True):
    """What was asked for and what was reached; None where it was not measured."""

    limit: float
    reached: float | None
    what: str = ""
    unit: str = "ms"
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it was reached."""
        if self.reached is None:
            return None
        if self.at_least:
            return self.reached >= self.limit
        return self.reached <= self.limit

    def text(self) -> str:
        """Return goal and figure."""
        sign = "≥" if self.at_least else "≤"
        reached = "not measured" if self.reached is None else figure(self.reached)
        what = f"{self.what} " if self.what else ""
        limit = f"{figure(self.limit)} {self.unit}".rstrip()
        return f"{what}{sign} {limit}: {reached}"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    ``differences`` are those of the optimum from others', relative, by name; they are
    to be `SAME` or less, those of an interior point method apart, which are in `Peer`.
    """

    work: str
    ours: Times
    peers: tuple[Peer, ...] = ()
    goals: tuple[Goal, ...] = ()
    differences: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float | None:
        """How many times ours the fastest peer takes whose name has HiGHS."""
        return ratio(self.peers, self.ours)

    @property
    def met(self) -> bool | None:
        """Whether all goals are met; None where there are none or some unmeasured."""
        found = [goal.met for goal in self.goals]
        if False in found:
            return False
        return None if None in found or not found else True

    @property
    def same(self) -> bool | None:
        """Whether the optimum is the same; None where nothing was compared."""
        if not self.differences:
            return None
        return max(abs(value) for value in self.differences.values()) <= SAME


def ratio(peers: Sequence[Peer], ours: Times) -> float | None:
    """Return how many times ours the fastest form of HiGHS takes."""
    found = [
        peer.ms
        for peer in peers
        if peer.ms is not None and peer.name.startswith("HiGH")
    ]
    return min(found) / ours.median_ms if found else None


def at_least(limit: float, reached: float | None, what: str = "") -> Goal:
    """Return the goal to be so many times as fast."""
    return Goal(limit, reached, what, "×", at_least=True)


def timed(run: Callable[[], object], repeat: int, within_s: float = 0.0) -> Times:
    """Return the times of calls: so many, and of short ones more, at most `MOST`.

    What a call leaves is freed before the next one.
    """
    wall: list[float] = []
    cpu: list[float] = []
    while len(wall) < repeat or (sum(wall) < 1e3 * within_s and len(wall) < MOST):
        begun, cpu_begun = time.perf_counter(), time.process_time()
        kept = run()
        cpu.append(1e3 * (time.process_time() - cpu_begun))
        wall.append(1e3 * (time.perf_counter() - begun))
        del kept
    return Times(tuple(wall), tuple(cpu))


def relative(value: float, other: float) -> float:
    """Return the difference of two values relative to the other, at least to 1."""
    return (value - other) / max(1.0, abs(other))


def figure(value: float) -> str:
    """Return three digits, and all of those before the point."""
    if value and abs(value) < 1e-3:
        return f"{value:.0e}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def markdown(row: Row) -> str:
    """Return the line of a row."""
    ours = row.ours
    spread = f"{figure(ours.percentile_ms(25))}–{figure(ours.percentile_ms(75))}"
    most = figure(max(ours.wall_ms))
    met = {True: "met", False: "**not met**", None: ""}[row.met]
    cells = (
        "; ".join((row.work, *row.notes)),
        f"{figure(ours.median_ms)} ms ({spread}; {most})",
        f"{figure(statistics.median(ours.cpu_ms))} ms" if ours.cpu_ms else "",
        "; ".join(_peer(peer) for peer in row.peers),
        "" if row.ratio is None else f"{figure(row.ratio)} ×",
        "; ".join(goal.text() for goal in row.goals),
        met,
        _optimum(row),
    )
    return f"| {' | '.join(cells)} |"


def _peer(peer: Peer) -> str:
    if peer.ms is None:
        return f"{peer.name}: left out, {peer.left_out}"
    off = "" if peer.difference is None else f" (off by {peer.difference:.0e})"
    return f"{peer.name} {figure(peer.ms)} ms{off}"


def _optimum(row: Row) -> str:
    if row.same is None:
        return ""
    name, worst = max(row.differences.items(), key=lambda item: abs(item[1]))
    text = "the same" if row.same else "**not the same**"
    return f"{text}: {abs(worst):.0e} ({name})"
