"""What the domain asks of the world: log, vault, clock, ids, planner, delivery."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from domain.model.values import Event, Instant, Sealed

TENANT = "main"


class Claim(msgspec.Struct, frozen=True):
    """A guard row: the key of a kind belongs to ``owner`` and to nobody else.

    Claims are how rules over several streams hold: one occupant an EVSE, one session a
    foreign reference. They are written in the append's own transaction.
    """

    kind: str
    key: str
    owner: str


class Fence(msgspec.Struct, frozen=True):
    """The append is only good while the guard row (kind, key) belongs to ``owner``."""

    kind: str
    key: str
    owner: str


class Timer(msgspec.Struct, frozen=True):
    """Something becomes due in a stream; ``key`` tells timers of one kind apart."""

    due_at: Instant
    stream: str
    kind: str
    key: str = ""


class Append(msgspec.Struct, frozen=True):
    """Events for one stream, in one instant of the world (``occurred_at``).

    With ``expected`` they are a decision: it is the version of the stream's last
    decision as the decider saw it (0 for none). Without, they are facts: always
    recorded, and no decision conflicts with them.
    """

    stream: str
    events: tuple[Event, ...]
    occurred_at: Instant
    expected: int | None = None


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """All that one command or fact records, in one transaction or not at all.

    A batch with a ``command_id`` is idempotent: (tenant, actor, command id) again with
    the same ``request`` gives the first answer, with another one `RequestMismatch`.
    ``releases`` drop claims that belong to their owner, ``timers_done`` drop timers.
    """

    appends: tuple[Append, ...]
    actor: str = ""
    command_id: str = ""
    request: bytes = b""
    correlation_id: str = ""
    causation: int = 0
    claims: tuple[Claim, ...] = ()
    releases: tuple[Claim, ...] = ()
    fence: Fence | None = None
    timers: tuple[Timer, ...] = ()
    timers_done: tuple[Timer, ...] = ()
    tenant: str = TENANT


class Answer(msgspec.Struct, frozen=True):
    """Where a batch stands: positions ``first`` .. ``first + count - 1``."""

    first: int
    count: int
    repeated: bool = False


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One row of a log, its state decoded. ``event`` is None when it was dropped."""

    position: int
    tenant: str
    stream: str
    version: int
    decision_version: int
    type: str
    schema: int
    occurred_at: Instant
    recorded_at: Instant
    command_id: str
    correlation_id: str
    causation: int
    actor: str
    event: Event | None

    @property
    def is_decision(self) -> bool:
        """Whether the row is a decision and not a fact."""
        return self.version == self.decision_version


class RowFilter(NamedTuple):
    """Which rows to find; what is empty or None asks for all."""

    stream: str = ""
    types: tuple[str, ...] = ()
    actor: str = ""
    occurred_from_at: Instant | None = None
    occurred_until_at: Instant | None = None

    def matches(self, row: Recorded) -> bool:
        """Whether a row is one of them."""
        begin, end = self.occurred_from_at, self.occurred_until_at
        return (
            self.stream in ("", row.stream)
            and (not self.types or row.type in self.types)
            and self.actor in ("", row.actor)
            and (begin is None or row.occurred_at >= begin)
            and (end is None or row.occurred_at < end)
        )


class Log(Protocol):
    """The ledger: append, read, follow."""

    def append(self, batch: Batch) -> Answer:
        """Record a batch durably and return where it stands.

        Raises
        ------
        Conflict, ClaimTaken, Fenced, RequestMismatch, StoreFull
            and then nothing of the batch is recorded.
        """
        ...

    def answered(self, batch: Batch) -> Answer | None:
        """Return the first answer to a batch's command id; None when it is new.

        Raises
        ------
        RequestMismatch
            when the command id was used for another request.
        """
        ...

    def read_stream(
        self, stream: str, *, after_version: int = 0, tenant: str = TENANT
    ) -> Sequence[Recorded]:
        """Return the rows of a stream in order of version."""
        ...

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows with positions above ``after``, in order."""
        ...

    def find(
        self, wanted: RowFilter, *, after: int, until: int, limit: int
    ) -> Sequence[Recorded]:
        """Return up to ``limit`` rows of positions in (after, until], in order."""
        ...

    def read_at(self, positions: Sequence[int]) -> Sequence[Recorded]:
        """Return the rows at some positions, in order of position."""
        ...

    def recorded_by(self, at: Instant) -> int:
        """Return the last position recorded at or before ``at``; 0 before row 1."""
        ...

    def last_position(self) -> int:
        """Return the last position; 0 when nothing was recorded."""
        ...

    def hash_at(self, position: int) -> bytes | None:
        """Return the chain's hash at a position; None where there is no row."""
        ...

    def owner(self, kind: str, key: str, *, tenant: str = TENANT) -> str | None:
        """Return who holds a claim."""
        ...

    def claims(
        self, kind: str, key_prefix: str = "", *, tenant: str = TENANT
    ) -> Sequence[Claim]:
        """Return the claims of a kind whose key begins with a prefix, by key."""
        ...

    def due_timers(self, at: Instant, *, tenant: str = TENANT) -> Sequence[Timer]:
        """Return the timers due at or before ``at``, by due instant."""
        ...

    def next_timer_at(self, *, tenant: str = TENANT) -> Instant | None:
        """Return when the next timer is due."""
        ...

    def raise_epoch(self, zone_id: str, *, tenant: str = TENANT) -> str:
        """Take over a zone: raise its epoch and return it, the owner of its fence."""
        ...

    def flush(self) -> None:
        """Make everything answered so far durable (a no-op when it already is)."""
        ...


