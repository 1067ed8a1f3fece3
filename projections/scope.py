"""Which part of a tenant a reader may see, and pages merged from its parts.

Each part has an index in the order of the page; a page of several parts is their merge,
so that the work depends on the page and not on how much there is.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
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
    return list(islice(found, limit))
