"""Many threads, one commit: each batch succeeds, conflicts or repeats by itself."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from domain.errors import (
    Conflict,
    DomainError,
    RequestMismatch,
    StoreError,
    StoreFull,
)
from domain.model.session_events import ParkingStarted
from domain.ports import Answer, Append, Batch, Claim, Fence, Timer
from domain.store.committer import Committer
from domain.store.feed import PolledFeed, follow, follow_file
from domain.store.ledger import ZONE_EPOCH, Ledger
from domain.store.reader import LedgerReader
from domain.store.verify import verify
from tests.store.fakes import MONDAY


def batch(
    stream: str, expected: int | None = None, *, events: int = 1, command_id: str = ""
) -> Batch:
    parked = (ParkingStarted(session_id="1"),) * events
    append = Append(stream, parked, MONDAY, expected)
    return Batch(appends=(append,), actor="a", command_id=command_id)


@pytest.fixture
def held(committer: Committer) -> Iterator[threading.Event]:
    """Holds the committer's thread until it is set, so that a group builds up."""
    release = threading.Event()
    running = threading.Event()

    def hold(_: Ledger) -> None:
        running.set()
        release.wait()

    thread = threading.Thread(target=lambda: committer._commit(hold))
    thread.start()
    running.wait()
    yield release
    release.set()
    thread.join()


def outcome(committer: Committer, batch: Batch) -> Answer | DomainError:
    try:
        return committer.append(batch)
    except DomainError as error:
        return error


def together(
    committer: Committer, held: threading.Event, batches: list[Batch]
) -> list[Answer | DomainError]:
    """Append all batches in one group, in their order."""
    with ThreadPoolExecutor(len(batches)) as threads:
        futures = []
        for n, each in enumerate(batches, 1):
            futures.append(threads.submit(outcome, committer, each))
            while committer._jobs.qsize() < n:
                threading.Event().wait(0.001)
        held.set()
        return [future.result() for future in futures]


def test_each_batch_of_a_group_has_its_own_fate(
    committer: Committer, held: threading.Event
) -> None:
    fates = together(
        committer,
        held,
        [
            batch("s", 0, command_id="c"),
            batch("s", 0),
            batch("s", 0, command_id="c"),
            batch("s", 1, events=2),
            Batch(
                appends=(Append("s", (ParkingStarted(session_id="2"),), MONDAY, 3),),
                actor="a", command_id="c", request=b"other",
            ),
            batch("s", 3),
        ],
    )  # fmt: skip
    assert fates[0] == Answer(1, 1)
    assert type(fates[1]) is Conflict
    assert fates[2] == Answer(1, 1, repeated=True)
    assert fates[3] == Answer(2, 2)
    assert type(fates[4]) is RequestMismatch
    assert fates[5] == Answer(4, 1)
    assert [row.version for row in committer.read_stream("s")] == [1, 2, 3, 4]


def test_one_of_many_wins_each_version(committer: Committer, tmp_path: Path) -> None:
    rounds, racers = 20, 8

    def race(racer: int) -> int:
        won = 0
        for expected in range(rounds):
            while committer.last_position() < expected:
                pass
            fate = outcome(committer, batch("s", expected))
            won += isinstance(fate, Answer)
        return won

    with ThreadPoolExecutor(racers) as threads:
        assert sum(threads.map(race, range(racers))) == rounds
    assert [row.version for row in committer.read_stream("s")] == list(
        range(1, rounds + 1)
    )
    committer.close()
    assert verify(tmp_path).is_intact


def test_a_full_disk_fails_the_group_and_only_the_group(
    committer: Committer, ledger: Ledger, held: threading.Event
) -> None:
    def limit(pages: int) -> None:
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    limit(pages)
    fates = together(
        committer, held, [batch("s", 0, command_id="c"), batch("t", events=3_000)]
    )
    assert [type(fate) for fate in fates] == [StoreFull, StoreFull]
    assert committer.last_position() == 0
    limit(1_000_000)
    assert committer.append(batch("s", 0, command_id="c")) == Answer(1, 1)


def test_an_error_of_the_caller_is_the_callers(committer: Committer) -> None:
    with pytest.raises(OverflowError):
        committer.append(Batch(appends=(Append("s", (), MONDAY),), causation=1 << 70,
                               timers=(Timer(1 << 70, "s", "k"),)))  # fmt: skip
    assert committer.append(batch("s", 0)) == Answer(1, 1)


