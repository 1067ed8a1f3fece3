"""``voltledger keys``: API keys of a store that no server has."""

from typing import Annotated

import typer

from api.commands.stores import alone
from api.commands.terminal import AsJson, StoreUrl, answering, print_json, say
from api.compose import open_log, store_folder
from api.security.first_key import local_by
from api.security.keys import check_privileges, check_tenant, draw_key, roles_of
from domain.model.values import DAY, iso_of
from domain.ports import TENANT
from domain.use_cases.clause_7_9_4_5_access import (
    MOST_PER_MINUTE,
    IssueKey,
    Key,
    RevokeKey,
    issue_key,
    keys_of,
    revoke_key,
)

keys_app = typer.Typer(help="API keys of a store.", no_args_is_help=True)

Label = Annotated[str, typer.Option(help="Whose it is; stands in the log.")]
Roles = Annotated[list[str], typer.Option("--role", help="May be given again.")]
Party = Annotated[str, typer.Option(help="Whom it acts for.")]
Zones = Annotated[list[str], typer.Option("--zone", help="'*' is all; again for more.")]
Stations = Annotated[list[str], typer.Option("--station", help="Again for more.")]
Days = Annotated[int, typer.Option(help="Days until it expires; 0: never.", min=0)]
Rate = Annotated[
    int,
    typer.Option(
        help="Requests a minute; 0: the server's default.", min=0, max=MOST_PER_MINUTE
    ),
]
Tenant = Annotated[str, typer.Option(help="As the server names the store's tenant.")]
Reason = Annotated[str, typer.Option(help="Stands in the log.")]

_INSTEAD = "POST /v1/keys and POST /v1/keys/{key_id}/revocation"


@keys_app.command("issue")
@answering
def issue(
    store: StoreUrl,
    label: Label,
    role: Roles,
    party: Party = "",
    zone: Zones = [],  # noqa: B006 - typer's own way to say that it may be left out
    station: Stations = [],  # noqa: B006
    expires_days: Days = 0,
    rate_per_minute: Rate = 0,
    tenant: Tenant = TENANT,
) -> None:
    """Issue a key and print it, this once: it is kept nowhere."""
    check_tenant(tenant)
    check_privileges(roles_of(role), party, zone, station)
    with alone(store, _INSTEAD) as system:
        expires_at = system.clock.now() + expires_days * DAY if expires_days else 0
        command = IssueKey(
            label=label,
            roles=tuple(role),
            party=party,
            zones=tuple(zone),
            stations=tuple(station),
            expires_at=expires_at,
            rate_per_minute=rate_per_minute,
        )
        new = draw_key(tenant, system.ids)
        by = local_by(system, "voltledger keys issue")
        issue_key(system, command, by, key_id=new.key_id, digest=new.digest)
    say(new.text)


@keys_app.command("list")
@answering
def list_keys(store: StoreUrl, as_json: AsJson = False) -> None:
    """List the keys that were ever issued; also while a server has the store."""
    with open_log(store_folder(store)) as log:
        found = keys_of(log)
    if as_json:
        print_json({"keys": [_shown(key) for key in found]})
        return
    for key in found:
        issued = key.issued
        reach = ", ".join((issued.party, *issued.zones, *issued.stations)).strip(", ")
        revoked = f"; revoked: {key.revoked_reason}" if key.revoked_at else ""
        until = f" until {iso_of(issued.expires_at)}" if issued.expires_at else ""
        roles = ", ".join(issued.roles)
        say(f"{issued.key_id}  {issued.label}: {roles} ({reach}){until}{revoked}")


@keys_app.command("revoke")
@answering
def revoke(
    store: StoreUrl, key_id: Annotated[str, typer.Argument()], reason: Reason
) -> None:
    """Revoke a key for good."""
    with alone(store, _INSTEAD) as system:
        by = local_by(system, "voltledger keys revoke")
        revoke_key(system, RevokeKey(key_id=key_id, reason=reason), by)
    say(f"{key_id} opens nothing any more")


def _shown(key: Key) -> dict[str, object]:
    issued = key.issued
    return {
        "key_id": issued.key_id,
        "label": issued.label,
        "roles": list(issued.roles),
        "party": issued.party,
        "zones": list(issued.zones),
        "stations": list(issued.stations),
        "issued_at": iso_of(key.issued_at),
        "expires_at": iso_of(issued.expires_at) if issued.expires_at else None,
        "revoked_at": iso_of(key.revoked_at) if key.revoked_at else None,
    }
