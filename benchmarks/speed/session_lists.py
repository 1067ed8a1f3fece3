"""How long lists over a million service sessions take, by every filter.

``python -m benchmarks.speed.session_lists`` folds a million sessions into the read
model by its own fold, from rows it makes, and asks for pages of 100 with random filters
from random places. Times are of the query and of decoding its page.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from domain.model import session_events as s
from domain.model.registry import BY_CLASS
from domain.model.values import HOUR, MINUTE, Event, Instant
from domain.ports import Recorded
from projections.runner import Runner
from projections.scope import Scope
from projections.session_queries import SessionFilter, Sessions
from projections.sessions import SessionsFold

ZONES, EVSES, PARTIES, OPEN = 200, 50, 20, 2_000
_FIRST_AT = 1_700_000_000_000_000
_APART = 30_000_000
_EVENTS = 5
_HASH = bytes(32)


class MadeLog:
    """A log of sessions, each row made when it is read."""

    def __init__(self, sessions: int) -> None:
        self._sessions = sessions

    def last_position(self) -> int:
        """Return the last position."""
        return self._sessions * _EVENTS

    def hash_at(self, position: int) -> bytes:
        """Return the hash of a row: all have the same."""
        return _HASH

    def read(self, *, after: int, limit: int, types: object = ()) -> list[Recorded]:
        """Return rows behind a position."""
        last = min(self.last_position(), after + limit)
        return [self._row(position) for position in range(after + 1, last + 1)]

    def _row(self, position: int) -> Recorded:
        number, step = divmod(position - 1, _EVENTS)
        at = _FIRST_AT + number * _APART
        event = _event(number, step, number >= self._sessions - OPEN)
        name, occurred_at = BY_CLASS[type(event)].name, at + step * MINUTE
        return Recorded(
            position, "main", f"session-{number}", step + 1, step + 1, name, 1,
            occurred_at, at, "", "", 0, "a", event,
        )  # fmt: skip


def _event(number: int, step: int, is_open: bool) -> Event:
    session_id = f"{number * 2_654_435_761 % (1 << 32):08x}{number:08x}"
    party = f"cso{number % PARTIES}"
    match step:
        case 0:
            return s.SessionOpened(session_id=session_id, party=party)
        case 1:
            zone, evse = f"zone{number % ZONES}", number // ZONES % EVSES
            return s.EvseBound(
                session_id=session_id,
                evse_id=f"DE*VLT*E{number % ZONES:03}{evse:03}",
                station_id=f"{zone}-{evse}",
                zone_id=zone,
            )
        case 2:
            return s.ReferenceBound(
                session_id=session_id, party=party, kind="b", reference=str(number)
            )
        case 3:
            return s.TransferEnded(
                session_id=session_id, energy_wh=9_000, reason="EV disconnected"
            )
        case _ if is_open:
            return s.OtherStarted(session_id=session_id, service="valet")
        case _:
            return s.SessionClosed(session_id=session_id, reason="idle")


def filters(draw: random.Random) -> Iterator[tuple[str, SessionFilter, Scope | None]]:
    """Yield one of each kind of list, its filters drawn anew."""
    zone = draw.randrange(ZONES)
    zone_id, party = f"zone{zone}", f"cso{draw.randrange(PARTIES)}"
    evse_id = f"DE*VLT*E{zone:03}{draw.randrange(EVSES):03}"
    some = frozenset(f"zone{draw.randrange(ZONES)}" for _ in range(10))
    yield "all", SessionFilter(), None
    yield "all, open", SessionFilter(state="open"), None
    yield "all, earliest first", SessionFilter(ascending=True), None
    yield "zone", SessionFilter(zone_id=zone_id), None
    yield "zone, open", SessionFilter(zone_id=zone_id, state="open"), None
    yield "EVSE", SessionFilter(evse_id=evse_id), None
    yield "party", SessionFilter(party=party), None
    yield "party, open", SessionFilter(party=party, state="open"), None
    yield "party and zone", SessionFilter(party=party, zone_id=zone_id), None
    yield "reach of ten zones", SessionFilter(), Scope(some)
    yield "reach of a party", SessionFilter(), Scope(party=party)


def measured(sessions: Sessions, count: int, runs: int) -> dict[str, list[float]]:
    """Return the times of each kind of list [s]."""
    draw, found = random.Random(3), dict[str, list[float]]()
    for _ in range(runs):
        for name, wanted, scope in filters(draw):
            behind = (_drawn_at(draw, count), "")
            begun = time.perf_counter()
            sessions.page(behind=behind, limit=100, wanted=wanted, scope=scope)
            found.setdefault(name, []).append(time.perf_counter() - begun)
    return found


def _drawn_at(draw: random.Random, count: int) -> Instant:
    return _FIRST_AT + draw.randrange(count) * _APART + HOUR


def timed(work: Callable[[], object]) -> float:
    """Return how long some work takes [s]."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = MadeLog(given.sessions)
        runner = Runner(log, Path(folder), [SessionsFold])
        took_s = timed(runner.catch_up)
        events = log.last_position()
        print(f"{events:,} events folded in {took_s:.0f} s, {events / took_s:,.0f}/s")
        runner.close()
        sessions = Sessions(Path(folder))
        for name, times in measured(sessions, given.sessions, given.runs).items():
            ordered = sorted(1e3 * t for t in times)
            print(
                f"{name:22} p50 {statistics.median(ordered):7.2f}"
                f"   p99 {ordered[int(len(ordered) * 0.99)]:7.2f}"
                f"   worst {ordered[-1]:7.2f} ms"
            )
        sessions.reader.close()


if __name__ == "__main__":
    main()
