"""Queries on ``sessions.sqlite``: lists, and one session with all its transactions."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from domain.model.registry import BY_NAME, decode
from domain.model.values import Event, Instant
from projections.file import Reader, reader_of
from projections.fold import Kept
from projections.scope import Scope, by_states, merged, parts_of
from projections.session_documents import Session
from projections.sessions import SessionsFold

# A chain of merges longer than this is a mistake of ours, not of a driver.
MERGES_FOLLOWED = 100


class Transaction(msgspec.Struct, frozen=True):
    """One transaction as it was recorded; ``event`` holds sealed groups as they are."""

    session_id: str
    position: int
    occurred_at: Instant
    type: str
    event: Event


class SessionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A service session with everything that was merged into it.

    The lists are in order of occurrence. ``energy_wh`` and ``metered_wh`` count all the
    sessions that make it up.
    """

    session: Session
    session_ids: tuple[str, ...]
    energy_wh: int
    metered_wh: int
    references: tuple[Transaction, ...] = ()
    places: tuple[Transaction, ...] = ()
    authorizations: tuple[Transaction, ...] = ()
    reservations: tuple[Transaction, ...] = ()
    parkings: tuple[Transaction, ...] = ()
    transfers: tuple[Transaction, ...] = ()
    others: tuple[Transaction, ...] = ()
    needs: tuple[Transaction, ...] = ()
    consents: tuple[Transaction, ...] = ()
    safety_issues: tuple[Transaction, ...] = ()
    etp_changes: tuple[Transaction, ...] = ()
    intervals: tuple[Transaction, ...] = ()
    corrections: tuple[Transaction, ...] = ()
    kept_facts: tuple[Transaction, ...] = ()
    sdr: tuple[Transaction, ...] = ()


_LIST_OF_KIND = {
    "reference": "references",
    "place": "places",
    "authorization": "authorizations",
    "reservation": "reservations",
    "parking": "parkings",
    "transfer": "transfers",
    "other": "others",
    "needs": "needs",
    "consent": "consents",
    "safety_issue": "safety_issues",
    "etp_change": "etp_changes",
    "interval": "intervals",
    "correction": "corrections",
    "kept_fact": "kept_facts",
    "sdr": "sdr",
}


class SessionFilter(NamedTuple):
    """Which sessions to list, in which order of opening; empty text asks for all."""

    zone_id: str = ""
    station_id: str = ""
    evse_id: str = ""
    state: str = ""
    party: str = ""
    opened_from_at: Instant = 0
    opened_until_at: Instant = (1 << 63) - 1
    ascending: bool = False


ALL_SESSIONS = SessionFilter()
SessionKey = tuple[Instant, str]

_STATES = ("open", "closed", "merged")
_RARE = ("open", "merged")
_TAKES_PART = (
    "EXISTS (SELECT 1 FROM session_party AS p WHERE p.party = ?"
    " AND p.opened_at = s.opened_at AND p.session_id = s.session_id)"
)
# By what sessions are found, the narrowest first; the rest is looked at one by one.
_PLACES = ("evse_id", "station_id", "zone_id")


