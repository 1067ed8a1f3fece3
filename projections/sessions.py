"""Service sessions with their transactions of the five kinds (IEC 63110-1 6.2)."""

import sqlite3
from collections.abc import Callable
from typing import Any

from domain.model import session_events as s
from domain.model.registry import encode
from domain.model.values import Event, Instant
from domain.ports import Recorded
from projections.fold import USABLE, Fold, Kept
from projections.history import Listings, Tracked, listings_ddl
from projections.session_documents import Session

# Which list of a service session a transaction stands in.
KINDS: dict[type[Event], str] = {
    s.ReferenceBound: "reference",
    s.EvseBound: "place",
    s.EvseReleased: "place",
    s.AuthorizationRequested: "authorization",
    s.AuthorizationAccepted: "authorization",
    s.AuthorizationRefused: "authorization",
    s.AuthorizationEnded: "authorization",
    s.ReservationMade: "reservation",
    s.ReservationChanged: "reservation",
    s.ReservationAnswered: "reservation",
    s.ReservationMatched: "reservation",
    s.ReservationEnded: "reservation",
    s.ParkingStarted: "parking",
    s.ParkingEnded: "parking",
    s.TransferStarted: "transfer",
    s.TransferPaused: "transfer",
    s.TransferResumed: "transfer",
    s.TransferEnded: "transfer",
    s.TransferSettled: "transfer",
    s.TransferModeChanged: "transfer",
    s.OtherStarted: "other",
    s.OtherEnded: "other",
    s.NeedsStated: "needs",
    s.V2gConsented: "consent",
    s.V2gWithdrawn: "consent",
    s.SafetyReported: "safety_issue",
    s.SdrCollected: "sdr",
    s.SdrReceived: "sdr",
    s.TransferPlanChanged: "etp_change",
    s.TransferIntervalMetered: "interval",
    s.TransactionCorrected: "correction",
    s.FactKept: "kept_fact",
}


Rule = Callable[[Kept[Session], Recorded, Any], None]


def _columns(session: Session) -> tuple[Any, ...]:
    return (
        session.zone_id,
        session.station_id,
        session.evse_id,
        session.state,
        session.opened_at,
    )


def _listed(session: Session) -> tuple[Any, ...]:
    """Return what lists of the past filter and sort by."""
    return (
        session.opened_at,
        session.zone_id,
        session.station_id,
        session.evse_id,
        session.state,
        f" {' '.join(session.parties)} ",
    )


_LISTED_DDL = (
    listings_ddl(
        "session",
        "opened_at INTEGER",
        "zone_id TEXT",
        "station_id TEXT",
        "evse_id TEXT",
        "state TEXT",
        "parties TEXT",
        "highest_opened_at INTEGER",
    )
    + """
    CREATE INDEX session_listed_by_opening ON session_listed(opened_at, id);
    CREATE INDEX session_listed_by_zone ON session_listed(zone_id, opened_at, id);
    CREATE INDEX session_listed_by_evse ON session_listed(evse_id, opened_at, id);
    CREATE INDEX session_listed_by_position
      ON session_listed(position, highest_opened_at);
    """
)


