"""SDR information for the CSO (S6): of a session, as a feed over all, and receipts."""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
from api.rest.command_bodies import PathId, example
from api.rest.commanding import Body, Commanding, commanded
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Cursor,
    Limit,
    Reading,
    Stored,
    caught_up,
    cursor_of,
    documented,
    key_of,
    needs,
    new_routes,
)
from api.security.permissions import Permission
from api.security.reach import check_session, scope_of
from api.security.views import increment_for, sdr_for
from domain.use_cases.s6_sdr_information import ReceiveSdr, receive_sdr
from projections.sdr import START, SdrIncrement, SdrView

router = new_routes()

_FEED = "sdr-information"
_MOST = (1 << 63) - 1


class SdrFeedPage(msgspec.Struct):
    """A page of increments in the order of their adding.

    ``next`` goes on behind it, also where it is the last page so far.
    """

    items: list[SdrIncrement]
    next: str
    is_last: bool


class ReceiptBody(Body):
    """Up to which increment the caller's party has the information."""

    model_config = example(sequence=17)

    sequence: Annotated[int, Field(ge=1, le=_MOST)]


@router.get(
    "/service-sessions/{session_id}/sdr-information",
    openapi_extra=needs(Permission.SDR_READ),
    tags=["SDR information", "S6"],
    responses=documented(SdrView, 404),
)
async def get_sdr_information(
    context: Reading,
    caller: Caller,
    session_id: PathId,
    since: Annotated[
        int, Query(ge=0, le=_MOST, description="increments behind this sequence only")
    ] = 0,
    after: After = None,
) -> Response:
    """Show what the SDR of a session needs; final once the session closed."""
    await caught_up(context, "sdr", after)

    def work() -> Response:
        found = context.models.sdr.information(
            session_id, scope_of(caller), since=since
        )
        if found is None:
            raise unknown("session", session_id)
        return json_response(sdr_for(caller, found))

    # One of thousands of increments takes longer than others should wait.
    return await run_in_threadpool(work)


@router.get(
    "/sdr-information",
    openapi_extra=needs(Permission.SDR_READ),
    tags=["SDR information", "S6"],
    responses=documented(SdrFeedPage, 400),
)
async def list_sdr_information(
    context: Reading,
    caller: Caller,
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List the increments of all sessions within reach, from a cursor on.

    One that comes into reach in two ways may come twice, with the same numbers.
    """
    await caught_up(context, "sdr", after)
    behind = key_of(_FEED, cursor, tuple[Stored, str, Stored], START)
    page = context.models.sdr.page(scope_of(caller), after=behind, limit=limit)
    items = [
        SdrIncrement(each.session_id, increment_for(caller, each.increment))
        for each in page.items
    ]
    return json_response(SdrFeedPage(items, cursor_of(_FEED, *page.last), page.is_last))


@router.post(
    "/service-sessions/{session_id}/sdr-receipts",
    openapi_extra=needs(Permission.SDR_RECEIVE),
    tags=["SDR information", "S6"],
    responses=commanded(),
)
async def post_sdr_receipt(
    commands: Commanding, session_id: PathId, body: ReceiptBody
) -> Response:
    """Say that the caller's party has a session's information up to an increment."""
    return await commands.run(
        receive_sdr,
        ReceiveSdr(session_id=session_id, sequence=body.sequence),
        reach=partial(check_session, commands.system, commands.caller, session_id),
    )
