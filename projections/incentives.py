"""Incentives of zones (E2): what they are, whom stations told, who takes part."""

import sqlite3
from pathlib import Path

import msgspec

from domain.model import incentive_events as n
from domain.model.values import Instant
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Documents, Fold, Kept


class Telling(msgspec.Struct, array_like=True):
    """What came of telling an EVSE's station last, by one way; empty: by none."""

    how: str
    outcome: str
    detail: str
    occurred_at: Instant


class Incentive(msgspec.Struct, array_like=True):
    """An incentive; its tariff and CO2 as changes at seconds from its begin.

    ``tellings`` are by EVSE. Of the sessions there ``sessions_under`` were under it at
    some time; ``sessions_refused`` counts those whose last answer was a refusal.
    """

    key: str
    zone_id: str = ""
    incentive_id: str = ""
    source: str = ""
    from_at: Instant = 0
    until_at: Instant = 0
    currency: str = ""
    tariff: list[tuple[int, int]] = []
    co2: list[tuple[int, int]] = []
    maximum_w: int | None = None
    peak: str = ""
    received_at: Instant = 0
    withdrawn_at: Instant | None = None
    tellings: dict[str, list[Telling]] = {}
    sessions_under: int = 0
    sessions_refused: int = 0


class Answers(msgspec.Struct, array_like=True):
    """Who was under an incentive, and whose last answer to it was a refusal."""

    key: str
    under: list[str] = []
    refused: list[str] = []


class IncentivesFold(Fold):
    """Writes ``incentives.sqlite``."""

    name = "incentives"
    schema = 1
    ddl = (
        "CREATE TABLE incentive(key TEXT PRIMARY KEY, zone_id TEXT NOT NULL,"
        " from_at INTEGER NOT NULL, document BLOB NOT NULL) WITHOUT ROWID;"
        " CREATE INDEX incentive_by_zone ON incentive(zone_id, from_at, key);"
        " CREATE TABLE answers(key TEXT PRIMARY KEY, document BLOB NOT NULL)"
        " WITHOUT ROWID;"
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._incentives = Documents(
            db, "incentive", Incentive, lambda each: (each.zone_id, each.from_at)
        )
        self._answers = Documents(db, "answers", Answers)
        self.handlers = {
            n.IncentiveReceived: self._received,
            n.IncentiveWithdrawn: self._withdrawn,
            n.IncentiveTold: self._told,
            n.IncentiveBegan: self._began,
            n.IncentiveAnswered: self._answered,
        }

    def save(self) -> None:
        """Write the incentives of this batch."""
        self._incentives.save()
        self._answers.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._incentives.forget()
        self._answers.forget()

    def _received(self, row: Recorded, event: n.IncentiveReceived) -> None:
        incentive = self._of(event.zone_id, event.incentive_id)
        incentive.zone_id, incentive.incentive_id = event.zone_id, event.incentive_id
        incentive.source, incentive.received_at = event.source, row.occurred_at
        incentive.from_at, incentive.until_at = event.from_at, event.until_at
        incentive.currency, incentive.peak = event.currency, event.peak
        incentive.tariff, incentive.co2 = list(event.tariff), list(event.co2)
        incentive.maximum_w = event.maximum_w

    def _withdrawn(self, row: Recorded, event: n.IncentiveWithdrawn) -> None:
        self._of(event.zone_id, event.incentive_id).withdrawn_at = row.occurred_at

    def _told(self, row: Recorded, event: n.IncentiveTold) -> None:
        incentive = self._of(event.zone_id, event.incentive_id)
        told = Telling(event.how, event.outcome, event.detail, row.occurred_at)
        before = incentive.tellings.get(event.evse_id, [])
        others = [each for each in before if each.how not in ("", event.how)]
        incentive.tellings[event.evse_id] = [*others, told]

    def _began(self, row: Recorded, event: n.IncentiveBegan) -> None:
        answers = self._answers.get(f"{event.zone_id}/{event.incentive_id}").view
        if event.session_id not in answers.under:
            answers.under = [*answers.under, event.session_id]
        self._count(answers, event.zone_id, event.incentive_id)

    def _answered(self, row: Recorded, event: n.IncentiveAnswered) -> None:
        answers = self._answers.get(f"{event.zone_id}/{event.incentive_id}").view
        others = [each for each in answers.refused if each != event.session_id]
        refused = [] if event.is_accepted else [event.session_id]
        answers.refused = others + refused
        self._count(answers, event.zone_id, event.incentive_id)

    def _count(self, answers: Answers, zone_id: str, incentive_id: str) -> None:
        incentive = self._of(zone_id, incentive_id)
        incentive.sessions_under = len(answers.under)
        incentive.sessions_refused = len(answers.refused)

    def _of(self, zone_id: str, incentive_id: str) -> Incentive:
        return self._incentives.get(f"{zone_id}/{incentive_id}").view


class Incentives:
    """Queries on ``incentives.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, IncentivesFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Incentive]).decode

    def page(
        self, zone_id: str, *, after: tuple[int, str] = (-1, ""), limit: int = 100
    ) -> list[Incentive]:
        """Return a zone's incentives by their begin, those after one."""
        rows = self.reader.rows(
            "SELECT document FROM incentive WHERE zone_id = ? AND (from_at, key) >"
            " (?, ?) ORDER BY from_at, key LIMIT ?",
            (zone_id, *after, limit),
        )
        return [self._decode(document).view for (document,) in rows]