class SessionsFold(Fold):
    """Writes ``sessions.sqlite``."""

    name = "sessions"
    schema = 3
    ddl = (
        """
    CREATE TABLE session(
      session_id TEXT PRIMARY KEY,
      zone_id TEXT NOT NULL,
      station_id TEXT NOT NULL,
      evse_id TEXT NOT NULL,
      state TEXT NOT NULL,
      opened_at INTEGER NOT NULL,
      document BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX session_by_zone ON session(zone_id, state, opened_at, session_id);
    CREATE INDEX session_by_station
      ON session(station_id, state, opened_at, session_id);
    CREATE INDEX session_by_evse ON session(evse_id, state, opened_at, session_id);
    CREATE INDEX session_by_state ON session(state, opened_at, session_id);
    CREATE TABLE session_party(
      party TEXT NOT NULL,
      opened_at INTEGER NOT NULL,
      session_id TEXT NOT NULL,
      PRIMARY KEY (party, opened_at, session_id)
    ) WITHOUT ROWID;
    CREATE TABLE session_transaction(
      session_id TEXT NOT NULL,
      occurred_at INTEGER NOT NULL,
      position INTEGER NOT NULL,
      kind TEXT NOT NULL,
      type TEXT NOT NULL,
      state BLOB NOT NULL,
      PRIMARY KEY (session_id, occurred_at, position)
    ) WITHOUT ROWID;
    """
        + _LISTED_DDL
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._sessions = Tracked(
            self,
            "session",
            Session,
            _columns,
            listings=Listings(db, "session", _listed, highest=0),
        )
        self._new: list[tuple[str, Instant, int, str, str, bytes]] = []
        self._taking_part: list[tuple[str, Instant, str]] = []
        self._rules: dict[type[Event], Rule] = {
            s.ReferenceBound: self._reference_bound,
            s.EvseBound: self._bound,
            s.EvseReleased: self._released,
            s.NeedsStated: self._needs_stated,
            s.V2gConsented: self._consented,
            s.V2gWithdrawn: self._consented,
            s.SafetyReported: self._safety_reported,
            s.TransferStarted: self._transfer_turned,
            s.TransferPaused: self._transfer_turned,
            s.TransferResumed: self._transfer_turned,
            s.TransferEnded: self._transfer_ended,
            s.TransferSettled: self._transfer_settled,
            s.TransferIntervalMetered: self._interval_metered,
            s.AuthorizationRequested: self._authorization_requested,
            s.ReservationMade: self._expected,
        }
        self.handlers = {
            **dict.fromkeys(KINDS, self._transaction),
            s.SessionOpened: self._opened,
            s.SessionClosed: self._closed,
            s.MergedInto: self._merged,
            s.MergedFrom: self._merged_from,
            s.TransferObserved: self._observed,
        }

    def save(self) -> None:
        """Write the sessions and transactions of this batch."""
        self._sessions.save()
        # In the order of the table's key, which interleaved sessions are not.
        self._new.sort()
        self.db.executemany(
            "INSERT INTO session_transaction VALUES (?, ?, ?, ?, ?, ?)", self._new
        )
        self._new.clear()
        self.db.executemany(
            "INSERT OR IGNORE INTO session_party VALUES (?, ?, ?)", self._taking_part
        )
        self._taking_part.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._sessions.forget()
        self._new.clear()
        self._taking_part.clear()

    def _session(self, row: Recorded, session_id: str) -> Kept[Session]:
        kept = self._sessions.get(session_id)
        opened_at = kept.view.opened_at
        if not opened_at or (
            row.occurred_at < opened_at and "opened" not in kept.marks
        ):
            self._opens_at(kept.view, row.occurred_at)
        return kept

    def _opens_at(self, session: Session, at: Instant) -> None:
        """Set when the session opened; it is listed by that for its parties."""
        wrong = (session.opened_at, session.session_id)
        if session.parties and session.opened_at != at:
            self._taking_part = [row for row in self._taking_part if row[1:] != wrong]
            self.db.executemany(
                "DELETE FROM session_party"
                " WHERE party = ? AND opened_at = ? AND session_id = ?",
                [(party, *wrong) for party in session.parties],
            )
        session.opened_at = at
        self._takes_part(session, *session.parties)

    def _takes_part(self, session: Session, *parties: str) -> None:
        session.parties = tuple(sorted({*session.parties, *parties}))
        self._taking_part += [
            (party, session.opened_at, session.session_id) for party in parties
        ]

    def _transaction(self, row: Recorded, event: Any) -> None:
        cls = event.__class__
        self._new.append(
            (
                event.session_id,
                row.occurred_at,
                row.position,
                KINDS[cls],
                row.type,
                encode(event),
            )
        )
        kept = self._session(row, event.session_id)
        rule = self._rules.get(cls)
        if rule is not None:
            rule(kept, row, event)

    def _opened(self, row: Recorded, event: s.SessionOpened) -> None:
        kept = self._session(row, event.session_id)
        kept.newer("opened", row)
        session = kept.view
        self._opens_at(session, row.occurred_at)
        session.party = event.party
        self._takes_part(session, event.party)
        if kept.newer("subject", row):
            session.subject_id = event.subject_id

    def _reference_bound(
        self, kept: Kept[Session], row: Recorded, event: s.ReferenceBound
    ) -> None:
        self._takes_part(kept.view, event.party)

    def _closed(self, row: Recorded, event: s.SessionClosed) -> None:
        session = self._session(row, event.session_id).view
        session.closed_at = row.occurred_at
        session.close_reason = event.reason
        if not session.merged_into:
            session.state = "closed"

    def _merged(self, row: Recorded, event: s.MergedInto) -> None:
        session = self._session(row, event.session_id).view
        session.merged_into = event.into_session_id
        session.state = "merged"
        into = self._session(row, event.into_session_id).view
        into.merged_from = tuple(sorted({*into.merged_from, event.session_id}))

    def _bound(self, kept: Kept[Session], row: Recorded, event: s.EvseBound) -> None:
        if kept.newer("place", row):
            session = kept.view
            session.evse_id = event.evse_id
            session.station_id = event.station_id
            session.zone_id = event.zone_id
        if kept.newer("released", row):
            kept.view.released_at = None

    def _released(
        self, kept: Kept[Session], row: Recorded, event: s.EvseReleased
    ) -> None:
        # Where it took place stays readable; `released_at` says that it left.
        if kept.newer("released", row):
            kept.view.released_at = row.occurred_at

    def _needs_stated(
        self, kept: Kept[Session], row: Recorded, event: s.NeedsStated
    ) -> None:
        if kept.newer("needs", row):
            kept.view.needs = event

    def _consented(
        self,
        kept: Kept[Session],
        row: Recorded,
        event: s.V2gConsented | s.V2gWithdrawn,
    ) -> None:
        if kept.newer("consent", row):
            kept.view.has_v2g_consent = isinstance(event, s.V2gConsented)

    def _safety_reported(
        self, kept: Kept[Session], row: Recorded, event: s.SafetyReported
    ) -> None:
        if kept.newer("safety", row):
            kept.view.safety_issue = event.issue

    def _merged_from(self, row: Recorded, event: s.MergedFrom) -> None:
        self._takes_part(self._session(row, event.session_id).view, *event.parties)

    def _expected(
        self,
        kept: Kept[Session],
        row: Recorded,
        event: s.ReservationMade | s.AuthorizationRequested,
    ) -> None:
        """Say where the session is expected, until it is plugged somewhere."""
        if "place" in kept.marks or not event.zone_id:
            return
        if kept.newer("expected", row):
            kept.view.zone_id = event.zone_id
            kept.view.station_id = event.station_id

    def _authorization_requested(
        self, kept: Kept[Session], row: Recorded, event: s.AuthorizationRequested
    ) -> None:
        self._expected(kept, row, event)
        if event.subject_id and kept.newer("subject", row):
            kept.view.subject_id = event.subject_id

    def _transfer_turned(
        self,
        kept: Kept[Session],
        row: Recorded,
        event: s.TransferStarted | s.TransferPaused | s.TransferResumed,
    ) -> None:
        if event.quality in USABLE and kept.newer("transferring", row):
            kept.view.transferring = not isinstance(event, s.TransferPaused)

    def _transfer_ended(
        self, kept: Kept[Session], row: Recorded, event: s.TransferEnded
    ) -> None:
        if event.quality not in USABLE:
            return
        session = kept.view
        if kept.newer("transferring", row):
            session.transferring = False
        if kept.newer("energy", row):
            session.energy_wh = event.energy_wh
        if kept.newer("power", row):
            session.power_w = 0

    def _transfer_settled(
        self, kept: Kept[Session], row: Recorded, event: s.TransferSettled
    ) -> None:
        """Take in what was told late; where it was not known before, it is placed."""
        session = kept.view
        if not session.evse_id:
            session.evse_id, session.station_id = event.evse_id, event.station_id
            session.zone_id, session.released_at = event.zone_id, event.unplugged_at
        if event.subject_id and not session.subject_id:
            session.subject_id = event.subject_id
        if kept.newer("transferring", row):
            session.transferring = False
        if kept.newer("energy", row):
            session.energy_wh = event.energy_wh
        metered_wh = sum(energy_wh for _, _, energy_wh in event.intervals)
        session.metered_wh += metered_wh - event.replaced_wh

    def _interval_metered(
        self, kept: Kept[Session], row: Recorded, event: s.TransferIntervalMetered
    ) -> None:
        if event.quality in USABLE:
            kept.view.metered_wh += event.energy_wh

    def _observed(self, row: Recorded, event: s.TransferObserved) -> None:
        kept = self._session(row, event.session_id)
        if event.quality not in USABLE:
            return
        session = kept.view
        if kept.newer("energy", row):
            session.energy_wh = event.energy_wh
        if kept.newer("power", row):
            session.power_w = event.power_w
        # Apart from the power, which the end of the transfer also tells.
        if kept.newer("observed", row):
            session.limit_w = event.limit_w
            session.suspended_by_ev = event.suspended_by_ev
            session.observed_at = row.occurred_at
