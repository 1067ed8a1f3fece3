"""How fast a store appends and reads, beside SQLite alone.

``python -m benchmarks.speed.append`` appends commands of 1, 10 and 100 events, one
commit each, with encoding, hash chain and command register; and writes the very same
rows, already encoded, with a bare ``executemany`` into a table of the same columns and
index, also one commit each. Both take turns on the same disk; figures are medians of
the rounds with their quartiles. Sealing compares events whose personal data is sealed
at the append with the same events sealed before.
"""

import argparse
import gc
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.system_factory import named
from domain.model.plan_events import EtpAccepted, EtpSent
from domain.model.profile import PowerProfile
from domain.model.session_events import AuthorizationRequested, ParkingStarted
from domain.model.values import Event, Sealed
from domain.ports import Append, Batch

RATIO_GOAL = 1.25
READ_GOAL = 300_000
AT = 1_571_616_000_000_000
BATCHES = {1: 2_000, 10: 10_000, 100: 40_000}
_CONTEXT = "session/authorization.requested"
_PERSONAL = b"04A1B2C3D4E5F6"

StoreFactory = Callable[..., Any]


class WallClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the present instant."""
        return time.time_ns() // 1_000


class SeededIds:
    """Ids and random bytes from a seed: every run writes the same events."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new_id(self) -> str:
        """Return an opaque id."""
        return self._random.randbytes(16).hex()

    def random(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        return self._random.randbytes(n)


class Quartiles(NamedTuple):
    """Median of the rounds, between the lower and the upper quartile."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Quartiles":
        """Return the quartiles of at least two values."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def event_of(number: int, sealed: Sealed | None) -> Event:
    """Return the event of a number: what a day's ledger is mostly made of."""
    session, evse = f"{number // 200:032x}", f"US*CAL*E{number % 54:03d}"
    if sealed is not None:
        return AuthorizationRequested(
            session_id=session, evse_id=evse, subject_id=session, credential=sealed
        )
    if number % 4 == 0:
        return EtpAccepted(evse_id=evse, number=number)
    if number % 4 == 1:
        return ParkingStarted(session_id=session, place=evse)
    changes = tuple((900 * n, 137 * n % 6_656) for n in range(8))
    return EtpSent(evse_id=evse, number=number, profile=PowerProfile(AT, changes))


def commands(events: Sequence[Event], size: int) -> list[Batch]:
    """Return commands of ``size`` events each, in streams of 200 events."""
    found = []
    for first in range(0, len(events), size):
        append = Append(
            f"session-{first // 200:032x}", tuple(events[first : first + size]), AT
        )
        found.append(
            Batch(
                appends=(append,),
                actor="benchmark",
                command_id=f"{first:032x}",
                request=b"digest of the request, 32 bytes.",
                correlation_id=f"{first // 200:032x}",
            )
        )
    return found


class Bench:
    """Opens stores in a folder of its own and measures them."""

    def __init__(
        self, factory: StoreFactory, folder: Path, share_sealed: float
    ) -> None:
        self._factory = factory
        self._folder = folder
        self._every = round(1 / share_sealed) if share_sealed else 0
        self._count = 0

    def open(self) -> Any:
        """Open a new store, appended to in one thread."""
        self._count += 1
        return self._factory(
            self._folder / str(self._count),
            clock=WallClock(),
            ids=SeededIds(self._count),
            master_key=bytes(32),
            threaded=False,
        )

    def append_s(self, events: Sequence[Event], size: int) -> tuple[float, Path]:
        """Return how long appending takes [s], and the ledger it made."""
        with self.open() as store:
            batches = commands(events, size)
            started = quiet_now()
            for batch in batches:
                store.log.append(batch)
                store.log.flush()
            return time.perf_counter() - started, store.folder / "ledger.sqlite"

    def bare_s(self, ledger: Path, size: int) -> float:
        """Return how long SQLite alone takes for the rows of a ledger [s]."""
        rows, schema = stored(ledger)
        self._count += 1
        connection = sqlite3.connect(
            self._folder / f"{self._count}.sqlite", isolation_level=None
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in schema:
            connection.execute(statement)
        insert = f"INSERT INTO rows VALUES ({','.join('?' * len(rows[0]))})"
        started = quiet_now()
        for first in range(0, len(rows), size):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, rows[first : first + size])
            connection.execute("COMMIT")
        took_s = time.perf_counter() - started
        connection.close()
        return took_s

    def sealing_s(self, count: int, size: int, *, known: bool) -> tuple[float, float]:
        """Return how long appends take with sealing and with it done before [s].

        ``known`` says that the subjects have their keys already; else each sealed event
        is the first of its subject, whose key is written and synced.
        """
        took = []
        for at_append in (True, False):
            with self.open() as store:
                if known:
                    self._seal_all(store, count)
                took.append(self._sealing_s(store, count, size, at_append))
        return took[0], took[1]

    def _seal_all(self, store: Any, count: int) -> dict[int, Sealed]:
        return {
            number: store.vault.seal(f"{number:032x}", _CONTEXT, _PERSONAL)
            for number in range(0, count, self._every)
        }

    def _sealing_s(self, store: Any, count: int, size: int, at_append: bool) -> float:
        plain = [event_of(number, None) for number in range(count)]
        before = {} if at_append else self._seal_all(store, count)
        started = quiet_now()
        for first in range(0, count, size):
            events = plain[first : first + size]
            for number in range(
                -(-first // self._every) * self._every, first + size, self._every
            ):
                group = before.get(number) or store.vault.seal(
                    f"{number:032x}", _CONTEXT, _PERSONAL
                )
                events[number - first] = event_of(number, group)
            (batch,) = commands(events, size)
            store.log.append(msgspec.structs.replace(batch, command_id=f"{first:032x}"))
            store.log.flush()
        return time.perf_counter() - started

    def read_s(self, events: Sequence[Event]) -> float:
        """Return how long reading and decoding all events takes [s]."""
        with self.open() as store:
            for batch in commands(events, 100):
                store.log.append(batch)
            store.log.flush()
            after, read = 0, 0
            started = quiet_now()
            while rows := store.log.read(after=after, limit=1_000):
                after = rows[-1].position
                read += len(rows)
            took_s = time.perf_counter() - started
        if read != len(events):
            raise RuntimeError(f"{read} of {len(events)} events were read")
        return took_s


def quiet_now() -> float:
    """Return the time to measure from, with no garbage of the set-up left."""
    gc.collect()
    gc.freeze()
    return time.perf_counter()


def stored(ledger: Path) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Return the rows of a ledger and the statements that made their table."""
    connection = sqlite3.connect(ledger)
    rows = connection.execute("SELECT * FROM rows WHERE position > 0").fetchall()
    schema = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE tbl_name = 'rows' AND sql IS NOT NULL"
    ).fetchall()
    connection.close()
    return rows, [statement for (statement,) in schema]


def measure(bench: Bench, rounds: int, scale: float) -> Iterator[str]:
    """Yield the lines of the report as they are measured."""
    yield f"{'append':24}{'ours/s':>10}{'bare/s':>10}   ratio (quartiles)   goal"
    for size, most in BATCHES.items():
        count = max(size, int(most * scale) // size * size)
        events = [event_of(number, None) for number in range(count)]
        pairs = []
        for _ in range(rounds):
            ours_s, ledger = bench.append_s(events, size)
            pairs.append((ours_s, bench.bare_s(ledger, size)))
        ratio = Quartiles.of([ours_s / bare_s for ours_s, bare_s in pairs])
        ours, bare = (
            statistics.median(count / s for s in took)
            for took in zip(*pairs, strict=True)
        )
        yield f"  batch of {size:<14}{ours:>10,.0f}{bare:>10,.0f}   " + line(ratio)
    count = int(BATCHES[100] * scale) // 100 * 100
    for known in (True, False):
        shares = [bench.sealing_s(count, 10, known=known) for _ in range(rounds)]
        ratio = Quartiles.of([sealing_s / before_s for sealing_s, before_s in shares])
        subjects = "known subjects" if known else "new subjects"
        yield f"sealing, {subjects:35}   {line(ratio)}"
    events = [event_of(number, None) for number in range(count)]
    rate = Quartiles.of([count / bench.read_s(events) for _ in range(rounds)])
    verdict = "met" if rate.median >= READ_GOAL else "NOT MET"
    yield (
        f"read and decode {rate.median:>18,.0f} events/s "
        f"({rate.low:,.0f}-{rate.high:,.0f})   goal {READ_GOAL:,}: {verdict}"
    )


def line(ratio: Quartiles) -> str:
    """Return a ratio with its spread, and whether it meets the goal."""
    verdict = "met" if ratio.median <= RATIO_GOAL else "NOT MET"
    return (
        f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})   "
        f"{RATIO_GOAL}: {verdict}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--store-factory", default="domain.store.store:Store")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the events")
    parser.add_argument("--sealed", type=float, default=0.02, help="share of events")
    parser.add_argument("--folder", type=Path, help="where to write; else temporary")
    given = parser.parse_args(arguments)
    factory: StoreFactory = named(given.store_factory)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.machine()}, {given.rounds} rounds"
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bench = Bench(factory, Path(folder), given.sealed)
        for text in measure(bench, given.rounds, given.scale):
            print(text, flush=True)


if __name__ == "__main__":
    main()
