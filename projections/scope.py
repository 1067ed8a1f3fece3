"""Which part of a tenant a reader may see, and pages merged from its parts.

Each part has an index in the order of the page; a page of several parts is their merge,
so that the work depends on the page and not on how much there is.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")


class Scope(NamedTuple):
    """Zones and stations within reach, and the party whose sessions are."""

    zones: frozenset[str] = frozenset()
    stations: frozenset[str] = frozenset()
    party: str = ""


def merged(
    parts: Iterable[Sequence[Item]],
    key: Callable[[Item], Any],
    limit: int,
    *,
    descending: bool = False,
) -> list[Item]:
    """Return the first ``limit`` items of sorted parts, each item once."""
    found: list[Item] = []
    for item in heapq.merge(*parts, key=key, reverse=descending):
        if not found or key(found[-1]) != key(item):
            found.append(item)
        if len(found) == limit:
            break
    return found


def parts_of(filters: dict[str, str], scope: Scope | None) -> list[dict[str, str]]:
    """Return what the indexes are asked for: together all that is wanted and seen."""
    if scope is None:
        seen: list[dict[str, str]] = [{}]
    else:
        seen = [{"zone_id": zone_id} for zone_id in sorted(scope.zones)]
        seen += [{"station_id": station_id} for station_id in sorted(scope.stations)]
        seen += [{"party": scope.party}] if scope.party else []
    return [
        {**filters, **part}
        for part in seen
        if all(filters.get(name, value) == value for name, value in part.items())
    ]


def by_states(
    parts: Iterable[dict[str, str]], states: Sequence[str]
) -> list[dict[str, str]]:
    """Return the parts by state: indexes have the state before the order."""
    found: list[dict[str, str]] = []
    for part in parts:
        if "state" in part:
            found.append(part)
        else:
            found += [{**part, "state": state} for state in states]
    return found
