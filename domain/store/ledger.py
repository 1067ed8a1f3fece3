"""The ledger: decisions, facts, claims, timers and the command register.

Everything happens in the caller's thread, inside an open transaction that `flush`
commits. `domain.store.committer` puts a thread and a queue in front of it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from domain.errors import ClaimTaken, Conflict, DomainError, Fenced
from domain.model.registry import BY_CLASS, encode
from domain.ports import TENANT, Answer, Append, Batch, Clock, Ids
from domain.store import chain
from domain.store.beside import check_digests, with_digest
from domain.store.chain import Chain, Change, Origin
from domain.store.reader import LedgerReader, digest_of
from domain.store.sqlite import Durability, WriterLock, as_store_error, connect

ZONE_EPOCH = "zone-epoch"

_BESIDE_ROWS = """
CREATE TABLE guards (
    tenant TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, owner TEXT NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (tenant, kind, key)
) WITHOUT ROWID;
CREATE TABLE commands (
    tenant TEXT NOT NULL, actor TEXT NOT NULL, command_id TEXT NOT NULL,
    request BLOB NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (tenant, actor, command_id)
) WITHOUT ROWID;
CREATE TABLE timers (
    tenant TEXT NOT NULL, due_at INTEGER NOT NULL, stream TEXT NOT NULL,
    kind TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL,
    PRIMARY KEY (tenant, due_at, stream, kind, key)
) WITHOUT ROWID;
"""

# Heads of streams kept in memory (some 300 bytes each); beyond, all are read again.
_HEADS_KEPT = 100_000

Head = tuple[int, int]
Result = TypeVar("Result")


class Ledger(LedgerReader):
    """`ports.Log` on one SQLite file; its reads see what is not flushed yet.

    Parameters
    ----------
    path
        the file; created with row 0 when it is not there.
    log_id
        the node whose log it is; a new id when empty. An existing file keeps its own.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        ids: Ids,
        log_id: str = "",
        durability: Durability = "FULL",
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        with ExitStack() as opened:
            self._lock = WriterLock(path.parent)
            opened.callback(self._lock.release)
            try:
                connection = connect(path, durability=durability)
                opened.callback(connection.close)
                super().__init__(connection)
                self._create(log_id, ids)
                self._chain = Chain(connection)
                check_digests(connection, "guards")
            except sqlite3.Error as error:
                raise as_store_error(error, f"opening {path}") from error
            opened.pop_all()
        # Heads of streams; only what was recorded as a whole gets in.
        self._heads: dict[tuple[str, str], Head] = {}
        self._is_marked = False
        # Since the mark: whether anything was appended, and to which streams.
        self._has_savepoint = False
        self._touched: set[tuple[str, str]] = set()
        self.rollbacks = 0
        self._closed = False

    @property
    def log_id(self) -> str:
        """The node whose log it is."""
        return self._chain.log_id

    def append(self, batch: Batch) -> Answer:
        """Record a batch; `flush` makes it durable."""
        return self._whole(lambda: self._record(batch))

    def insert(self, origin: Origin, changes: Sequence[Change]) -> Answer:
        """Record rows whose versions the caller gives, as decisions or facts.

        Raises
        ------
        Conflict
            when a version is not the next one of its stream.
        """
        return self._whole(lambda: self._insert(origin, changes))

    def raise_epoch(self, zone_id: str, *, tenant: str = TENANT) -> str:
        """Take a zone over: from now on only appends fenced by the new epoch pass."""
        return self._whole(lambda: self._raise_epoch(tenant, zone_id))

    def last_position(self) -> int:
        """Return the last position, flushed or not."""
        return self._chain.position

    def mark(self) -> None:
        """From here on all appends can be undone, until the next mark or `unmark`."""
        self.unmark()
        self._is_marked = True

    def unmark(self) -> None:
        """Let stay what was appended since the mark."""
        self._is_marked = False
        if self._has_savepoint:
            self._connection.execute("RELEASE work")
            self._forget_savepoint()

    def undo(self) -> set[str]:
        """Undo all appends since the mark; return the streams they were to."""
        if not self._has_savepoint:
            return set()
        self._connection.execute("ROLLBACK TO work")
        for key in self._touched:
            self._heads.pop(key, None)
        self._chain.reload()
        streams = {stream for _, stream in self._touched}
        self._touched.clear()
        return streams

    def flush(self) -> None:
        """Commit all that was recorded since the last flush."""
        if not self._connection.in_transaction:
            return
        self._forget_savepoint()
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise as_store_error(error, "committing") from error

    def close(self) -> None:
        """Flush, close the file and let another process write; once is enough."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            super().close()
            self._lock.release()

    def _create(self, log_id: str, ids: Ids) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        (tables,) = execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not tables:
            chain.create(
                self._connection,
                log_id=log_id or ids.new_id(),
                genesis=ids.random(32),
                kind="ledger",
                now=self._clock.now(),
            )
            for statement in _BESIDE_ROWS.split(";"):
                execute(statement)
        execute("COMMIT")

    def _whole(self, work: Callable[[], Result]) -> Result:
        """Run ``work``: all of it is recorded or nothing.

        The first one of a transaction, or since the mark, needs no savepoint of its
        own, for nothing came before it.
        """
        execute = self._connection.execute
        undo, done = "ROLLBACK TO batch", "RELEASE batch"
        try:
            if not self._connection.in_transaction:
                execute("BEGIN IMMEDIATE")
                undo, done = "ROLLBACK", ""
            if self._is_marked and not self._has_savepoint:
                execute("SAVEPOINT work")
                self._has_savepoint = True
                undo, done = "ROLLBACK TO work", ""
            if done:
                execute("SAVEPOINT batch")
            result = work()
            if done:
                execute(done)
        except sqlite3.Error as error:
            # A full disk may have ended the whole transaction already, so that what
            # was answered but not flushed is gone too. Then nothing of it stays.
            self._roll_back()
            raise as_store_error(error, "appending") from error
        except BaseException as error:
            execute(undo)
            if done:
                execute(done)
            if not isinstance(error, DomainError):
                # A refusal comes before the rows; an interrupt, at any instant.
                self._reload()
            raise
        return result

    def _forget_savepoint(self) -> None:
        self._has_savepoint = False
        self._touched.clear()

    def _roll_back(self) -> None:
        self._forget_savepoint()
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.rollbacks += 1
        self._reload()

    def _reload(self) -> None:
        self._heads.clear()
        self._chain.reload()

    def _record(self, batch: Batch) -> Answer:
        count = sum(len(append.events) for append in batch.appends)
        answer = Answer(self._chain.position + 1, count)
        if batch.command_id:
            earlier = self._register(batch, answer)
            if earlier is not None:
                return earlier
        self._guard(batch)
        self._set_timers(batch)
        heads: dict[tuple[str, str], Head] = {}
        changes: list[Change] = []
        for append in batch.appends:
            changes += self._changes(batch.tenant, append, heads)
        origin = Origin(
            batch.tenant,
            batch.command_id,
            batch.correlation_id,
            batch.causation,
            batch.actor,
        )
        # The rows come last, so a batch that failed before left the chain's end alone.
        self._chain.add(origin, changes, self._clock.now())
        self._keep(heads)
        return answer

    def _register(self, batch: Batch, answer: Answer) -> Answer | None:
        """Enter a command; return the first answer when it was entered before."""
        entered = self._connection.execute(
            "INSERT INTO commands VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            with_digest(
                batch.tenant,
                batch.actor,
                batch.command_id,
                digest_of(batch.request),
                answer.first,
                answer.count,
            ),
        )
        return None if entered.rowcount else self.answered(batch)

    def _guard(self, batch: Batch) -> None:
        """Check the fence, drop the releases, then enter the claims."""
        tenant, fence = batch.tenant, batch.fence
        if fence is not None:
            owner = self.owner(fence.kind, fence.key, tenant=tenant)
            if owner != fence.owner:
                raise Fenced(
                    f"{fence.kind} {fence.key!r} belongs to {owner!r}, "
                    f"not to {fence.owner!r}"
                )
        for claim in batch.releases:
            self._connection.execute(
                "DELETE FROM guards"
                " WHERE tenant = ? AND kind = ? AND key = ? AND owner = ?",
                (tenant, claim.kind, claim.key, claim.owner),
            )
        for claim in batch.claims:
            entered = self._connection.execute(
                "INSERT INTO guards VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
                with_digest(tenant, claim.kind, claim.key, claim.owner),
            )
            if not entered.rowcount:
                owner = self.owner(claim.kind, claim.key, tenant=tenant)
                if owner != claim.owner:
                    raise ClaimTaken(
                        f"{claim.kind} {claim.key!r} belongs to {owner!r}, "
                        f"not to {claim.owner!r}"
                    )

    def _set_timers(self, batch: Batch) -> None:
        for timer in batch.timers_done:
            self._connection.execute(
                "DELETE FROM timers WHERE tenant = ? AND due_at = ? AND stream = ?"
                " AND kind = ? AND key = ?",
                (batch.tenant, timer.due_at, timer.stream, timer.kind, timer.key),
            )
        for timer in batch.timers:
            self._connection.execute(
                "INSERT INTO timers VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                with_digest(
                    batch.tenant, timer.due_at, timer.stream, timer.kind, timer.key
                ),
            )

    def _changes(
        self, tenant: str, append: Append, heads: dict[tuple[str, str], Head]
    ) -> list[Change]:
        stream, expected, occurred_at = (
            append.stream,
            append.expected,
            append.occurred_at,
        )
        key = (tenant, stream)
        version, decided = heads.get(key) or self._head(key) or (0, 0)
        if expected is not None and expected != decided:
            raise Conflict(
                f"stream {stream!r} was last decided in version {decided}, "
                f"not {expected}",
                decided,
            )
        changes: list[Change] = []
        for event in append.events:
            version += 1
            if expected is not None:
                decided = version
            name, schema, _, _ = BY_CLASS[type(event)]
            changes.append(
                (stream, version, decided, name, schema, occurred_at, encode(event))
            )
        heads[key] = (version, decided)
        return changes

    def _insert(self, origin: Origin, changes: Sequence[Change]) -> Answer:
        heads: dict[tuple[str, str], Head] = {}
        for stream, version, decided, *_ in changes:
            key = (origin.tenant, stream)
            head = heads.get(key) or self._head(key)
            # The library counts from 0 or 1, as its user likes; then without gaps.
            following = (0, 1) if head is None else (head[0] + 1,)
            if version not in following:
                raise Conflict(
                    f"stream {stream!r}: version {version} is not "
                    f"{' or '.join(map(str, following))}, the next one"
                )
            heads[key] = (version, decided)
        answer = Answer(self._chain.position + 1, len(changes))
        self._chain.add(origin, changes, self._clock.now())
        self._keep(heads)
        return answer

    def _raise_epoch(self, tenant: str, zone_id: str) -> str:
        epoch = str(int(self.owner(ZONE_EPOCH, zone_id, tenant=tenant) or 0) + 1)
        self._connection.execute(
            "INSERT INTO guards VALUES (?,?,?,?,?) ON CONFLICT DO UPDATE"
            " SET owner = excluded.owner, digest = excluded.digest",
            with_digest(tenant, ZONE_EPOCH, zone_id, epoch),
        )
        return epoch

    def _head(self, key: tuple[str, str]) -> Head | None:
        """Return version and decision version of a stream's last row."""
        head: Head | None = self._heads.get(key)
        if head is None:
            head = self._connection.execute(
                "SELECT version, decision_version FROM rows"
                " WHERE tenant = ? AND stream = ? ORDER BY version DESC LIMIT 1",
                key,
            ).fetchone()
        return head

    def _keep(self, heads: dict[tuple[str, str], Head]) -> None:
        if len(self._heads) > _HEADS_KEPT:
            self._heads.clear()
        self._heads.update(heads)
        if self._is_marked:
            self._touched.update(heads)
