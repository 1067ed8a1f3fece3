"""Audit and security log over HTTP (7.9.4.6): for auditors, who alone see origins."""

from typing import Annotated

import msgspec
from fastapi import Query, Response
from starlette.concurrency import run_in_threadpool

from api.rest.command_bodies import instant_of_text
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Context,
    Cursor,
    Limit,
    Reading,
    Stored,
    caught_up,
    documented,
    key_of,
    needs,
    new_routes,
    next_of,
)
from api.security.permissions import Permission
from domain.errors import StoreError
from domain.model.access_events import CommandAudited
from domain.model.registry import BY_CLASS
from domain.model.values import Instant, Sealed
from domain.ports import Vault
from projections.security import (
    AuditEntry,
    Command,
    Count,
    Note,
    SecurityEntry,
    Window,
)

router = new_routes()

_AUDITED = BY_CLASS[CommandAudited].name
_LAST = ((1 << 63) - 1,)
_LAST_DAY = ("~", "~")

FromAt = Annotated[str, Query(max_length=40, description="recorded then or later")]
UntilAt = Annotated[str, Query(max_length=40, description="recorded before then")]
Exactly = Annotated[str, Query(max_length=200)]


class OriginView(msgspec.Struct, kw_only=True):
    """Where something came from.

    ``state``: ``open``; ``none`` when nothing was kept; ``erased`` when its key was
    destroyed; ``altered`` when the row is not what was written.
    """

    state: str
    address: str = ""
    user_agent: str = ""
    on_behalf_of: str = ""
    path: str = ""


class AuditView(Command, kw_only=True):
    """One command: who gave it, for whom, from where."""

    origin: OriginView


class AuditPage(msgspec.Struct):
    """A page of commands, the last one first."""

    items: list[AuditView]
    next: str | None


class SecurityView(Note, kw_only=True):
    """One note; a ``count`` above 1 stands for a flood between two instants."""

    origin: OriginView


class SecurityPage(msgspec.Struct):
    """A page of notes, the last one first."""

    items: list[SecurityView]
    next: str | None


class CounterPage(msgspec.Struct):
    """A page of counters, the last UTC day first."""

    items: list[Count]
    next: str | None


@router.get(
    "/audit",
    openapi_extra=needs(Permission.SECURITY_READ),
    tags=["security", "7.9.4.6"],
    responses=documented(AuditPage, 400),
)
async def list_audit(
    context: Reading,
    actor: Exactly = "",
    permission: Exactly = "",
    from_at: FromAt = "",
    until_at: UntilAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List the commands that were given: who, for whom, from where."""
    await caught_up(context, "security", after)
    window = _window("audit", cursor, limit, from_at, until_at)

    def work() -> AuditPage:
        found = context.models.security.audit(
            window, actor=actor, permission=permission
        )
        items = [_audit_view(context, entry) for entry in found]
        return AuditPage(items, next_of("audit", found, limit, _position_of))

    return json_response(await run_in_threadpool(work))


@router.get(
    "/security/events",
    openapi_extra=needs(Permission.SECURITY_READ),
    tags=["security", "7.9.4.6"],
    responses=documented(SecurityPage, 400),
)
async def list_security_events(
    context: Reading,
    kind: Exactly = "",
    from_at: FromAt = "",
    until_at: UntilAt = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List logins good and bad, refusals, faulty messages, changed configurations."""
    await caught_up(context, "security", after)
    window = _window("security", cursor, limit, from_at, until_at)

    def work() -> SecurityPage:
        found = context.models.security.entries(window, kind=kind)
        items = [_security_view(context, entry) for entry in found]
        return SecurityPage(items, next_of("security", found, limit, _position_of))

    return json_response(await run_in_threadpool(work))


@router.get(
    "/security/counters",
    openapi_extra=needs(Permission.SECURITY_READ),
    tags=["security", "7.9.4.6"],
    responses=documented(CounterPage, 400),
)
async def list_security_counters(
    context: Reading, limit: Limit = 100, cursor: Cursor = "", after: After = None
) -> Response:
    """List how often each kind was seen, by UTC day."""
    await caught_up(context, "security", after)
    before = key_of("counters", cursor, tuple[str, str], _LAST_DAY)
    found = context.models.security.counts(before=before, limit=limit)
    behind = next_of("counters", found, limit, lambda count: (count.day, count.kind))
    return json_response(CounterPage(found, behind))


def _window(kind: str, cursor: str, limit: int, from_at: str, until_at: str) -> Window:
    (before,) = key_of(kind, cursor, tuple[Stored], _LAST)
    return Window(before, limit, _time("from_at", from_at), _time("until_at", until_at))


def _position_of(entry: AuditEntry | SecurityEntry) -> tuple[int]:
    return (entry.position,)


def _time(name: str, text: str) -> Instant | None:
    return instant_of_text(f"query.{name}", text) if text else None


def _audit_view(context: Context, entry: AuditEntry) -> AuditView:
    fields = msgspec.structs.asdict(entry)
    sealed = fields.pop("origin")
    names = ("address", "user_agent", "on_behalf_of")
    origin = _opened(context.system.vault, sealed, _AUDITED, names)
    return AuditView(**fields, origin=origin)


def _security_view(context: Context, entry: SecurityEntry) -> SecurityView:
    fields = msgspec.structs.asdict(entry)
    sealed, sealed_for = fields.pop("origin"), fields.pop("origin_context")
    last = "on_behalf_of" if sealed_for == _AUDITED else "path"
    names = ("address", "user_agent", last)
    origin = _opened(context.system.vault, sealed, sealed_for, names)
    return SecurityView(**fields, origin=origin)


def _opened(
    vault: Vault, sealed: Sealed | None, sealed_for: str, names: tuple[str, ...]
) -> OriginView:
    if sealed is None:
        return OriginView(state="none")
    try:
        group = vault.open(sealed, sealed_for)
    except StoreError:
        return OriginView(state="altered")
    if group is None:
        return OriginView(state="erased")
    told = msgspec.msgpack.decode(group, type=list[str])
    return OriginView(state="open", **dict(zip(names, told, strict=True)))