class Sessions:
    """Queries on ``sessions.sqlite``."""

    def __init__(self, source: Path | Reader) -> None:
        self.reader = reader_of(source, SessionsFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[Session]).decode

    def page(
        self,
        *,
        behind: SessionKey | None = None,
        limit: int,
        wanted: SessionFilter = ALL_SESSIONS,
        scope: Scope | None = None,
    ) -> list[Session]:
        """Return sessions by opening, those behind an (instant, id).

        Without a scope all are seen, with one those at its places and of its party.
        """
        names = ("evse_id", "station_id", "zone_id", "party", "state")
        filters = {name: value for name in names if (value := getattr(wanted, name))}
        with self.reader.snapshot() as db:
            parts = [
                self._part(db, part, behind, limit, wanted)
                for part in by_states(parts_of(filters, scope), _STATES)
            ]
        return merged(
            parts,
            lambda session: (session.opened_at, session.session_id),
            limit,
            descending=not wanted.ascending,
        )

    def _part(
        self,
        db: sqlite3.Connection,
        part: dict[str, str],
        behind: SessionKey | None,
        limit: int,
        wanted: SessionFilter,
    ) -> list[Session]:
        """Return the page of the sessions that an index of ``part`` finds."""
        filters = {name: value for name, value in part.items() if name != "party"}
        party = part.get("party")
        place = next((name for name in _PLACES if name in part), "")
        # Of a party few are at one place, and few of all are open.
        is_by_party = party and not place and part.get("state") not in _RARE
        if is_by_party:
            # CROSS JOIN: SQLite keeps this order, by the index of the party.
            table = "session_party AS p CROSS JOIN session AS s USING (session_id)"
            where, values, first = ["p.party = ?"], [party], "p"
        else:
            index = f"session_by_{(place or 'state').removesuffix('_id')}"
            table = f"session AS s INDEXED BY {index}"
            where, values, first = list[str](), list[Any](), "s"
            if party:
                where.append(_TAKES_PART)
                values.append(party)
        for column, value in filters.items():
            where.append(f"s.{column} = ?")
            values.append(value)
        bounds, bound = _bounds(first, behind, wanted)
        order = "ASC" if wanted.ascending else "DESC"
        found = db.execute(
            f"SELECT s.document FROM {table} WHERE {' AND '.join(where + bounds)}"
            f" ORDER BY {first}.opened_at {order}, {first}.session_id {order} LIMIT ?",
            (*values, *bound, limit),
        )
        return [self._decode(document).view for (document,) in found]

    def in_short(self, session_id: str) -> Session | None:
        """Return a session under its own id, as lists show it."""
        with self.reader.snapshot() as db:
            return self._find(db, session_id)

    def session(self, session_id: str) -> SessionDetail | None:
        """Return a session with its transactions, under any of its ids."""
        with self.reader.snapshot() as db:
            own = self._find(db, session_id)
            if own is None:
                return None
            session = self._surviving(db, own)
            parts = list(self._parts(db, session))
            ids = tuple(part.session_id for part in parts)
            rows = _transactions(db, ids)
        stated = [part.needs for part in parts if part.needs]
        if session.needs is None and stated:
            session.needs = stated[0]
        issues = [part.safety_issue for part in parts if part.safety_issue]
        session.safety_issue = issues[0] if issues else ""
        return SessionDetail(
            session=session,
            session_ids=ids,
            energy_wh=sum(part.energy_wh for part in parts),
            metered_wh=sum(part.metered_wh for part in parts),
            **_lists(rows),
        )

    def _find(self, db: sqlite3.Connection, session_id: str) -> Session | None:
        row = db.execute(
            "SELECT document FROM session WHERE session_id = ?", (session_id,)
        ).fetchone()
        return self._decode(row[0]).view if row else None

    def _surviving(self, db: sqlite3.Connection, session: Session) -> Session:
        for _ in range(MERGES_FOLLOWED):
            into = self._find(db, session.merged_into) if session.merged_into else None
            if into is None:
                break
            session = into
        return session

    def _parts(self, db: sqlite3.Connection, session: Session) -> Iterable[Session]:
        waiting, met = [session], {session.session_id}
        while waiting:
            part = waiting.pop(0)
            yield part
            for session_id in part.merged_from:
                merged = self._find(db, session_id)
                if merged and session_id not in met:
                    met.add(session_id)
                    waiting.append(merged)


def _bounds(
    table: str, behind: SessionKey | None, wanted: SessionFilter
) -> tuple[list[str], list[str | int]]:
    """Return the conditions on the opening, and their values.

    The bounds of the instant are as tight as the page's beginning: SQLite finds the
    place in an index by them, not by the comparison of the pair.
    """
    from_at, until_at = wanted.opened_from_at, wanted.opened_until_at
    where = [f"{table}.opened_at >= ?", f"{table}.opened_at < ?"]
    if behind is None:
        return where, [from_at, until_at]
    if wanted.ascending:
        from_at, past = max(from_at, behind[0]), ">"
    else:
        until_at, past = min(until_at, behind[0] + 1), "<"
    where.append(f"({table}.opened_at, {table}.session_id) {past} (?, ?)")
    return where, [from_at, until_at, *behind]


def _transactions(
    db: sqlite3.Connection, session_ids: tuple[str, ...]
) -> list[tuple[str, Instant, int, str, str, bytes]]:
    places = ", ".join("?" * len(session_ids))
    return db.execute(
        "SELECT session_id, occurred_at, position, kind, type, state"
        f" FROM session_transaction WHERE session_id IN ({places})"
        " ORDER BY occurred_at, position",
        session_ids,
    ).fetchall()


def _lists(
    rows: list[tuple[str, Instant, int, str, str, bytes]],
) -> dict[str, tuple[Transaction, ...]]:
    found: dict[str, list[Transaction]] = {}
    for session_id, occurred_at, position, kind, name, state in rows:
        event = decode(name, BY_NAME[name].schema, state)
        found.setdefault(_LIST_OF_KIND[kind], []).append(
            Transaction(session_id, position, occurred_at, name, event)
        )
    return {name: tuple(transactions) for name, transactions in found.items()}
