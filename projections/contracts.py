"""Contracts of the embedded back office (S2); holders stay sealed."""

import sqlite3
from pathlib import Path

import msgspec

from domain.model import contract_events as c
from domain.model.values import Instant, Sealed
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Documents, Fold, Kept


class Contract(msgspec.Struct, array_like=True):
    """A contract as it stands; ``valid_until_at`` null: no end is agreed."""

    contract_id: str
    subject_id: str = ""
    valid_from_at: Instant = 0
    valid_until_at: Instant | None = None
    v2g: bool = False
    holder: Sealed | None = None
    registered_at: Instant = 0
    ended_at: Instant | None = None
    end_reason: str = ""
    group_id: str = ""


class ContractsFold(Fold):
    """Writes ``contracts.sqlite``."""

    name = "contracts"
    schema = 1
    ddl = (
        "CREATE TABLE contract(contract_id TEXT PRIMARY KEY, subject_id TEXT NOT NULL,"
        " document BLOB NOT NULL) WITHOUT ROWID;"
        " CREATE INDEX contract_by_subject ON contract(subject_id, contract_id);"
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._contracts = Documents(
            db, "contract", Contract, lambda contract: (contract.subject_id,)
        )
        self.handlers = {
            c.ContractRegistered: self._registered,
            c.ContractEnded: self._ended,
        }

    def save(self) -> None:
        """Write the contracts of this batch."""
        self._contracts.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._contracts.forget()

    def _registered(self, row: Recorded, event: c.ContractRegistered) -> None:
        contract = self._contracts.get(event.contract_id).view
        contract.subject_id = event.subject_id
        contract.valid_from_at = event.valid_from_at
        contract.valid_until_at = event.valid_until_at or None
        contract.v2g = event.v2g
        contract.group_id = event.group_id
        contract.holder = event.holder
        contract.registered_at = row.occurred_at

    def _ended(self, row: Recorded, event: c.ContractEnded) -> None:
        contract = self._contracts.get(event.contract_id).view
        contract.ended_at = row.occurred_at
        contract.end_reason = event.reason


class Contracts:
    """Queries on ``contracts.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, ContractsFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Contract]).decode

    def page(
        self, *, after: str = "", limit: int = 100, subject_id: str = ""
    ) -> list[Contract]:
        """Return contracts by id, those after one; of one subject if asked."""
        where = "subject_id = ? AND " if subject_id else ""
        rows = self.reader.rows(
            f"SELECT document FROM contract WHERE {where}contract_id > ?"
            " ORDER BY contract_id LIMIT ?",
            (*((subject_id,) if subject_id else ()), after, limit),
        )
        return [self._decode(document).view for (document,) in rows]

    def contract(self, contract_id: str) -> Contract | None:
        """Return one contract."""
        rows = self.reader.rows(
            "SELECT document FROM contract WHERE contract_id = ?", (contract_id,)
        )
        return self._decode(rows[0][0]).view if rows else None
