"""Finds strategies by name: our own, and those other distributions bring.

A distribution brings one by an entry point of the group ``voltledger.strategies`` whose
object, called without arguments, returns a new `Strategy`. Our own are registered the
same way; they are also known here, so that a source tree that is not installed has
them. Nobody replaces one of ours by its name.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from benchmarks.strategies.by_share import (
    EqualShare,
    EqualShareRedistributing,
    Proportional,
    RoundRobin,
)
from benchmarks.strategies.in_order import (
    EarliestDeadline,
    FirstComeFirstServed,
    LeastLaxity,
)
from benchmarks.strategies.planned import FinishMost, MaxMin
from benchmarks.strategies.protocol import Strategy
from benchmarks.strategies.uncontrolled import Uncontrolled
from domain.errors import InvalidValue

GROUP = "voltledger.strategies"

OWN: dict[str, Callable[[], Strategy]] = {
    FinishMost.name: FinishMost,
    MaxMin.name: MaxMin,
    EarliestDeadline.name: EarliestDeadline,
    LeastLaxity.name: LeastLaxity,
    FirstComeFirstServed.name: FirstComeFirstServed,
    EqualShareRedistributing.name: EqualShareRedistributing,
    EqualShare.name: EqualShare,
    Proportional.name: Proportional,
    RoundRobin.name: RoundRobin,
    Uncontrolled.name: Uncontrolled,
}


def known_strategies() -> list[str]:
    """Return the names of all strategies, ours first."""
    return [*OWN, *sorted(set(_brought()) - set(OWN))]


def make_strategy(name: str) -> Strategy:
    """Return a new strategy by its name.

    Raises
    ------
    InvalidValue
        for a name nobody has, listing those known, and for an entry point that cannot
        be loaded or whose object has no ``plan``.
    """
    if name in OWN:
        return OWN[name]()
    entry = _brought().get(name)
    if entry is None:
        known = ", ".join(known_strategies())
        raise InvalidValue(f"strategy {name!r} is not known; known are {known}")
    try:
        made = entry.load()()
    except Exception as error:  # a plugin may fail with anything
        raise InvalidValue(
            f"strategy {name!r}: {entry.value} cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(getattr(made, "plan", None)):
        raise InvalidValue(
            f"strategy {name!r}: {entry.value} makes a {type(made).__name__}, which "
            "has no method plan(problem)"
        )
    return made  # type: ignore[no-any-return]


def _brought() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
