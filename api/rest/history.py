"""Reads of the past: ``as_of`` what was known then, ``valid_at`` what was."""

import re
from typing import Annotated

from fastapi import Query
from starlette.concurrency import run_in_threadpool

from api.errors import Broken, Code, Problem, invalid
from api.rest.reading import Context, caught_up, instant_or, kind_in
from domain.model.values import Instant, iso_of
from projections.past import Past

AsOf = Annotated[
    str,
    Query(
        max_length=40,
        description="what was known then: a position of the log, or an RFC 3339 "
        "instant, which means the last position recorded by it",
    ),
]
ValidAt = Annotated[
    str,
    Query(
        max_length=40,
        description="what was then: an RFC 3339 instant; now when left out",
    ),
]

_POSITION = re.compile(r"[0-9]{1,18}", re.ASCII)


async def past_of(
    context: Context, projection: str, as_of: str, kind: str = "", cursor: str = ""
) -> Past | None:
    """Return the reads of a past position; None when the present is asked for.

    A cursor remembers of which position its list is.
    """
    if not as_of:
        remembered = kind_in(cursor).removeprefix(_kind(kind, ""))
        if not kind or not _POSITION.fullmatch(remembered):
            return None
        as_of = remembered
    position = await run_in_threadpool(_position, context, as_of)
    await caught_up(context, projection, position)
    return Past(context.system.log, context.models, position)


def kind_of(kind: str, past: Past | None) -> str:
    """Return the kind of a list's cursors: it says of which position it is."""
    return kind if past is None else _kind(kind, str(past.position))


def instant_valid(context: Context, valid_at: str) -> Instant:
    """Return the instant of ``valid_at``; the present one when it is left out."""
    return instant_or("query.valid_at", valid_at, context.system.clock.now())


def _kind(kind: str, position: str) -> str:
    return f"{kind} as of {position}"


def _position(context: Context, as_of: str) -> int:
    log = context.system.log
    if _POSITION.fullmatch(as_of):
        position, last = int(as_of), log.last_position()
        if position > last:
            raise Problem(
                422,
                Code.POSITION_AHEAD,
                f"as_of is {position}: the log ends at position {last}",
                [Broken("query.as_of", as_of, f"is at most {last}")],
            )
        return position
    now = context.system.clock.now()
    instant = instant_or("query.as_of", as_of, now)
    if instant > now:
        rule = f"is not after the present instant, {iso_of(now)}"
        raise invalid("query.as_of", as_of, rule)
    return log.recorded_by(instant)
