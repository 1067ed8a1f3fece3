"""Stations: standing, connection, what they told, what became of their ETPs."""

import sqlite3
from typing import Any

from domain.model import activity_events as a
from domain.model import plan_events as p
from domain.model import site_events as z
from domain.model import station_events as t
from domain.model.values import Quality
from domain.ports import Recorded
from projections.fold import USABLE, Fold, Kept
from projections.history import Listings, Touches, Tracked, listings_ddl, touches_ddl
from projections.station_documents import (
    CONNECTED,
    DISCONNECTED,
    Capabilities,
    Connector,
    OpenActivity,
    OpenAlert,
    OpenTransaction,
    ReportedLimit,
    StationDocument,
    count,
    deliver,
    drop_beyond,
    report,
    standing_of,
)

# Transactions that ended are known for so long, as their begin may be told later.
_ENDED_KEPT = 64
_DELIVERY = "delivery-"
_DAY = "-yyyy-mm-dd"


def _columns(document: StationDocument) -> tuple[str, ...]:
    station = document.station
    return (station.zone_id, standing_of(document), station.connection)


def _listed(document: StationDocument) -> tuple[str, ...]:
    return (document.station_id, *_columns(document))


class StationsFold(Fold):
    """Writes ``stations.sqlite``."""

    name = "stations"
    schema = 1
    ddl = (
        """
    CREATE TABLE station(
      station_id TEXT PRIMARY KEY,
      zone_id TEXT NOT NULL,
      standing TEXT NOT NULL,
      connection TEXT NOT NULL,
      document BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX station_by_zone ON station(zone_id, station_id);
    """
        + touches_ddl("station")
        + listings_ddl(
            "station",
            "station_id TEXT",
            "zone_id TEXT",
            "standing TEXT",
            "connection TEXT",
        )
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._stations = Tracked(
            self,
            "station",
            StationDocument,
            _columns,
            touches=Touches(db, "station"),
            listings=Listings(db, "station", _listed),
        )
        self.handlers = {
            z.StationCommissioned: self._commissioned,
            t.StationRegistered: self._registered,
            t.StationCredentialChanged: self._credentials,
            t.StationDeviationsChanged: self._deviations,
            t.StationBlocked: self._blocked,
            t.StationUnblocked: self._unblocked,
            t.StationRetired: self._retired,
            t.StationCapabilities: self._capable,
            t.StationDefaultsInstalled: self._defaults,
            t.StationConnected: self._connected,
            t.StationDisconnected: self._disconnected,
            t.StationBooted: self._booted,
            t.StationStatusReported: self._status,
            t.StationAlertReported: self._alert,
            t.StationAvailabilityChanged: self._availability,
            t.StationUseChanged: self._use,
            t.StationClockMeasured: self._clock,
            t.StationMessageKept: self._kept,
            t.StationMessagesCounted: self._beyond,
            t.StationDeviationTolerated: self._tolerated,
            t.LimitReported: self._limit,
            t.StationTransactionReported: self._transaction,
            t.StationTransactionBound: self._bound,
            t.SettleLearned: self._settle,
            a.ActivityAsked: self._asked,
            a.ActivityProgressed: self._progressed,
            a.ActivityEnded: self._activity_over,
            a.ActivityTimedOut: self._activity_over,
            p.EtpSent: self._etp,
            p.EtpAccepted: self._etp,
            p.EtpConfirmed: self._etp,
            p.EtpRefused: self._etp,
            p.EtpTimedOut: self._etp,
            t.EtpSuperseded: self._etp,
            t.EtpNotFollowed: self._etp,
            t.EtpFollowedAgain: self._etp,
            t.ScheduleCompared: self._etp,
        }

    @property
    def documents(self) -> Tracked[StationDocument]:
        """The stations, for who folds a part of the past."""
        return self._stations

    def save(self) -> None:
        """Write the stations of this batch."""
        self._stations.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._stations.forget()

    def _heard(self, row: Recorded, station_id: str) -> Kept[StationDocument]:
        """Return the document of a station that said something."""
        kept = self._stations.get(station_id)
        station = kept.view.station
        station.heard_at = max(station.heard_at or 0, row.recorded_at)
        return kept

    def _commissioned(self, row: Recorded, event: z.StationCommissioned) -> None:
        document = self._stations.get(event.station_id).view
        document.station.zone_id = event.zone_id
        document.evse_ids = event.evse_ids

    def _registered(self, row: Recorded, event: t.StationRegistered) -> None:
        station = self._stations.get(event.station_id).view.station
        station.identity = event.identity
        station.security_profile = event.security_profile
        station.certificate_name = event.certificate_name
        station.via = event.via
        station.deviations = event.deviations

    def _credentials(self, row: Recorded, event: t.StationCredentialChanged) -> None:
        station = self._stations.get(event.station_id).view.station
        station.security_profile = event.security_profile
        station.certificate_name = event.certificate_name

    def _deviations(self, row: Recorded, event: t.StationDeviationsChanged) -> None:
        self._stations.get(event.station_id).view.station.deviations = event.deviations

    def _blocked(self, row: Recorded, event: t.StationBlocked) -> None:
        self._stations.get(event.station_id).view.blocked = event.reason

    def _unblocked(self, row: Recorded, event: t.StationUnblocked) -> None:
        self._stations.get(event.station_id).view.blocked = ""

    def _retired(self, row: Recorded, event: t.StationRetired) -> None:
        self._stations.get(event.station_id).view.retired = event.reason

    def _capable(self, row: Recorded, event: t.StationCapabilities) -> None:
        station = self._heard(row, event.station_id).view.station
        station.version = event.version
        station.capabilities = Capabilities(
            *(getattr(event, name) for name in Capabilities.__struct_fields__)
        )

    def _defaults(self, row: Recorded, event: t.StationDefaultsInstalled) -> None:
        station = self._heard(row, event.station_id).view.station
        station.default_w, station.maximum_w = event.default_w, event.maximum_w

    def _connected(self, row: Recorded, event: t.StationConnected) -> None:
        kept = self._heard(row, event.station_id)
        if kept.newer("connection", row):
            station = kept.view.station
            station.connection, station.connection_reason = CONNECTED, ""
            station.connection_since_at = row.occurred_at
            station.version = event.version

    def _disconnected(self, row: Recorded, event: t.StationDisconnected) -> None:
        kept = self._stations.get(event.station_id)
        if kept.newer("connection", row):
            station = kept.view.station
            station.connection, station.connection_reason = DISCONNECTED, event.reason
            station.connection_since_at = row.occurred_at

    def _booted(self, row: Recorded, event: t.StationBooted) -> None:
        kept = self._heard(row, event.station_id)
        if kept.newer("boot", row):
            station = kept.view.station
            station.vendor, station.model = event.vendor, event.model
            station.firmware = event.firmware
            station.serial_number = event.serial_number
            station.booted_at, station.boot_reason = row.occurred_at, event.reason

    def _status(self, row: Recorded, event: t.StationStatusReported) -> None:
        document = self._heard(row, event.station_id).view
        connector = Connector(
            event.evse_number,
            event.connector,
            event.status,
            event.error_code,
            event.info,
            row.occurred_at,
        )
        key = f"{event.evse_number:04}.{event.connector:04}"
        report(document.connectors, key, connector)

    def _alert(self, row: Recorded, event: t.StationAlertReported) -> None:
        document = self._heard(row, event.station_id).view
        alert = OpenAlert(
            event.evse_number,
            event.component,
            event.variable,
            event.value,
            event.severity,
            event.info,
            row.occurred_at,
        )
        key = f"{event.evse_number:04} {event.component} {event.variable}"
        report(document.alerts, key, alert, is_over=event.is_cleared)

    def _availability(self, row: Recorded, event: t.StationAvailabilityChanged) -> None:
        document = self._heard(row, event.station_id).view
        document.evse(event.evse_id).is_operative = event.is_operative

    def _use(self, row: Recorded, event: t.StationUseChanged) -> None:
        document = self._heard(row, event.station_id).view
        if event.evse_id:
            document.evse(event.evse_id).is_operative = event.is_operative
        else:
            document.station.is_operative = event.is_operative

    def _clock(self, row: Recorded, event: t.StationClockMeasured) -> None:
        kept = self._heard(row, event.station_id)
        kept.view.station.clock_offset_ms = event.offset_ms

    def _kept(self, row: Recorded, event: t.StationMessageKept) -> None:
        station = self._heard(row, event.station_id).view.station
        if event.quality is Quality.UNREADABLE:
            count(station.unreadable, event.rule)
        else:
            count(station.unasked, event.action)

    def _beyond(self, row: Recorded, event: t.StationMessagesCounted) -> None:
        station = self._heard(row, event.station_id).view.station
        station.messages_beyond += event.count

    def _tolerated(self, row: Recorded, event: t.StationDeviationTolerated) -> None:
        station = self._heard(row, event.station_id).view.station
        count(station.tolerated, event.deviation, event.count)

    def _limit(self, row: Recorded, event: t.LimitReported) -> None:
        document = self._heard(row, event.station_id).view
        limit = ReportedLimit(
            event.evse_id,
            event.source,
            event.profile,
            event.is_grid_critical,
            row.occurred_at,
        )
        key = f"{event.evse_id} {event.source}"
        report(document.limits, key, limit, is_over=event.is_over)

    def _transaction(self, row: Recorded, event: t.StationTransactionReported) -> None:
        document = self._heard(row, event.station_id).view
        if event.quality not in USABLE:
            return  # kept, and of no transaction that runs
        if event.kind == "ended":
            document.transactions.pop(row.stream, None)
            document.ended.append(row.stream)
            del document.ended[:-_ENDED_KEPT]
            return
        if row.stream in document.ended:
            return
        found = document.transactions.get(row.stream)
        if found is None:
            # That of 1.6 is the position at which it began.
            found = OpenTransaction(event.transaction_id or str(row.position))
            document.transactions[row.stream] = found
            drop_beyond(document.transactions)
        found.evse_id = event.evse_id or found.evse_id
        if event.kind == "started":
            found.started_at = row.occurred_at
        found.state = event.state or found.state

    def _bound(self, row: Recorded, event: t.StationTransactionBound) -> None:
        document = self._stations.get(event.station_id).view
        found = document.transactions.get(row.stream)
        if found is not None:
            found.session_id = event.session_id

    def _settle(self, row: Recorded, event: t.SettleLearned) -> None:
        document = self._stations.get(event.station_id).view
        document.evse(event.evse_id).settle_s = event.settle_s

    def _asked(self, row: Recorded, event: a.ActivityAsked) -> None:
        document = self._stations.get(event.station_id).view
        document.activities[event.activity_id] = OpenActivity(
            event.activity_id,
            event.kind,
            event.evse_id,
            event.session_id,
            row.occurred_at,
            event.due_at,
        )

    def _progressed(self, row: Recorded, event: a.ActivityProgressed) -> None:
        document = self._stations.get(event.station_id).view
        found = document.activities.get(event.activity_id)
        if found is not None:
            found.step = event.step

    def _activity_over(
        self, row: Recorded, event: a.ActivityEnded | a.ActivityTimedOut
    ) -> None:
        document = self._stations.get(event.station_id).view
        document.activities.pop(event.activity_id, None)

    def _etp(self, row: Recorded, event: Any) -> None:
        # Of a stream `delivery-<station>-<day>`.
        station_id = row.stream[len(_DELIVERY) : -len(_DAY)]
        if isinstance(event, p.EtpAccepted | p.EtpRefused):
            document = self._heard(row, station_id).view
        else:
            document = self._stations.get(station_id).view
        deliver(document.evse(event.evse_id), event, row.occurred_at)
        if isinstance(event, p.EtpRefused):
            count(document.station.refusals, event.reason)
