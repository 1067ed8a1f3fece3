"""Stations on the terminal: a line each, or all that is known of one."""

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from api.commands.terminal import out, say
from domain.model.values import Instant, iso_of
from projections.station_documents import EvseDelivery, Station

_WIDE = 1_000


def print_stations(stations: Sequence[Station]) -> None:
    """Print a line a station."""
    if not stations:
        say("there are no stations")
        return
    table = _table(
        "station",
        "zone",
        "version",
        "standing",
        "connection",
        "since",
        "clock",
        "last heard",
        "ETP sent",
        "accepted",
        "followed",
        "not following",
        "refused",
        "unreadable",
    )
    for station in stations:
        _add(
            table,
            station.station_id,
            station.zone_id,
            station.version,
            station.standing,
            station.connection,
            _at(station.connection_since_at),
            _clock(station.clock_offset_ms),
            _at(station.heard_at),
            sum(evse.sent for evse in station.evses),
            sum(evse.accepted for evse in station.evses),
            sum(evse.followed for evse in station.evses),
            sum(evse.is_following is False for evse in station.evses),
            sum(station.refusals.values()),
            sum(station.unreadable.values()),
        )
    _print(table)


def print_station(station: Station) -> None:
    """Print all that is known of a station."""
    for name, told in _facts(station):
        if told:
            say(f"{name:<22}{told}")
    for name, counts in (
        ("refusals", station.refusals),
        ("unreadable", station.unreadable),
        ("not asked for", station.unasked),
        ("tolerated", station.tolerated),
    ):
        if counts:
            say(f"{name:<22}{_counts(counts)}")
    if station.evses:
        _print_evses(station.evses)
    _print_lists(station)


def _facts(station: Station) -> list[tuple[str, str]]:
    makers = (station.vendor, station.model, station.firmware)
    can = station.capabilities
    since = _at(station.connection_since_at)
    return [
        ("station", station.station_id),
        ("zone", station.zone_id),
        ("identity", station.identity),
        ("standing", f"{station.standing} {station.reason}".strip()),
        ("in use", "" if station.is_operative else "no, by its operator"),
        ("security profile", str(station.security_profile or "")),
        ("certificate", station.certificate_name),
        ("connection", f"{station.connection} {since} {station.connection_reason}"),
        ("version", station.version),
        ("made by", " ".join(filter(None, makers))),
        ("booted", f"{_at(station.booted_at)} {station.boot_reason}".strip()),
        ("last heard", _at(station.heard_at)),
        ("clock", _clock(station.clock_offset_ms)),
        ("limits are in", f"{can.unit}, {can.max_periods} periods" if can else ""),
        ("standing default", _watts(station.default_w)),
        ("maximum", _watts(station.maximum_w)),
        ("deviations tolerated", ", ".join(station.deviations)),
    ]


def _print_evses(evses: Sequence[EvseDelivery]) -> None:
    table = _table(
        "EVSE",
        "id",
        "ETP sent",
        "accepted",
        "followed",
        "confirmed",
        "refused",
        "timed out",
        "superseded",
        "not followed",
        "follows",
        "since",
        "settles in",
    )
    follows = {None: "", True: "yes", False: "NO"}
    for evse in evses:
        _add(
            table,
            evse.number or "",
            evse.evse_id,
            evse.sent,
            evse.accepted,
            evse.followed,
            evse.confirmed,
            evse.refused,
            evse.timed_out,
            evse.superseded,
            evse.not_followed,
            follows[evse.is_following],
            _at(evse.following_since_at),
            "" if evse.settle_s is None else f"{evse.settle_s} s",
        )
    _print(table)


def _print_lists(station: Station) -> None:
    for connector in station.connectors:
        where = f"EVSE {connector.evse_number}, connector {connector.connector}"
        told = " ".join(filter(None, (connector.status, connector.error_code)))
        say(f"{where}: {told} since {_at(connector.reported_at)}")
    for transaction in station.transactions:
        where = f"transaction {transaction.transaction_id} at {transaction.evse_id}"
        say(f"{where}: {transaction.state} since {_at(transaction.started_at)}")
    for limit in station.limits:
        what = limit.evse_id or "the whole station"
        say(f"limit by {limit.source} on {what} since {_at(limit.reported_at)}")
    for alert in station.alerts:
        where = f"EVSE {alert.evse_number}" if alert.evse_number else "the station"
        said = f"{alert.component} {alert.variable} {alert.value}"
        say(f"alert of {where}: {said} since {_at(alert.reported_at)}")
    for activity in station.activities:
        due = _at(activity.due_at)
        say(f"activity {activity.activity_id}: {activity.kind}, due {due}")


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _add(table: Table, *cells: object) -> None:
    # As text: an id is no markup.
    table.add_row(*(Text(str(cell)) for cell in cells))


def _print(table: Table) -> None:
    console = out()
    # As wide as it is: a terminal breaks its lines, a file needs no ellipses.
    wide = console.options.update(width=_WIDE)
    table.width = Measurement.get(console, wide, table).maximum
    console.print(table)


def _at(at: Instant | None) -> str:
    return iso_of(at)[:19] + "Z" if at is not None else ""


def _clock(offset_ms: int | None) -> str:
    return "" if offset_ms is None else f"{offset_ms / 1_000:+.1f} s"


def _watts(power_w: int | None) -> str:
    return "" if power_w is None else f"{power_w:,} W"


def _counts(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda found: (-found[1], found[0]))
    return ", ".join(f"{name} {times}" for name, times in most)
