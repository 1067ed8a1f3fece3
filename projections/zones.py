"""Zones: limits, members, PRE history and PRE in force, last plan and its AETP."""

import sqlite3
from collections.abc import Collection
from pathlib import Path

import msgspec

from domain.model import plan_events as p
from domain.model import site_events as z
from domain.model.pre import PreInForce, compose, satisfies
from domain.model.profile import PowerProfile
from domain.model.values import Instant
from domain.ports import Recorded
from projections import pre_history
from projections.file import Reader, reader_of
from projections.fold import Fold, Kept
from projections.history import Touches, Tracked, touches_ddl
from projections.pre_history import PreBook, PreEvent, PreHistory


class LastPlan(msgspec.Struct, frozen=True, array_like=True):
    """The plan in force of a zone, in short."""

    position: int
    made_at: Instant
    planned_at: Instant
    trigger: str
    status: str
    unserved_wh: int


class SentConstraints(msgspec.Struct, frozen=True, array_like=True):
    """Power and energy constraints as the RM was told them (E3)."""

    position: int
    sent_at: Instant
    told: z.ConstraintsSent


class Zone(msgspec.Struct, array_like=True):
    """A charging site zone as it stands.

    ``constraints`` are those sent to its RM last, ``pre_answered_at`` when the first
    PRE after them was received. ``pre_satisfies_constraints`` says of the last PRE
    since then, from when it takes effect, whether it satisfies them by the rule of
    `domain.model.pre.satisfies`; None while there is none, and once it is revoked. To
    enforce mandatory ETPs it ``may_stop`` a transaction and ``may_reset`` an EVSE.
    """

    zone_id: str
    name: str = ""
    limit_w: int = 0
    safe_upper_w: int = 0
    min_plan_gap_s: int = 0
    reaction_time_s: int = 0
    default_energy_wh: int = 0
    default_stay_s: int = 0
    min_on_s: int = 0
    max_pauses: int = 0
    taken_per_stated_permille: int = 1000
    evse_ids: tuple[str, ...] = ()
    station_ids: tuple[str, ...] = ()
    fallback_since_at: Instant | None = None
    last_plan: LastPlan | None = None
    aetp: PowerProfile | None = None
    constraints: SentConstraints | None = None
    last_pre_id: str = ""
    pre_answered_at: Instant | None = None
    pre_satisfies_constraints: bool | None = None
    may_stop: bool = False
    may_reset: bool = False


