"""Plans: made and superseded, with what each changed and why (E1)."""

import sqlite3
from pathlib import Path

import msgspec

from domain.model import plan_events as p
from domain.model.profile import Change, Etp, PowerProfile
from domain.model.values import Instant
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Fold
from projections.scope import Scope, merged, parts_of


class Plan(msgspec.Struct, array_like=True, kw_only=True):
    """One plan of a zone: ``made`` and applied, or ``superseded`` for a reason."""

    position: int
    zone_id: str
    outcome: str
    occurred_at: Instant
    planned_at: Instant
    seen_position: int
    problem_digest: bytes
    trigger: str = ""
    status: str = ""
    reason: str = ""
    unserved_wh: int = 0
    etps_changed: tuple[Etp, ...] = ()
    aetp: PowerProfile | None = None
    pre_worth: tuple[Change, ...] = ()
    pre_price: tuple[Change, ...] = ()
    is_certified: bool = False
    gap_ppm: int = 0


class PlansFold(Fold):
    """Writes ``plans.sqlite``."""

    name = "plans"
    schema = 3
    ddl = """
    CREATE TABLE plan(
      position INTEGER PRIMARY KEY,
      zone_id TEXT NOT NULL,
      outcome TEXT NOT NULL,
      occurred_at INTEGER NOT NULL,
      document BLOB NOT NULL
    );
    CREATE INDEX plan_by_zone ON plan(zone_id, outcome, position);
    CREATE INDEX plan_by_outcome ON plan(outcome, position);
    CREATE INDEX plan_by_time ON plan(zone_id, occurred_at, position)
      WHERE outcome = 'made';
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._new: list[tuple[int, str, str, Instant, bytes]] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self.handlers = {p.PlanMade: self._made, p.PlanSuperseded: self._superseded}

    def save(self) -> None:
        """Write the plans of this batch."""
        self.db.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?)", self._new)
        self._new.clear()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._new.clear()

    def _made(self, row: Recorded, event: p.PlanMade) -> None:
        self._keep(
            Plan(
                position=row.position,
                zone_id=event.zone_id,
                outcome="made",
                occurred_at=row.occurred_at,
                planned_at=event.planned_at,
                seen_position=event.seen_position,
                problem_digest=event.problem_digest,
                trigger=event.trigger,
                status=event.status,
                unserved_wh=event.unserved_wh,
                etps_changed=event.etps_changed,
                aetp=event.aetp,
                pre_worth=event.pre_worth,
                pre_price=event.pre_price,
                is_certified=event.is_certified,
                gap_ppm=event.gap_ppm,
            )
        )

    def _superseded(self, row: Recorded, event: p.PlanSuperseded) -> None:
        self._keep(
            Plan(
                position=row.position,
                zone_id=event.zone_id,
                outcome="superseded",
                occurred_at=row.occurred_at,
                planned_at=event.planned_at,
                seen_position=event.seen_position,
                problem_digest=event.problem_digest,
                reason=event.reason,
            )
        )

    def _keep(self, plan: Plan) -> None:
        document = self._encode(plan)
        self._new.append(
            (plan.position, plan.zone_id, plan.outcome, plan.occurred_at, document)
        )


_OUTCOMES = ("made", "superseded")


class Plans:
    """Queries on ``plans.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, PlansFold.name)
        self._decode = msgspec.msgpack.Decoder(Plan).decode

    def page(
        self,
        *,
        before: int,
        limit: int,
        zone_id: str = "",
        outcome: str = "",
        scope: Scope | None = None,
    ) -> list[Plan]:
        """Return plans, the last one first, those before a position.

        Without a scope all are seen, with one those of its zones.
        """
        filters = {"zone_id": zone_id, "outcome": outcome}
        filters = {name: value for name, value in filters.items() if value}
        within = None if scope is None else Scope(scope.zones)
        with self.reader.snapshot() as db:
            parts = [
                self._part(db, {"outcome": outcome, **part}, before, limit)
                for part in parts_of(filters, within)
                for outcome in _OUTCOMES
                if part.get("outcome", outcome) == outcome
            ]
        return merged(parts, lambda plan: plan.position, limit, descending=True)

    def _part(
        self, db: sqlite3.Connection, part: dict[str, str], before: int, limit: int
    ) -> list[Plan]:
        columns = "".join(f" AND {column} = ?" for column in part)
        rows = db.execute(
            f"SELECT document FROM plan WHERE position < ?{columns}"
            " ORDER BY position DESC LIMIT ?",
            (before, *part.values(), limit),
        )
        return [self._decode(document) for (document,) in rows]

    def in_force(self, zone_id: str, at: Instant) -> Plan | None:
        """Return the plan of a zone in force at an instant, by all that is known."""
        rows = self.reader.rows(
            "SELECT document FROM plan WHERE zone_id = ? AND outcome = 'made'"
            " AND occurred_at <= ? ORDER BY occurred_at DESC, position DESC LIMIT 1",
            (zone_id, at),
        )
        return self._decode(rows[0][0]) if rows else None

    def plan(self, position: int) -> Plan | None:
        """Return the plan at a position."""
        rows = self.reader.rows(
            "SELECT document FROM plan WHERE position = ?", (position,)
        )
        return self._decode(rows[0][0]) if rows else None
