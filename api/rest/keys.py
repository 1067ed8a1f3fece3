"""API keys over HTTP (7.9.4.5): issued by administrators, shown once, revoked."""

from functools import partial
from typing import Annotated

import msgspec
from fastapi import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api.errors import unknown
from api.rest.command_bodies import Moment, Name, PathId, Reason, example
from api.rest.commanding import Body, Commanding, Commands, commanded
from api.rest.presentation import json_response
from api.rest.reading import (
    Cursor,
    Limit,
    Reading,
    documented,
    key_of,
    needs,
    new_routes,
    next_of,
)
from api.security.keys import check_privileges, draw_key, roles_of
from api.security.permissions import Permission
from api.security.reach import check_station, check_zone
from domain.model.access_events import ALL
from domain.model.values import Instant
from domain.use_cases.clause_7_9_4_5_access import (
    KEY_CLAIM,
    MOST_PER_MINUTE,
    IssueKey,
    Key,
    RevokeKey,
    issue_key,
    keys_of,
    revoke_key,
)

router = new_routes()

_SHOWN = "keep it: it is shown this once and kept nowhere"
_GONE = "it was shown when it was issued; revoke it and issue another if it was lost"
Reach = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._*-]{0,63})$")]
Names = Annotated[list[Name], Field(max_length=1_000)]


class KeyBody(Body):
    """A key: for whom, with which roles, what it reaches, how long and how often."""

    model_config = example(
        label="Back office of Fleet Ltd", roles=["cso"], party="fleet"
    )

    label: Annotated[str, Field(min_length=1, max_length=200)]
    roles: Annotated[list[Name], Field(min_length=1, max_length=10)]
    party: Name | None = None
    zones: Annotated[
        list[Reach],
        Field(max_length=1_000, description="By name; `*` is all of the tenant."),
    ] = Field(default_factory=list)
    stations: Names = Field(default_factory=list)
    expires_at: Moment | None = None
    rate_per_minute: Annotated[int, Field(ge=1, le=MOST_PER_MINUTE)] | None = None

    def command(self) -> IssueKey:
        """Return the command; roles with another reach than they need are refused."""
        check_privileges(
            roles_of(self.roles), self.party or "", self.zones, self.stations
        )
        return IssueKey(
            label=self.label,
            roles=tuple(self.roles),
            party=self.party or "",
            zones=tuple(self.zones),
            stations=tuple(self.stations),
            expires_at=self.expires_at or 0,
            rate_per_minute=self.rate_per_minute or 0,
        )


class RevocationBody(Body):
    """Why a key opens nothing any more."""

    model_config = example(reason="lost")

    reason: Reason


class NewKeyView(msgspec.Struct, kw_only=True):
    """A key just issued; ``key`` is its text, null when the request is a repeat."""

    key_id: str
    key: str | None
    note: str
    position: int
    stream: str
    version: int
    repeated: bool


class KeyView(msgspec.Struct, kw_only=True):
    """A key as administrators see it; ``state`` is good, expired or revoked."""

    key_id: str
    label: str
    state: str
    roles: tuple[str, ...]
    party: str
    zones: tuple[str, ...]
    stations: tuple[str, ...]
    issued_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    revoked_reason: str
    rate_per_minute: int | None


class KeyPage(msgspec.Struct):
    """A page of keys, by id."""

    items: list[KeyView]
    next: str | None


@router.post(
    "/keys",
    openapi_extra=needs(Permission.KEYS_KEEP),
    tags=["keys", "7.9.4.5"],
    responses={**commanded(), 200: documented(NewKeyView)[200]},
)
async def post_key(commands: Commanding, body: KeyBody) -> Response:
    """Issue a key; its text is in this answer and nowhere else."""
    command = body.command()
    new = draw_key(commands.caller.tenant, commands.system.ids)
    issue = partial(issue_key, key_id=new.key_id, digest=new.digest)
    found = await commands.result(
        issue, command, reach=partial(_check_reach, commands, command)
    )
    key_id = found.stream.removeprefix("access-")
    await _take_up(commands, key_id)
    view = NewKeyView(
        key_id=key_id,
        key=None if found.repeated else new.text,
        note=_GONE if found.repeated else _SHOWN,
        position=found.position,
        stream=found.stream,
        version=found.version,
        repeated=found.repeated,
    )
    return json_response(view)


@router.post(
    "/keys/{key_id}/revocation",
    openapi_extra=needs(Permission.KEYS_KEEP),
    tags=["keys", "7.9.4.5"],
    responses=commanded(),
)
async def post_key_revocation(
    commands: Commanding, key_id: PathId, body: RevocationBody
) -> Response:
    """Revoke a key: from this answer on it opens nothing, and its feeds end."""

    def check_known() -> None:
        if commands.system.log.owner(KEY_CLAIM, key_id) is None:
            raise unknown("key", key_id)

    command = RevokeKey(key_id=key_id, reason=body.reason)
    found = await commands.result(revoke_key, command, reach=check_known)
    await _take_up(commands, key_id)
    return json_response(found)


@router.get(
    "/keys",
    openapi_extra=needs(Permission.KEYS_READ),
    tags=["keys", "7.9.4.5"],
    responses=documented(KeyPage, 400),
)
async def list_keys(
    context: Reading, limit: Limit = 100, cursor: Cursor = ""
) -> Response:
    """List the keys that were ever issued; never their secrets."""
    (behind,) = key_of("keys", cursor, tuple[str], ("",))
    system = context.system
    found = await run_in_threadpool(keys_of, system.log, behind=behind, limit=limit)
    more = next_of("keys", found, limit, lambda key: (key.issued.key_id,))
    now = system.clock.now()
    return json_response(KeyPage([_view(key, now) for key in found], more))


def _check_reach(commands: Commands, command: IssueKey) -> None:
    """Let nobody give away more than is within the own reach."""
    for zone_id in command.zones:
        if zone_id != ALL or not commands.caller.reaches_all:
            check_zone(commands.caller, zone_id)
    for station_id in command.stations:
        check_station(commands.system, commands.caller, station_id)


async def _take_up(commands: Commands, key_id: str) -> None:
    register = commands.context.keys
    if register is not None:
        await run_in_threadpool(register.refresh, key_id)


def _view(key: Key, now: Instant) -> KeyView:
    issued = key.issued
    state = "good"
    if issued.expires_at and issued.expires_at <= now:
        state = "expired"
    if key.revoked_at is not None:
        state = "revoked"
    return KeyView(
        key_id=issued.key_id,
        label=issued.label,
        state=state,
        roles=issued.roles,
        party=issued.party,
        zones=issued.zones,
        stations=issued.stations,
        issued_at=key.issued_at,
        expires_at=issued.expires_at or None,
        revoked_at=key.revoked_at,
        revoked_reason=key.revoked_reason,
        rate_per_minute=issued.rate_per_minute or None,
    )
