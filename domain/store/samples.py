"""Raw readings: one chained log file a UTC day, sealed by one event of the ledger."""

import heapq
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from domain.model.plan_events import SamplesSealed
from domain.model.registry import BY_CLASS, encode
from domain.model.values import DAY, Event, Instant, utc_day_of
from domain.ports import TENANT, Append, Batch, Clock, Ids, Log, Recorded
from domain.store import chain
from domain.store.chain import Chain, Origin
from domain.store.reader import RECORDED, recorded
from domain.store.sqlite import as_store_error, connect, connect_readonly

SAMPLES_STREAM = "samples"
_ACTOR = "samples"
_EPOCH_DAY = date(1970, 1, 1)


def end_of_day(day: str) -> Instant:
    """Return the instant at which a UTC day ends."""
    return ((date.fromisoformat(day) - _EPOCH_DAY).days + 1) * DAY


def _day_after(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


class Samples:
    """`ports.SampleLog` on one file a day, by the day on which it was *recorded*.

    A reading that comes late goes where the present day's go, so a sealed partition
    never changes. Every append is committed, without an fsync of its own: a crash of
    the machine may lose the last moments of the day, never what was sealed.
    """

    def __init__(self, folder: Path, *, log: Log, clock: Clock, ids: Ids) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._log = log
        self._clock = clock
        self._ids = ids
        self._lock = threading.Lock()
        self._day = ""
        self._connection: sqlite3.Connection | None = None
        self._chain: Chain | None = None
        self._versions: dict[str, int] = {}
        sealed = (
            row.event.day
            for row in log.read_stream(SAMPLES_STREAM)
            if isinstance(row.event, SamplesSealed)
        )
        self._sealed = set(sealed)
        # Days never go back, whatever the clock does.
        self._earliest = max([*self.days(), *map(_day_after, self._sealed)], default="")

    def append(self, stream: str, event: Event, occurred_at: Instant) -> None:
        """Record one row of readings."""
        self.append_all([(stream, event)], occurred_at)

    def append_all(
        self, rows: Sequence[tuple[str, Event]], occurred_at: Instant
    ) -> None:
        """Record rows of readings, by their streams, all or none."""
        with self._lock:
            now = self._clock.now()
            day = max(utc_day_of(now), self._earliest)
            try:
                self._add(self._partition(day), rows, occurred_at, now)
            except sqlite3.Error as error:
                self._close()
                raise as_store_error(error, f"appending samples of {day}") from error

    def read_day(self, day: str) -> Iterator[Recorded]:
        """Yield the rows of one UTC day, row 0 left out; none when there is no file."""
        path = self._path(day)
        if not path.exists():
            return
        with closing(connect_readonly(path)) as connection:
            rows = connection.execute(
                f"{RECORDED} WHERE position > 0 ORDER BY position"
            )
            while chunk := rows.fetchmany(500):
                yield from recorded(chunk)

    def read_span(
        self,
        stream: str,
        from_at: Instant,
        until_at: Instant,
        *,
        latest_first: bool = False,
    ) -> Iterator[Recorded]:
        """Yield a stream's rows of a time, ordered by when they occurred.

        Partitions are looked into up to a day after ``until_at``: what came later than
        that is left out.
        """
        first, last = utc_day_of(from_at), utc_day_of(until_at + DAY)
        days = [day for day in self.days() if first <= day <= last]
        parts = [
            self._read_part(day, stream, from_at, until_at, latest_first)
            for day in days
        ]
        # Of equal instants, in the order in which they were recorded.
        yield from heapq.merge(
            *(reversed(parts) if latest_first else parts),
            key=lambda row: row.occurred_at,
            reverse=latest_first,
        )

    def _read_part(
        self,
        day: str,
        stream: str,
        from_at: Instant,
        until_at: Instant,
        latest_first: bool,
    ) -> Iterator[Recorded]:
        order = "DESC" if latest_first else "ASC"
        with closing(connect_readonly(self._path(day))) as connection:
            rows = connection.execute(
                f"{RECORDED} WHERE stream = ? AND occurred_at >= ? AND occurred_at < ?"
                f" ORDER BY occurred_at {order}, position {order}",
                (stream, from_at, until_at),
            )
            while chunk := rows.fetchmany(100):
                yield from recorded(chunk)

    def days(self) -> list[str]:
        """Return the days that have a partition, in order."""
        return sorted(path.stem for path in self._folder.glob("*.sqlite"))

    def close_days_before(self, at: Instant) -> None:
        """Seal every open partition that ended before the UTC day of ``at``."""
        with self._lock:
            for day in self.days():
                if day < utc_day_of(at) and day not in self._sealed:
                    self._seal(day)

    def close(self) -> None:
        """Close the present day's file."""
        with self._lock:
            self._close()

    def _path(self, day: str) -> Path:
        return self._folder / f"{day}.sqlite"

    def _partition(self, day: str) -> Chain:
        """Return the chain of a day, created when there is none yet."""
        if self._chain is not None and day == self._day:
            return self._chain
        self._close()
        path = self._path(day)
        if not path.exists():
            self._create(path)
        self._connection = connect(path, durability="NORMAL")
        self._chain = Chain(self._connection)
        self._day = self._earliest = day
        self._versions = dict(
            self._connection.execute(
                "SELECT stream, max(version) FROM rows GROUP BY stream"
            )
        )
        return self._chain

    def _create(self, path: Path) -> None:
        """Make a partition under another name: one that is found can be read."""
        making = path.with_suffix(".new")
        for left in self._folder.glob(f"{making.name}*"):  # of a crash meanwhile
            left.unlink()
        with closing(connect(making)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            chain.create(
                connection,
                log_id=self._ids.new_id(),
                genesis=self._ids.random(32),
                kind="samples",
                now=self._clock.now(),
            )
            connection.execute(
                "CREATE INDEX rows_by_time ON rows (stream, occurred_at)"
            )
            connection.execute("COMMIT")
        making.rename(path)

    def _add(
        self,
        partition: Chain,
        rows: Sequence[tuple[str, Event]],
        occurred_at: Instant,
        now: Instant,
    ) -> None:
        assert self._connection is not None
        changes = []
        for stream, event in rows:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            name, schema, _, _ = BY_CLASS[type(event)]
            state = encode(event)
            changes.append((stream, version, 0, name, schema, occurred_at, state))
        self._connection.execute("BEGIN")
        partition.add(Origin(TENANT, actor=_ACTOR), changes, now)
        self._connection.execute("COMMIT")

    def _seal(self, day: str) -> None:
        if day == self._day:
            self._close()
        with closing(connect(self._path(day))) as connection:
            # All of it is on disk, in one file, before the ledger vouches for it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            end = Chain(connection)
        sealed = SamplesSealed(day=day, rows=end.position + 1, head=end.hash)
        self._log.append(
            Batch(
                actor=_ACTOR,
                command_id=f"seal-{day}",
                request=encode(sealed),
                appends=(Append(SAMPLES_STREAM, (sealed,), end_of_day(day)),),
            )
        )
        self._sealed.add(day)
        self._earliest = max(self._earliest, _day_after(day))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = self._chain = None
        self._day = ""
