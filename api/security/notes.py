"""The security log (7.9.4.6): logins good and bad, refusals, faulty messages.

What is noted is counted at once and written by a thread of its own, so that no request
waits for the disk or fails by it. Within a minute the first of a kind and source is a
row; what follows is counted, and one row says how many. So a flood costs a few rows.
"""

import enum
import logging
import queue
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from domain.errors import DomainError
from domain.model.access_events import SecurityCounted, SecurityNoted
from domain.model.values import HOUR, MINUTE, Instant
from domain.ports import System
from domain.use_cases.clause_7_9_4_6_security_log import Note, Told, record_notes

WINDOW = MINUTE
# Most rows of a kind in a window, whatever number of sources a flood has.
_MOST_ROWS = 200
_MOST_LOGINS_KEPT = 50_000
_LOOK_AGAIN_S = 1.0
_ROWS_AN_APPEND = 100

_logger = logging.getLogger(__name__)


class Kind(enum.StrEnum):
    """What a guard should know."""

    LOGIN = "login"
    NO_CREDENTIALS = "no-credentials"
    WRONG_CREDENTIALS = "wrong-credentials"
    EXPIRED_CREDENTIALS = "expired-credentials"
    REVOKED_CREDENTIALS = "revoked-credentials"
    UNKNOWN_STATION = "unknown-station"
    EXPIRED_CERTIFICATE = "expired-certificate"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    FAULTY_MESSAGE = "faulty-message"
    # What a charging station itself noted, and told.
    STATION_EVENT = "station-event"


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Where something came from; sealed in the log."""

    address: str = ""
    user_agent: str = ""
    path: str = ""


class SecurityLog:
    """Notes and counts for one tenant, in its own ledger."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._from_at = system.clock.now()
        self._seen: set[tuple[str, str]] = set()
        self._rows: Counter[str] = Counter()
        self._beyond: Counter[str] = Counter()
        self._logins: dict[tuple[str, str], Instant] = {}
        self._queue: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._run, name="security-log", daemon=True
        )
        self._thread.start()

    def counts(self) -> Mapping[str, int]:
        """Return how often each kind was seen since the start."""
        with self._lock:
            return {kind.value: self._counts[kind.value] for kind in Kind}

    def login(self, actor: str, subject_id: str, origin: Origin) -> None:
        """Note a login: the first use of a credential from an address in an hour."""
        now = self._system.clock.now()
        came = (actor, origin.address)
        last = self._logins.get(came)
        if last is not None and now - last < HOUR:
            return
        if len(self._logins) >= _MOST_LOGINS_KEPT:
            self._logins.clear()
        self._logins[came] = now
        self.note(Kind.LOGIN, origin, actor=actor, subject_id=subject_id)

    def note(
        self,
        kind: Kind,
        origin: Origin,
        *,
        actor: str = "",
        subject_id: str = "",
        route: str = "",
        detail: str = "",
    ) -> None:
        """Count something, and write it down unless a flood of it goes on."""
        now = self._system.clock.now()
        source = (kind.value, f"{actor}|{origin.address}")
        with self._lock:
            self._counts[kind.value] += 1
            self._roll(now)
            if source in self._seen or self._rows[kind.value] >= _MOST_ROWS:
                self._beyond[kind.value] += 1
                return
            self._seen.add(source)
            self._rows[kind.value] += 1
        event = SecurityNoted(kind=kind, actor=actor, route=route, detail=detail[:200])
        packed = msgspec.msgpack.encode(origin)
        self._queue.put(Note(at=now, event=event, subject_id=subject_id, origin=packed))

    def close(self) -> None:
        """Write down what is left."""
        with self._lock:
            self._end_window(self._system.clock.now())
        self._queue.put(None)
        self._thread.join()

    def _roll(self, now: Instant) -> None:
        if now - self._from_at >= WINDOW:
            self._end_window(now)

    def _end_window(self, now: Instant) -> None:
        for kind, count in sorted(self._beyond.items()):
            self._queue.put(
                SecurityCounted(
                    kind=kind, count=count, from_at=self._from_at, until_at=now
                )
            )
        self._from_at = now
        self._seen.clear()
        self._rows.clear()
        self._beyond.clear()

    def _run(self) -> None:
        closing = False
        while not closing:
            told: list[Told] = []
            try:
                found = self._queue.get(timeout=_LOOK_AGAIN_S)
                while found is not None and len(told) < _ROWS_AN_APPEND:
                    told.append(found)
                    found = self._queue.get_nowait()
                closing = found is None
                if found is not None:
                    told.append(found)
            except queue.Empty:
                pass
            if told:
                self._write(told)
            with self._lock:
                self._roll(self._system.clock.now())

    def _write(self, told: Sequence[Told]) -> None:
        try:
            record_notes(self._system, told)
        except DomainError as error:
            _logger.warning("%d security notes were only counted: %s", len(told), error)
            with self._lock:
                for each in told:
                    if isinstance(each, SecurityCounted):
                        self._beyond[each.kind] += each.count
                    else:
                        self._beyond[each.event.kind] += 1
