"""``voltledger stations``: the stations of a store, seen and kept at this machine."""

from typing import Annotated

import typer

from api.commands.station_tables import print_station, print_stations
from api.commands.stores import alone
from api.commands.terminal import AsJson, StoreUrl, answering, note, print_json, say
from api.compose import PROJECTIONS_FOLDER, open_projections, store_folder
from api.security.first_key import local_by
from api.security.permissions import Permission
from domain.errors import InvalidValue, StoreInUse
from domain.ports import System
from domain.use_cases.clause_7_3_availability import (
    ChangeAvailability,
    change_availability,
)
from domain.use_cases.clause_7_3_stations import (
    BlockStation,
    ChangeCredentials,
    RegisterStation,
    RetireStation,
    TolerateDeviations,
    UnblockStation,
    block_station,
    change_credentials,
    digest_of,
    draw_password,
    register_station,
    retire_station,
    tolerate_deviations,
    unblock_station,
)
from domain.use_cases.shared_path import By
from projections.station_documents import Station
from projections.station_queries import Stations
from projections.stations import StationsFold

stations_app = typer.Typer(
    help="The stations of a store; without a command: all of them, as they stand."
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The station's id.")]
Zone = Annotated[str, typer.Option(help="Those of one zone only.")]
Identity = Annotated[
    str, typer.Option(help="The last part of its URL; its id when left out.")
]
Profile = Annotated[
    int,
    typer.Option(
        "--profile",
        help="1: password on a trusted network; 2: over TLS; 3: client certificate.",
        min=1,
        max=3,
    ),
]
CertificateName = Annotated[
    str, typer.Option("--certificate", help="With profile 3: its common name.")
]
Deviations = Annotated[
    list[str], typer.Option("--deviation", help="Tolerated; again for more.")
]
Reason = Annotated[str, typer.Option(help="Stands in the log.")]

_INSTEAD = "POST /v1/stations/{station_id}/..."
_PAGE = 1_000


@stations_app.callback(invoke_without_command=True)
@answering
def stations(
    context: typer.Context,
    store: Annotated[
        str | None, typer.Option(help="The store: sqlite:///FOLDER.", metavar="URL")
    ] = None,
    zone: Zone = "",
    as_json: AsJson = False,
) -> None:
    """List the stations as they stand; also while a server has the store."""
    if context.invoked_subcommand is not None:
        return
    if store is None:
        raise InvalidValue("give --store URL, or a command: see --help")
    _list(store, zone, as_json=as_json)


@stations_app.command("list")
@answering
def list_stations(store: StoreUrl, zone: Zone = "", as_json: AsJson = False) -> None:
    """List the stations as they stand; also while a server has the store."""
    _list(store, zone, as_json=as_json)


@stations_app.command("show")
@answering
def show(store: StoreUrl, station_id: Id, as_json: AsJson = False) -> None:
    """Show all that is known of a station; also while a server has the store."""
    found = [s for s in _read(store) if s.station_id == station_id]
    if not found:
        raise InvalidValue(f"there is no station {station_id!r}")
    if as_json:
        print_json(found[0])
    else:
        print_station(found[0])


@stations_app.command("register")
@answering
def register(
    store: StoreUrl,
    station_id: Id,
    profile: Profile,
    identity: Identity = "",
    certificate: CertificateName = "",
    deviation: Deviations = [],  # noqa: B006 - typer's own way to say: may be left out
) -> None:
    """Let a station connect; prints its password, this once: it is kept nowhere."""
    command = RegisterStation(
        station_id=station_id,
        identity=identity or station_id,
        security_profile=profile,
        certificate_name=certificate,
        deviations=tuple(deviation),
    )
    with alone(store, _INSTEAD) as system:
        password, digest = _drawn(system, profile)
        by = _by(system, "register")
        register_station(system, command, by, password_digest=digest)
    _say_password(station_id, password)


@stations_app.command("credentials")
@answering
def credentials(
    store: StoreUrl, station_id: Id, profile: Profile, certificate: CertificateName = ""
) -> None:
    """Give a station new credentials; prints its new password, this once."""
    command = ChangeCredentials(
        station_id=station_id, security_profile=profile, certificate_name=certificate
    )
    with alone(store, _INSTEAD) as system:
        password, digest = _drawn(system, profile)
        by = _by(system, "credentials")
        change_credentials(system, command, by, password_digest=digest)
    _say_password(station_id, password)


@stations_app.command("deviations")
@answering
def deviations(
    store: StoreUrl,
    station_id: Id,
    deviation: Deviations = [],  # noqa: B006
) -> None:
    """Say which deviations of a station are tolerated: those named, and no others."""
    command = TolerateDeviations(station_id=station_id, deviations=tuple(deviation))
    with alone(store, _INSTEAD) as system:
        tolerate_deviations(system, command, _by(system, "deviations"))
    say(f"{station_id}: {len(set(deviation))} deviations are tolerated")


@stations_app.command("block")
@answering
def block(store: StoreUrl, station_id: Id, reason: Reason) -> None:
    """Reject a station until it is unblocked."""
    with alone(store, _INSTEAD) as system:
        command = BlockStation(station_id=station_id, reason=reason)
        block_station(system, command, _by(system, "block"))
    say(f"{station_id} is rejected from now on")


@stations_app.command("unblock")
@answering
def unblock(store: StoreUrl, station_id: Id, reason: Reason) -> None:
    """Accept a blocked station again."""
    with alone(store, _INSTEAD) as system:
        command = UnblockStation(station_id=station_id, reason=reason)
        unblock_station(system, command, _by(system, "unblock"))
    say(f"{station_id} is accepted again")


@stations_app.command("retire")
@answering
def retire(store: StoreUrl, station_id: Id, reason: Reason) -> None:
    """Take a station out of service for good."""
    with alone(store, _INSTEAD) as system:
        command = RetireStation(station_id=station_id, reason=reason)
        retire_station(system, command, _by(system, "retire"))
    say(f"{station_id} is out of service for good")


@stations_app.command("availability")
@answering
def availability(
    store: StoreUrl,
    station_id: Id,
    operative: Annotated[
        bool, typer.Option("--operative/--inoperative", help="Of use, or not.")
    ],
    evse: Annotated[str, typer.Option(help="One EVSE only; its id.")] = "",
) -> None:
    """Have a station, or one EVSE, be of use or not, from when it connects."""
    command = ChangeAvailability(
        station_id=station_id, is_operative=operative, evse_id=evse
    )
    with alone(store, _INSTEAD) as system:
        change_availability(system, command, _by(system, "availability"))
    say(f"{evse or station_id} is told so when {station_id} connects")


def _list(store: str, zone: str, *, as_json: bool) -> None:
    found = [s for s in _read(store) if zone in ("", s.zone_id)]
    if as_json:
        print_json({"stations": found})
    else:
        print_stations(found)


def _read(store: str) -> list[Station]:
    """Return all stations; brought up to date where no server does that."""
    folder = store_folder(store)
    try:
        with open_projections(folder, (StationsFold,)) as runner:
            runner.catch_up()
    except StoreInUse:
        pass  # a server follows the log itself
    stations = Stations(folder / PROJECTIONS_FOLDER)
    try:
        found: list[Station] = []
        while page := stations.page(
            after=found[-1].station_id if found else "", limit=_PAGE
        ):
            found += page
        return found
    finally:
        stations.reader.close()


def _by(system: System, command: str) -> By:
    route = f"voltledger stations {command}"
    return local_by(system, route, Permission.STATIONS_KEEP)


def _drawn(system: System, profile: int) -> tuple[str, bytes]:
    """Return a new password and what is kept of it, where the profile has one."""
    if profile == 3:
        return "", b""
    password = draw_password(system.ids)
    return password, digest_of(password)


def _say_password(station_id: str, password: str) -> None:
    if password:
        say(password)
    else:
        note(f"{station_id} proves itself by its certificate")
