"""SDR information of service sessions as it grows (S6): increments, and who sees them.

Every increment is listed under each scope its session is in: parties, zone, station.
When a session comes into another scope, what it has so far is listed there at that
position of the log, so that whoever follows a scope by a cursor gets all of it; what
comes into reach in two ways may come twice, under the same number.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.registry import BY_CLASS, BY_NAME, decode, encode
from domain.model.sdr import COLLECTED, Increment
from domain.model.sdr_information import SdrInformation, information_of
from domain.model.values import Instant
from domain.ports import Recorded
from projections.file import Reader
from projections.fold import Documents, Fold, Kept
from projections.scope import Scope, merged
from projections.session_queries import MERGES_FOLLOWED

_COMMISSIONED = BY_CLASS[z.EvseCommissioned]

# What says where a session is, besides an EVSE that it is bound to.
_EXPECTED = s.ReservationMade | s.AuthorizationRequested | s.TransferSettled
# Where an increment stands in the list of a scope: added at, session, sequence.
SdrKey = tuple[int, str, int]
START: SdrKey = (0, "", 0)
_Row = tuple[str, int, int, int, Instant, str, str, bool, bytes]


class SdrSession(msgspec.Struct, array_like=True):
    """What is known of a session's information: how much, and whose it is.

    ``received`` is up to which increment a party has it. Until an EVSE is bound
    (``is_placed``), zone and station are where the session is expected.
    """

    session_id: str
    increments: int = 0
    is_closed: bool = False
    merged_into: str = ""
    parties: tuple[str, ...] = ()
    zone_id: str = ""
    station_id: str = ""
    collected: s.SdrCollected | None = None
    received: dict[str, int] = {}
    is_placed: bool = False

    @property
    def scopes(self) -> list[str]:
        """Return the scopes that the session is in."""
        places = {"zone": self.zone_id, "station": self.station_id}
        return [f"party/{party}" for party in self.parties] + [
            f"{kind}/{place}" for kind, place in places.items() if place
        ]

    def is_within(self, scope: Scope | None) -> bool:
        """Whether a reader sees it; without a scope all are seen."""
        return (
            scope is None
            or scope.party in self.parties
            or self.zone_id in scope.zones
            or self.station_id in scope.stations
        )


class SdrFold(Fold):
    """Writes ``sdr.sqlite``."""

    name = "sdr"
    schema = 3
    ddl = """
    CREATE TABLE sdr_session(session_id TEXT PRIMARY KEY, document BLOB NOT NULL)
      WITHOUT ROWID;
    CREATE TABLE increment(
      session_id TEXT NOT NULL,
      sequence INTEGER NOT NULL,
      added INTEGER NOT NULL,
      position INTEGER NOT NULL,
      occurred_at INTEGER NOT NULL,
      type TEXT NOT NULL,
      actor TEXT NOT NULL,
      after_closing INTEGER NOT NULL,
      state BLOB NOT NULL,
      PRIMARY KEY (session_id, sequence)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX increment_added ON increment(added, session_id, sequence);
    CREATE TABLE listed(
      scope TEXT NOT NULL,
      added INTEGER NOT NULL,
      session_id TEXT NOT NULL,
      sequence INTEGER NOT NULL,
      PRIMARY KEY (scope, added, session_id, sequence)
    ) WITHOUT ROWID;
    CREATE TABLE evse_data(
      evse_id TEXT NOT NULL,
      position INTEGER NOT NULL,
      state BLOB NOT NULL,
      PRIMARY KEY (evse_id, position)
    ) WITHOUT ROWID;
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._sessions = Documents(db, "sdr_session", SdrSession)
        self._new: list[_Row] = []
        self._listed: list[tuple[str, int, str, int]] = []
        self.handlers = {
            **dict.fromkeys(COLLECTED, self._take),
            s.SdrCollected: self._collected,
            s.SdrReceived: self._received,
            z.EvseCommissioned: self._commissioned,
            z.EvseLimitsChanged: self._limits_changed,
        }

    def save(self) -> None:
        """Write what this batch added."""
        self._sessions.save()
        self._write()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._sessions.forget()
        self._new.clear()
        self._listed.clear()

    def _write(self) -> None:
        # In the order of the tables' keys, which interleaved sessions are not.
        self._new.sort(key=lambda row: row[:2])
        self.db.executemany(
            "INSERT INTO increment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._new
        )
        self._new.clear()
        self._listed.sort()
        self.db.executemany("INSERT INTO listed VALUES (?, ?, ?, ?)", self._listed)
        self._listed.clear()

    def _take(self, row: Recorded, event: Any) -> None:
        session = self._surviving(event.session_id)
        match event:
            case s.SessionOpened() | s.ReferenceBound():
                self._take_part(session, row, event.party)
            case s.MergedFrom():
                self._take_part(session, row, *event.parties)
            case _ if isinstance(event, s.EvseBound | _EXPECTED):
                # Who answers for credentials hears of them before any plug.
                is_bound = isinstance(event, s.EvseBound)
                if is_bound or (event.zone_id and not session.is_placed):
                    place = {"zone_id": event.zone_id, "station_id": event.station_id}
                    self._enter(session, row, is_placed=is_bound, **place)
            case _:
                pass
        self._add(session, row)
        if isinstance(event, s.SessionClosed):
            session.is_closed = True
        elif isinstance(event, s.MergedInto):
            session.merged_into = event.into_session_id
            self._take_over(session, row)

    def _surviving(self, session_id: str) -> SdrSession:
        session = self._sessions.get(session_id).view
        for _ in range(MERGES_FOLLOWED):
            if not session.merged_into:
                break
            session = self._sessions.get(session.merged_into).view
        return session

    def _take_part(self, session: SdrSession, row: Recorded, *parties: str) -> None:
        taking_part = tuple(sorted({*session.parties, *parties} - {""}))
        self._enter(session, row, parties=taking_part)

    def _enter(self, session: SdrSession, row: Recorded, **changes: Any) -> None:
        """Change who sees a session; list all it has where it was not seen before."""
        before = session.scopes
        for name, value in changes.items():
            setattr(session, name, value)
        entered = [scope for scope in session.scopes if scope not in before]
        if session.increments and entered:
            self._write()
            self.db.executemany(
                "INSERT INTO listed SELECT ?, ?, session_id, sequence FROM increment"
                " WHERE session_id = ?",
                [(scope, row.position, session.session_id) for scope in entered],
            )

    def _add(self, session: SdrSession, row: Recorded) -> None:
        session.increments += 1
        sequence, session_id = session.increments, session.session_id
        self._new.append(
            (
                session_id,
                sequence,
                row.position,
                row.position,
                row.occurred_at,
                row.type,
                row.actor,
                session.is_closed,
                encode(row.event) if row.event else b"",
            )
        )
        self._listed += [
            (scope, row.position, session_id, sequence) for scope in session.scopes
        ]

    def _take_over(self, gone: SdrSession, row: Recorded) -> None:
        """Give a merged session's increments the next numbers of the one that stays."""
        kept = self._surviving(gone.merged_into)
        self._write()
        self.db.execute(
            "INSERT INTO increment SELECT ?, ? + sequence, ?, position, occurred_at,"
            " type, actor, ?, state FROM increment WHERE session_id = ?",
            (
                kept.session_id,
                kept.increments,
                row.position,
                kept.is_closed,
                gone.session_id,
            ),
        )
        taken = range(kept.increments + 1, kept.increments + gone.increments + 1)
        kept.increments += gone.increments
        self._listed += [
            (scope, row.position, kept.session_id, sequence)
            for scope in kept.scopes
            for sequence in taken
        ]

    def _collected(self, row: Recorded, event: s.SdrCollected) -> None:
        self._surviving(event.session_id).collected = event

    def _received(self, row: Recorded, event: s.SdrReceived) -> None:
        received = self._surviving(event.session_id).received
        received[event.by] = max(received.get(event.by, 0), event.sequence)

    def _commissioned(self, row: Recorded, event: z.EvseCommissioned) -> None:
        self.db.execute(
            "INSERT INTO evse_data VALUES (?, ?, ?)",
            (event.evse_id, row.position, encode(event)),
        )

    def _limits_changed(self, row: Recorded, event: z.EvseLimitsChanged) -> None:
        data = _evse_at(self.db, event.evse_id, row.position)
        if data is not None:
            changed = msgspec.structs.replace(
                data, max_w=event.max_w, floor_w=event.floor_w, min_w=event.min_w
            )
            self._commissioned(row, changed)


class SdrView(msgspec.Struct, frozen=True):
    """SDR information of a session, the increments it is made of, who received it.

    ``collected`` was recorded with the closing: how many increments there were, and
    their digest.
    """

    information: SdrInformation
    increments: tuple[Increment, ...]
    collected: s.SdrCollected | None
    received: dict[str, int]


class SdrIncrement(msgspec.Struct, frozen=True):
    """An increment in the feed over all sessions."""

    session_id: str
    increment: Increment


class SdrPage(msgspec.Struct, frozen=True):
    """Increments behind a key, and the ``last`` key: what comes is behind that."""

    items: list[SdrIncrement]
    last: SdrKey
    is_last: bool


class Sdr:
    """Queries on ``sdr.sqlite``."""

    def __init__(self, folder: Path) -> None:
        self.reader = Reader(folder, SdrFold.name)
        self._decode = msgspec.msgpack.Decoder(Kept[SdrSession]).decode

    def information(
        self, session_id: str, scope: Scope | None = None, *, since: int = 0
    ) -> SdrView | None:
        """Return a session's information, with its increments after a sequence.

        A merged session's is that of the one it was merged into.
        """
        with self.reader.snapshot() as db:
            session = self._surviving(db, session_id)
            if session is None or not session.is_within(scope):
                return None
            increments = tuple(_increments(db, session.session_id))
            information = information_of(
                session.session_id,
                increments,
                lambda evse_id, position: _evse_at(db, evse_id, position),
            )
        return SdrView(
            information, increments[since:], session.collected, session.received
        )

    def page(self, scope: Scope | None, *, after: SdrKey, limit: int) -> SdrPage:
        """Return increments in the order of their adding."""
        with self.reader.snapshot() as db:
            parts = [_keys(db, part, after, limit) for part in _parts(scope)]
            keys = merged(parts, lambda key: key, limit)
            items = [item for key in keys if (item := self._item(db, key, scope))]
        return SdrPage(items, keys[-1] if keys else after, len(keys) < limit)

    def _item(
        self, db: sqlite3.Connection, key: SdrKey, scope: Scope | None
    ) -> SdrIncrement | None:
        """Return the increment of a key while its session is within reach."""
        _, session_id, sequence = key
        session = self._surviving(db, session_id)
        if session is None or not session.is_within(scope):
            return None
        (increment,) = _increments(db, session_id, sequence)
        return SdrIncrement(session_id, increment)

    def _surviving(self, db: sqlite3.Connection, session_id: str) -> SdrSession | None:
        session: SdrSession | None = None
        for _ in range(MERGES_FOLLOWED):
            row = db.execute(
                "SELECT document FROM sdr_session WHERE session_id = ?", (session_id,)
            ).fetchone()
            session = self._decode(row[0]).view if row else None
            if session is None or not session.merged_into:
                break
            session_id = session.merged_into
        return session


def _parts(scope: Scope | None) -> list[str]:
    if scope is None:
        return [""]
    parts = [f"zone/{zone_id}" for zone_id in sorted(scope.zones)]
    parts += [f"station/{station_id}" for station_id in sorted(scope.stations)]
    return parts + ([f"party/{scope.party}"] if scope.party else [])


def _keys(db: sqlite3.Connection, part: str, after: SdrKey, limit: int) -> list[SdrKey]:
    """Return the next keys of a scope, or of all."""
    source = "listed WHERE scope = ? AND" if part else "increment WHERE"
    return db.execute(
        f"SELECT added, session_id, sequence FROM {source}"
        " (added, session_id, sequence) > (?, ?, ?)"
        " ORDER BY added, session_id, sequence LIMIT ?",
        (*((part,) if part else ()), *after, limit),
    ).fetchall()


def _increments(
    db: sqlite3.Connection, session_id: str, sequence: int | None = None
) -> Iterator[Increment]:
    where = "" if sequence is None else " AND sequence = ?"
    rows = db.execute(
        "SELECT sequence, position, occurred_at, type, actor, after_closing, state"
        f" FROM increment WHERE session_id = ?{where} ORDER BY sequence",
        (session_id,) if sequence is None else (session_id, sequence),
    )
    for sequence, position, occurred_at, name, actor, after_closing, state in rows:
        yield Increment(
            sequence=sequence,
            position=position,
            occurred_at=occurred_at,
            kind=name.partition(".")[0],
            type=name,
            by=actor,
            event=decode(name, BY_NAME[name].schema, state),
            after_closing=bool(after_closing),
        )


def _evse_at(
    db: sqlite3.Connection, evse_id: str, position: int
) -> z.EvseCommissioned | None:
    """Return what an EVSE was commissioned as, and its limits, at a position."""
    row = db.execute(
        "SELECT state FROM evse_data WHERE evse_id = ? AND position <= ?"
        " ORDER BY position DESC LIMIT 1",
        (evse_id, position),
    ).fetchone()
    if row is None:
        return None
    data = decode(_COMMISSIONED.name, _COMMISSIONED.schema, row[0])
    assert isinstance(data, z.EvseCommissioned)
    return data