class SampleLog(Protocol):
    """The samples: raw readings, one row per zone and group commit, one file a day."""

    def append(self, stream: str, event: Event, occurred_at: Instant) -> None:
        """Record one row of readings."""
        ...

    def append_all(
        self, rows: Sequence[tuple[str, Event]], occurred_at: Instant
    ) -> None:
        """Record rows of readings, by their streams, all or none."""
        ...

    def days(self) -> list[str]:
        """Return the UTC days that have samples, in order."""
        ...

    def read_day(self, day: str) -> Iterator[Recorded]:
        """Yield the rows of one UTC day."""
        ...

    def read_span(
        self,
        stream: str,
        from_at: Instant,
        until_at: Instant,
        *,
        latest_first: bool = False,
    ) -> Iterator[Recorded]:
        """Yield a stream's rows of a time, ordered by when they occurred.

        Those that were recorded more than a day after ``until_at`` are left out.
        """
        ...

    def close_days_before(self, at: Instant) -> None:
        """Seal every open partition that ended before the UTC day of ``at``."""
        ...


class Vault(Protocol):
    """Keys of subjects, and finding a subject by a credential without storing it."""

    def subject_of(self, kind: str, plaintext: str) -> str:
        """Return the subject a credential belongs to; a new one on first sight."""
        ...

    def find_subject(self, kind: str, plaintext: str) -> str | None:
        """Return the subject of a credential seen before."""
        ...

    def seal(self, subject_id: str, context: str, group: bytes) -> Sealed:
        """Encrypt a group of personal fields under the subject's key."""
        ...

    def open(self, sealed: Sealed, context: str) -> bytes | None:
        """Return the group; None when its key was destroyed."""
        ...

    def destroy(self, subject_id: str) -> str:
        """Destroy the subject's key and directory entries; return the key's id."""
        ...


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> Instant:
        """Return the present instant."""
        ...


class Ids(Protocol):
    """The one source of new identifiers and random bytes."""

    def new_id(self) -> str:
        """Return an opaque id, never given before."""
        ...

    def random(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        ...


class Authorization(msgspec.Struct, frozen=True):
    """What a CSO answers: whether an EV user may charge, who says so, why not."""

    accepted: bool
    by: str
    reason: str = ""


class Cso(Protocol):
    """The CSO's back office, which knows contracts and asks secondary actors."""

    def answer(
        self, subject_id: str, evse_id: str, at: Instant
    ) -> Authorization | None:
        """Answer for a subject at an EVSE; None when the answer comes by a command."""
        ...

    def group_of(self, subject_id: str, at: Instant) -> str:
        """Return the group whose members may end each other's charge; empty: none."""
        ...


class CsoElsewhere:
    """The back office is another system: its answers come by commands."""

    def answer(
        self, subject_id: str, evse_id: str, at: Instant
    ) -> Authorization | None:
        """Leave the answer to the commands that bring it."""
        return None

    def group_of(self, subject_id: str, at: Instant) -> str:
        """Know of no groups."""
        return ""


class System(msgspec.Struct, frozen=True):
    """Everything a use case needs, put together by `api.compose`."""

    log: Log
    samples: SampleLog
    vault: Vault
    clock: Clock
    ids: Ids
    # Folded states by stream: (version, state). A cache; the log is the truth.
    folds: dict[str, tuple[int, Any]] = msgspec.field(default_factory=dict)
    cso: Cso = msgspec.field(default_factory=CsoElsewhere)
