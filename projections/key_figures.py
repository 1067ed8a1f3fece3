"""Key figures of E1: drivers served (KPI 1), plans within the PRE (KPI 2), counts."""

import sqlite3
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.pre import PreInForce
from domain.model.profile import PowerProfile
from domain.model.values import DAY, SECOND, Instant
from domain.ports import Recorded
from projections import pre_history
from projections.file import Reader
from projections.fold import USABLE, Documents, Fold, Kept, Mark, mark_of
from projections.pre_history import PreHistory

# A driver got what was asked for when no more than a meter's rounding is missing.
_SERVED_PERMILLE = 990

# A plan looks this far ahead: 96 quarter hours. What its last value would mean beyond
# is said by the plans to come.
PLAN_HORIZON = DAY

_BEGINNING = -(1 << 63)


class Figures(msgspec.Struct, array_like=True):
    """Key figures of one zone.

    Drivers ``asked`` who stated their needs and have left; ``served`` are those of them
    who got at least 99 % of the energy they stated, or whose EV had stopped by itself:
    drivers ask for more than their cars take. ``default_asked`` and ``default_served``
    count those who stated nothing, against the zone's default.
    """

    zone_id: str
    sessions_open: int = 0
    sessions_closed: int = 0
    sessions_merged: int = 0
    drivers_asked: int = 0
    drivers_served: int = 0
    default_asked: int = 0
    default_served: int = 0
    energy_wh: int = 0
    plans: int = 0
    plans_superseded: int = 0
    plans_outside_pre: int = 0
    pres_received: int = 0
    pres_revoked: int = 0
    etps_sent: int = 0
    etps_accepted: int = 0
    etps_refused: int = 0
    etps_timed_out: int = 0
    etps_confirmed: int = 0


class Needs(msgspec.Struct, frozen=True, array_like=True):
    """The last needs of a session."""

    mark: Mark
    target_wh: int
    by_user: bool


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What a merged session brings into the one it was merged into."""

    energy_wh: int
    needs: Needs | None


class SessionCount(msgspec.Struct, array_like=True):
    """What the figures need to know of a session, and what it adds to its zone now."""

    session_id: str
    zone_id: str = ""
    closed: bool = False
    left: bool = False
    merged_into: str = ""
    energy_wh: int = 0
    full: bool = False
    needs: Needs | None = None
    parts: dict[str, Part] = {}
    counted_in: str = ""
    counted: tuple[int, ...] = (0,) * 8

    def whole(self) -> Part:
        """Return energy and last needs with those of the sessions merged into it."""
        energy_wh = self.energy_wh + sum(part.energy_wh for part in self.parts.values())
        needs = [part.needs for part in self.parts.values() if part.needs]
        if self.needs:
            needs.append(self.needs)
        return Part(energy_wh, max(needs, key=lambda n: n.mark) if needs else None)

    def counts(self) -> tuple[int, ...]:
        """Return what the session adds to the first eight figures of its zone."""
        if not self.zone_id:
            return (0,) * 8
        if self.merged_into:
            return (0, 0, 1, 0, 0, 0, 0, 0)
        whole = self.whole()
        done = self.closed or self.left
        asked = user = served = False
        if whole.needs and done:
            asked, user = True, whole.needs.by_user
            due_wh = whole.needs.target_wh * _SERVED_PERMILLE
            served = self.full or whole.energy_wh * 1000 >= due_wh
        return (
            int(not self.closed),
            int(self.closed),
            0,
            int(asked and user),
            int(served and user),
            int(asked and not user),
            int(served and not user),
            whole.energy_wh,
        )


class EvseZone(msgspec.Struct, array_like=True):
    """In whose zone an EVSE's deliveries count, and how many of each outcome."""

    evse_id: str
    zone_id: str = ""
    sent: int = 0
    accepted: int = 0
    refused: int = 0
    timed_out: int = 0
    confirmed: int = 0


_ETP_COUNTERS = ("sent", "accepted", "refused", "timed_out", "confirmed")
_SESSION_FIGURES = Figures.__struct_fields__[1:9]


def _evse_columns(evse: EvseZone) -> tuple[Any, ...]:
    return (evse.zone_id, *(getattr(evse, name) for name in _ETP_COUNTERS))