class ZonesFold(Fold):
    """Writes ``zones.sqlite``."""

    name = "zones"
    schema = 4
    ddl = (
        "CREATE TABLE zone(zone_id TEXT PRIMARY KEY, document BLOB NOT NULL)"
        " WITHOUT ROWID;" + pre_history.DDL + touches_ddl("zone")
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._zones = Tracked(self, "zone", Zone, touches=Touches(db, "zone"))
        self._pre = PreHistory(db)
        self.handlers = {
            z.ZoneDefined: self._defined,
            z.ZoneLimitsChanged: self._limits_changed,
            z.ZoneEnforcementChanged: self._enforcement_changed,
            z.ZoneMembersChanged: self._members_changed,
            z.ZoneLearned: self._learned,
            z.ConstraintsSent: self._constraints_sent,
            z.StationCommissioned: self._station_commissioned,
            p.PreReceived: self._pre_received,
            p.PreRevoked: self._pre_revoked,
            p.PreFallbackBegan: self._fallback_began,
            p.PlanMade: self._plan_made,
        }

    @property
    def documents(self) -> Tracked[Zone]:
        """The zones, for who folds a part of the past."""
        return self._zones

    def save(self) -> None:
        """Write the zones and PREs of this batch."""
        self._zones.save()
        self._pre.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._zones.forget()
        self._pre.forget()

    def _defined(self, row: Recorded, event: z.ZoneDefined) -> None:
        self._pre.note(row, event)
        kept = self._zones.get(event.zone_id)
        if kept.newer("defined", row):
            zone = kept.view
            zone.name = event.name
            zone.min_plan_gap_s = event.min_plan_gap_s
            zone.reaction_time_s = event.reaction_time_s
            zone.default_energy_wh = event.default_energy_wh
            zone.default_stay_s = event.default_stay_s
            zone.min_on_s, zone.max_pauses = event.min_on_s, event.max_pauses
        self._limit(kept, row, event)

    def _limits_changed(self, row: Recorded, event: z.ZoneLimitsChanged) -> None:
        self._pre.note(row, event)
        self._limit(self._zones.get(event.zone_id), row, event)

    def _limit(
        self,
        kept: Kept[Zone],
        row: Recorded,
        event: z.ZoneDefined | z.ZoneLimitsChanged,
    ) -> None:
        if kept.newer("limits", row):
            kept.view.limit_w = event.limit_w
            kept.view.safe_upper_w = event.safe_upper_w

    def _enforcement_changed(
        self, row: Recorded, event: z.ZoneEnforcementChanged
    ) -> None:
        zone = self._zones.get(event.zone_id).view
        zone.may_stop, zone.may_reset = event.may_stop, event.may_reset

    def _members_changed(self, row: Recorded, event: z.ZoneMembersChanged) -> None:
        kept = self._zones.get(event.zone_id)
        if kept.newer("members", row):
            kept.view.evse_ids = event.evse_ids

    def _learned(self, row: Recorded, event: z.ZoneLearned) -> None:
        kept = self._zones.get(event.zone_id)
        if kept.newer("learned", row):
            kept.view.taken_per_stated_permille = event.taken_per_stated_permille

    def _station_commissioned(
        self, row: Recorded, event: z.StationCommissioned
    ) -> None:
        zone = self._zones.get(event.zone_id).view
        zone.station_ids = tuple(sorted({*zone.station_ids, event.station_id}))

    def _pre_received(self, row: Recorded, event: p.PreReceived) -> None:
        self._pre.note(row, event)
        kept = self._zones.get(event.zone_id)
        if kept.newer("fallback", row):
            kept.view.fallback_since_at = None
        if kept.newer("pre", row):
            self._answered(row, kept.view, event)

    def _answered(self, row: Recorded, zone: Zone, event: p.PreReceived) -> None:
        """Judge a PRE by the constraints recorded before it."""
        zone.last_pre_id = event.pre_id
        if zone.constraints is None:
            return
        if zone.pre_answered_at is None:
            zone.pre_answered_at = row.occurred_at
        received = [(row.occurred_at, event)]
        zone.pre_satisfies_constraints = satisfies(
            compose(received, zone.safe_upper_w, zone.limit_w),
            zone.constraints.told,
            max(row.occurred_at, event.envelope.start_at),
        )

    def _pre_revoked(self, row: Recorded, event: p.PreRevoked) -> None:
        self._pre.note(row, event)
        zone = self._zones.get(event.zone_id).view
        if zone.last_pre_id == event.pre_id:
            zone.pre_satisfies_constraints = None

    def _constraints_sent(self, row: Recorded, event: z.ConstraintsSent) -> None:
        zone = self._zones.get(event.zone_id).view
        zone.constraints = SentConstraints(row.position, row.occurred_at, event)
        zone.pre_answered_at = zone.pre_satisfies_constraints = None

    def _fallback_began(self, row: Recorded, event: p.PreFallbackBegan) -> None:
        self._pre.note(row, event)
        kept = self._zones.get(event.zone_id)
        if kept.newer("fallback", row):
            kept.view.fallback_since_at = row.occurred_at

    def _plan_made(self, row: Recorded, event: p.PlanMade) -> None:
        kept = self._zones.get(event.zone_id)
        if kept.newer("plan", row):
            kept.view.aetp = event.aetp
            kept.view.last_plan = LastPlan(
                row.position,
                row.occurred_at,
                event.planned_at,
                event.trigger,
                event.status,
                event.unserved_wh,
            )


class Zones:
    """Queries on ``zones.sqlite``."""

    def __init__(self, source: Path | Reader) -> None:
        self.reader = reader_of(source, ZonesFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Zone]).decode

    def page(
        self,
        *,
        after: str = "",
        limit: int = 100,
        zone_ids: Collection[str] | None = None,
    ) -> list[Zone]:
        """Return zones by id, those after one; only some where these are given."""
        where, values = "", list[str]()
        if zone_ids is not None:
            where = f" AND zone_id IN ({', '.join('?' * len(zone_ids))})"
            values = sorted(zone_ids)
        rows = self.reader.rows(
            f"SELECT document FROM zone WHERE zone_id > ?{where}"
            " ORDER BY zone_id LIMIT ?",
            (after, *values, limit),
        )
        return [self._decode(document).view for (document,) in rows]

    def zone(self, zone_id: str) -> Zone | None:
        """Return one zone."""
        rows = self.reader.rows(
            "SELECT document FROM zone WHERE zone_id = ?", (zone_id,)
        )
        return self._decode(rows[0][0]).view if rows else None

    def pre_history(
        self, zone_id: str, *, before: tuple[Instant, int], limit: int
    ) -> list[PreEvent]:
        """Return what the RM told, last first, before an (instant, position)."""
        rows = self.reader.rows(
            "SELECT occurred_at, position, type, state FROM pre_event"
            " WHERE zone_id = ? AND type LIKE 'pre.%'"
            " AND (occurred_at, position) < (?, ?)"
            " ORDER BY occurred_at DESC, position DESC LIMIT ?",
            (zone_id, *before, limit),
        )
        return [pre_history.pre_event(*row) for row in rows]

    def pre_in_force(self, zone_id: str, at: Instant) -> PreInForce:
        """Return the PRE in force at an instant and after, as it was known then."""
        with self.reader.snapshot() as db:
            book = PreBook(pre_history.told(db, zone_id, at))
        return book.in_force(at)