def test_it_answers_all_that_a_log_answers(committer: Committer) -> None:
    epoch = committer.raise_epoch("z")
    timer = Timer(MONDAY, "s", "close")
    command = Batch(
        appends=(Append("s", (ParkingStarted(session_id="1"),), MONDAY, 0),),
        actor="a", command_id="c", claims=(Claim("occupant", "e", "1"),),
        timers=(timer,), fence=Fence(ZONE_EPOCH, "z", epoch),
    )  # fmt: skip
    assert committer.answered(command) is None
    committer.append(command)
    committer.flush()
    assert committer.answered(command) == Answer(1, 1, repeated=True)
    assert committer.owner("occupant", "e") == "1"
    assert [claim.key for claim in committer.claims("occupant")] == ["e"]
    assert committer.due_timers(MONDAY) == [timer]
    assert committer.next_timer_at() == MONDAY
    assert committer.log_id == "node-1"
    digest = committer.hash_at(1)
    assert digest is not None
    assert len(digest) == 32
    assert committer.hash_at(2) is None


def test_a_closed_committer_refuses(committer: Committer) -> None:
    committer.close()
    committer.close()
    with pytest.raises(StoreError, match="closed"):
        committer.append(batch("s"))


def test_following_misses_nothing_and_repeats_nothing(
    committer: Committer, tmp_path: Path
) -> None:
    total = 3_000
    here: list[int] = []
    elsewhere: list[int] = []

    def listen_here() -> None:
        for row in committer.follow(stopped=lambda: len(here) == total):
            here.append(row.position)

    def listen_elsewhere() -> None:
        path = tmp_path / "ledger.sqlite"
        for row in follow_file(path, stopped=lambda: len(elsewhere) == total):
            elsewhere.append(row.position)

    listeners = [
        threading.Thread(target=listen) for listen in (listen_here, listen_elsewhere)
    ]
    for listener in listeners:
        listener.start()
    with ThreadPoolExecutor(6) as threads:
        for n in range(total // 3):
            threads.submit(committer.append, batch(f"s-{n % 7}", events=3))
    for listener in listeners:
        listener.join(timeout=30)
    assert here == elsewhere == list(range(1, total + 1))


def test_following_by_type_goes_on_behind_the_others(committer: Committer) -> None:
    for _ in range(3):
        committer.append(batch("s", events=400))
    asked = iter([False] * 4 + [True])
    found = follow(
        committer,
        committer.feed,
        types=["no.such"],
        stopped=asked.__next__,
        wait_s=0.01,
    )
    assert list(found) == []


def test_waiting_ends_with_the_commit_or_the_time(
    committer: Committer, tmp_path: Path
) -> None:
    with closing(PolledFeed(tmp_path / "ledger.sqlite")) as polled:
        for feed in (committer.feed, polled):
            after = committer.last_position() + 1
            assert not feed.wait_for(after, 0.01)
            timer = threading.Timer(0.05, lambda: committer.append(batch("s")))
            timer.start()
            assert feed.wait_for(after, 10)
            timer.join()


def test_a_group_that_records_nothing_wakes_nobody(committer: Committer) -> None:
    last, woken = committer.last_position(), list[bool]()
    feed = committer.feed

    def seen() -> bool:
        woken.append(True)
        return False

    def wait() -> None:
        with feed._advanced:
            feed._advanced.wait_for(seen, 0.3)

    waiting = threading.Thread(target=wait)
    waiting.start()
    done = threading.Event()
    for _ in range(5):
        done.clear()
        committer.decide(lambda ledger: None, lambda error: done.set())
        assert done.wait(5)
    waiting.join()
    # Once when it began to wait and once when its time ran out.
    assert len(woken) <= 2
    assert committer.last_position() == last


def test_readers_read_while_a_writer_writes(
    committer: Committer, tmp_path: Path
) -> None:
    """Every reader sees whole batches only, and never fewer than before."""
    stop = threading.Event()

    def read() -> bool:
        seen, whole = 0, True
        with LedgerReader.open(tmp_path / "ledger.sqlite") as reader:
            while not stop.is_set():
                last = reader.last_position()
                rows = reader.read(after=seen, limit=1_000)
                positions = [row.position for row in rows]
                whole &= positions == list(range(seen + 1, seen + len(rows) + 1))
                whole &= seen <= last <= seen + len(rows) and len(rows) % 5 == 0
                seen += len(rows)
        return whole

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        for _ in range(200):
            committer.append(batch("s", events=5))
        stop.set()
        assert all(reader.result() for reader in readers)
