"""The contracts of the ``eventsourcing`` library on the very ledger that we ship.

What the library does not know takes these defaults: tenant ``main``, schema 1, the
events are decisions, they occurred when they are recorded, and command, correlation,
causation and actor are empty. States are the library's bytes and are not decoded.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    StoredEvent,
    Subscription,
)

from domain.errors import Conflict
from domain.ports import TENANT, Clock
from domain.store.chain import Origin
from domain.store.committer import Committer

_TOPIC = re.compile(r"(.+)@([2-9]|[1-9][0-9]+)", re.DOTALL)
_WAIT_S = 0.2


def topic_of(name: str, schema: int) -> str:
    """Return the library's topic of a type: its name, then ``@2`` from schema 2 on."""
    return name if schema == 1 else f"{name}@{schema}"


def type_of(topic: str) -> tuple[str, int]:
    """Return type name and schema version of a topic."""
    found = _TOPIC.fullmatch(topic)
    return (found[1], int(found[2])) if found else (topic, 1)


class LedgerRecorder(ApplicationRecorder):
    """The library's application recorder on a committer; thread-safe.

    Parameters
    ----------
    id_of
        makes the originator ids of notifications from their text: ``str``, or ``UUID``
        for an application that counts on UUIDs.
    """

    def __init__(
        self,
        committer: Committer,
        clock: Clock,
        id_of: Callable[[str], UUID | str] = str,
    ) -> None:
        self._committer = committer
        self._clock = clock
        self._id_of = id_of

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Write stored events, all or none; return their positions."""
        if not stored_events:
            return []
        now = self._clock.now()
        changes = [
            (
                str(stored.originator_id),
                stored.originator_version,
                stored.originator_version,
                *type_of(stored.topic),
                now,
                stored.state,
            )
            for stored in stored_events
        ]
        try:
            answer = self._committer.insert(Origin(), changes)
        except Conflict as error:
            raise IntegrityError(str(error)) from error
        return list(range(answer.first, answer.first + answer.count))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Read the stored events of one originator."""
        conditions = ["tenant = ?", "stream = ?"]
        values: list[str | int] = [TENANT, str(originator_id)]
        for condition, bound in (("version > ?", gt), ("version <= ?", lte)):
            if bound is not None:
                conditions.append(condition)
                values.append(bound)
        query = (
            f"SELECT version, type, schema, state FROM rows"
            f" WHERE {' AND '.join(conditions)}"
            f" ORDER BY version {'DESC' if desc else 'ASC'} LIMIT ?"
        )
        values.append(-1 if limit is None else limit)
        with self._committer.reader() as reader:
            rows = reader.select(query, values)
        return [
            StoredEvent(originator_id, version, topic_of(name, schema), state)
            for version, name, schema, state in rows
        ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Read notifications in order; the log's row 0 is none of them."""
        after = 0 if start is None else start - inclusive_of_start
        values: list[str | int] = [max(after, 0)]
        query = "SELECT position, stream, version, type, schema, state FROM rows"
        query += " WHERE position > ?"
        if stop is not None:
            query += " AND position <= ?"
            values.append(stop)
        if topics:
            query += (
                f" AND (type, schema) IN (VALUES {','.join(['(?,?)'] * len(topics))})"
            )
            for topic in topics:
                values += type_of(topic)
        with self._committer.reader() as reader:
            rows = reader.select(f"{query} ORDER BY position LIMIT ?", [*values, limit])
        return [
            Notification(
                self._id_of(stream), version, topic_of(name, schema), state, position
            )
            for position, stream, version, name, schema, state in rows
        ]

    def max_notification_id(self) -> int | None:
        """Return the last position; None when there is only row 0."""
        return self._committer.last_position() or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Return an iterator that blocks after the last event until there is a next."""
        return LedgerSubscription(self, gt, topics)

    def wait_for(self, position: int, timeout_s: float) -> bool:
        """Wait until ``position`` is committed; False when the time ran out."""
        return self._committer.wait_for(position, timeout_s)


class LedgerSubscription(Subscription[LedgerRecorder]):
    """A subscription that reads in the thread of its user and waits for commits."""

    _LIMIT = 500

    def __init__(
        self, recorder: LedgerRecorder, gt: int | None, topics: Sequence[str]
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._after = gt or 0
        self._read: list[Notification] = []

    def __next__(self) -> Notification:
        """Return the next notification; stop when the subscription was stopped."""
        while not self._has_been_stopped:
            if self._read:
                return self._read.pop()
            end = self._recorder.max_notification_id() or 0
            found = self._recorder.select_notifications(
                self._after, self._LIMIT, topics=self._topics, inclusive_of_start=False
            )
            self._read = list(reversed(found))
            if len(found) == self._LIMIT:
                self._after = found[-1].id
            else:
                self._after = max(self._after, end, *(n.id for n in found[-1:]))
            if not found:
                self._recorder.wait_for(self._after + 1, _WAIT_S)
        raise StopIteration