class KeyFiguresFold(Fold):
    """Writes ``key_figures.sqlite``."""

    name = "key_figures"
    schema = 2
    ddl = (
        """
    CREATE TABLE zone(zone_id TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE session(session_id TEXT PRIMARY KEY, document BLOB NOT NULL)
      WITHOUT ROWID;
    CREATE TABLE evse(
      evse_id TEXT PRIMARY KEY, zone_id TEXT NOT NULL, sent INTEGER NOT NULL,
      accepted INTEGER NOT NULL, refused INTEGER NOT NULL, timed_out INTEGER NOT NULL,
      confirmed INTEGER NOT NULL, document BLOB NOT NULL
    ) WITHOUT ROWID;
    """
        + pre_history.DDL
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._zones = Documents(db, "zone", Figures)
        self._sessions = Documents(db, "session", SessionCount)
        self._evses = Documents(db, "evse", EvseZone, _evse_columns)
        self._pre = PreHistory(db)
        self._bounds: dict[str, tuple[Instant, Bounds]] = {}
        self.handlers = {
            z.ZoneDefined: self._pre_changed,
            z.ZoneLimitsChanged: self._pre_changed,
            p.PreReceived: self._pre_changed,
            p.PreRevoked: self._pre_changed,
            z.EvseCommissioned: self._commissioned,
            s.SessionOpened: self._opened,
            s.EvseBound: self._bound,
            s.EvseReleased: self._released,
            s.MergedInto: self._merged,
            s.SessionClosed: self._closed,
            s.NeedsStated: self._needs_stated,
            s.TransferObserved: self._observed,
            s.TransferEnded: self._energy,
            s.TransferSettled: self._settled,
            p.PlanMade: self._plan_made,
            p.PlanSuperseded: self._plan_superseded,
            p.EtpSent: self._etp_sent,
            p.EtpAccepted: self._etp_accepted,
            p.EtpRefused: self._etp_refused,
            p.EtpTimedOut: self._etp_timed_out,
            p.EtpConfirmed: self._etp_confirmed,
        }

    def save(self) -> None:
        """Bring the zones' sums up to date and write what this batch changed."""
        for session_id in list(self._sessions.touched()):
            self._count(session_id)
        for documents in (self._zones, self._sessions, self._evses):
            documents.save()
        self._pre.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        for documents in (self._zones, self._sessions, self._evses):
            documents.forget()
        self._pre.forget()
        self._bounds.clear()

    def _count(self, session_id: str) -> None:
        """Count a session anew, and those it was merged into."""
        met: set[str] = set()
        while session_id and session_id not in met:
            met.add(session_id)
            session = self._sessions.get(session_id).view
            self._add(session.counted_in, session.counted, -1)
            session.counted_in, session.counted = session.zone_id, session.counts()
            self._add(session.counted_in, session.counted, 1)
            if session.merged_into:
                into = self._sessions.get(session.merged_into).view
                parts = {**into.parts, session_id: session.whole()}
                # In one order, whatever the batches were.
                into.parts = dict(sorted(parts.items()))
            session_id = session.merged_into

    def _add(self, zone_id: str, counts: tuple[int, ...], sign: int) -> None:
        if any(counts):
            figures = self._zones.get(zone_id).view
            for name, count in zip(_SESSION_FIGURES, counts, strict=True):
                setattr(figures, name, getattr(figures, name) + sign * count)

    def _opened(self, row: Recorded, event: s.SessionOpened) -> None:
        self._sessions.get(event.session_id)

    def _bound(self, row: Recorded, event: s.EvseBound) -> None:
        kept = self._sessions.get(event.session_id)
        if kept.newer("place", row):
            kept.view.zone_id = event.zone_id
        if kept.newer("left", row):
            kept.view.left = False

    def _released(self, row: Recorded, event: s.EvseReleased) -> None:
        kept = self._sessions.get(event.session_id)
        if kept.newer("left", row):
            kept.view.left = True

    def _merged(self, row: Recorded, event: s.MergedInto) -> None:
        self._sessions.get(event.session_id).view.merged_into = event.into_session_id

    def _closed(self, row: Recorded, event: s.SessionClosed) -> None:
        self._sessions.get(event.session_id).view.closed = True

    def _needs_stated(self, row: Recorded, event: s.NeedsStated) -> None:
        kept = self._sessions.get(event.session_id)
        if kept.newer("needs", row):
            kept.view.needs = Needs(
                mark_of(row), event.energy_target_wh, event.source == "user"
            )

    def _observed(self, row: Recorded, event: s.TransferObserved) -> None:
        self._energy(row, event)
        if event.quality in USABLE:
            kept = self._sessions.get(event.session_id)
            if kept.newer("full", row):
                kept.view.full = event.suspended_by_ev

    def _energy(
        self, row: Recorded, event: s.TransferObserved | s.TransferEnded
    ) -> None:
        if event.quality in USABLE:
            kept = self._sessions.get(event.session_id)
            if kept.newer("energy", row):
                kept.view.energy_wh = event.energy_wh

    def _settled(self, row: Recorded, event: s.TransferSettled) -> None:
        kept = self._sessions.get(event.session_id)
        if not kept.view.zone_id:
            kept.view.zone_id, kept.view.left = event.zone_id, True
        if kept.newer("energy", row):
            kept.view.energy_wh = event.energy_wh

    def _commissioned(self, row: Recorded, event: z.EvseCommissioned) -> None:
        kept = self._evses.get(event.evse_id)
        if kept.newer("zone", row):
            kept.view.zone_id = event.zone_id

    def _pre_changed(
        self,
        row: Recorded,
        event: z.ZoneDefined | z.ZoneLimitsChanged | p.PreReceived | p.PreRevoked,
    ) -> None:
        self._pre.note(row, event)
        self._bounds.pop(event.zone_id, None)
        figures = self._zones.get(event.zone_id).view
        figures.pres_received += isinstance(event, p.PreReceived)
        figures.pres_revoked += isinstance(event, p.PreRevoked)

    def _plan_made(self, row: Recorded, event: p.PlanMade) -> None:
        figures = self._zones.get(event.zone_id).view
        figures.plans += 1
        known = self._bounds.get(event.zone_id)
        if known is None or row.occurred_at < known[0]:
            pre = self._pre.book(event.zone_id).in_force(row.occurred_at)
            known = self._bounds[event.zone_id] = (row.occurred_at, bounds_of(pre))
        if leaves(event.aetp, known[1], row.occurred_at):
            figures.plans_outside_pre += 1

    def _plan_superseded(self, row: Recorded, event: p.PlanSuperseded) -> None:
        self._zones.get(event.zone_id).view.plans_superseded += 1

    def _etp_sent(self, row: Recorded, event: p.EtpSent) -> None:
        self._evses.get(event.evse_id).view.sent += 1

    def _etp_accepted(self, row: Recorded, event: p.EtpAccepted) -> None:
        self._evses.get(event.evse_id).view.accepted += 1

    def _etp_refused(self, row: Recorded, event: p.EtpRefused) -> None:
        self._evses.get(event.evse_id).view.refused += 1

    def _etp_timed_out(self, row: Recorded, event: p.EtpTimedOut) -> None:
        self._evses.get(event.evse_id).view.timed_out += 1

    def _etp_confirmed(self, row: Recorded, event: p.EtpConfirmed) -> None:
        self._evses.get(event.evse_id).view.confirmed += 1


class Bounds(NamedTuple):
    """A PRE in force as steps: from each instant on, lower and upper power [W]."""

    starts_at: list[Instant]
    ranges_w: list[tuple[int, int]]


def bounds_of(pre: PreInForce) -> Bounds:
    """Return the steps of a PRE, cut to the zone's limit."""
    safe_w = (0, min(pre.safe_upper_w, pre.limit_w))
    starts_at, ranges_w = [_BEGINNING], [safe_w]
    for start_at, end_at, lower_w, upper_w in pre.spans:
        cut_w = (max(lower_w, -pre.limit_w), min(upper_w, pre.limit_w))
        if starts_at[-1] == start_at:
            ranges_w[-1] = cut_w
        else:
            starts_at.append(start_at)
            ranges_w.append(cut_w)
        starts_at.append(end_at)
        ranges_w.append(safe_w)
    return Bounds(starts_at, ranges_w)


def leaves(aetp: PowerProfile, bounds: Bounds, from_at: Instant) -> bool:
    """Whether an AETP that has begun is outside the PRE from an instant on."""
    starts_at, ranges_w = bounds
    step, last = bisect_right(starts_at, from_at) - 1, len(starts_at) - 1
    changes = aetp.changes
    for index, (offset_s, power_w) in enumerate(changes):
        at = aetp.start_at + offset_s * SECOND
        if index + 1 < len(changes):
            until_at = aetp.start_at + changes[index + 1][0] * SECOND
        else:
            until_at = max(at, from_at + PLAN_HORIZON)
        at = max(at, from_at)
        while at < until_at:
            lower_w, upper_w = ranges_w[step]
            ends_at = starts_at[step + 1] if step < last else until_at
            if ends_at > at and not lower_w <= power_w <= upper_w:
                return True
            if ends_at >= until_at:
                break
            step += 1
    return False


class KeyFigures:
    """Queries on ``key_figures.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, KeyFiguresFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Figures]).decode

    def figures(self, zone_id: str = "") -> list[Figures]:
        """Return the figures of each zone, or of one."""
        where = " WHERE zone_id = ?" if zone_id else ""
        values = (zone_id,) if zone_id else ()
        with self.reader.snapshot() as db:
            documents = db.execute(
                f"SELECT document FROM zone{where} ORDER BY zone_id", values
            ).fetchall()
            deliveries = db.execute(
                "SELECT zone_id, sum(sent), sum(accepted), sum(refused),"
                f" sum(timed_out), sum(confirmed) FROM evse{where} GROUP BY zone_id",
                values,
            ).fetchall()
        found = {f.zone_id: f for f in (self._decode(d[0]).view for d in documents)}
        for zone, *counts in deliveries:
            figures = found.setdefault(zone, Figures(zone))
            for name, count in zip(_ETP_COUNTERS, counts, strict=True):
                setattr(figures, f"etps_{name}", count)
        return [found[zone] for zone in sorted(found)]
