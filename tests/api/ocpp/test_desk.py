"""Desks: order, what is lost, what is durable and was not said; floods are bounded."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from api.compose import open_simulation
from api.ocpp.desk import BATCH, CommitterDesk, Desk, InlineDesk, Pace
from benchmarks.simulator.clock import SeededIds, SimulatedClock
from domain.loop.observer import Reading
from domain.model import station_events as t
from domain.model.values import Instant
from domain.ports import Append, Batch, System
from domain.store.committer import Committer
from tests.api.ocpp.live import open_system, page_limit

EVSE = "DE*VLT*E1"


class Told:
    """A link that writes down what it is told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: list[int] = []

    def send(self, frame: bytes) -> None:
        """Take a frame."""
        self.frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        """Take a goodbye."""
        self.closed.append(code)


class Thread:
    """The links' thread, by hand: what it is to do waits until `run`."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()
        self.later: list[Callable[[], None]] = []

    def call_soon(self, do: Callable[[], None]) -> None:
        """Put something at the end."""
        self._due.append(do)

    def call_later(self, after_s: float, do: Callable[[], None]) -> None:
        """Put something at the end, or where it waits for `pass_time`."""
        (self.later if after_s else self._due).append(do)

    def pass_time(self) -> None:
        """Have all come that was to come later."""
        self._due += self.later
        self.later.clear()

    def run(self, until: Callable[[], bool]) -> None:
        """Do what is due until something is so."""
        while not until():
            if self._due:
                self._due.popleft()()
            else:
                time.sleep(0.0005)


class Bench:
    """A desk at the committer of a live store."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.thread = Thread()
        self.link = Told()
        self.readings: list[tuple[str, Instant, list[Reading]]] = []
        desk = Desk(system, lambda *told: self.readings.append(told))
        log, thread = system.log, self.thread
        assert isinstance(log, Committer)
        self.desk = CommitterDesk(desk, log, thread.call_soon, thread.call_later)

    def settle(self) -> None:
        """Do all that is put, to its end."""
        self.thread.run(lambda: self.desk.is_idle)

    def rows(self) -> list[str]:
        """Return the reasons that were committed, in order."""
        rows = self.system.log.read_stream("desk")
        return [r.event.reason for r in rows if isinstance(r.event, t.StationBlocked)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_system(tmp_path) as system:
        yield Bench(system)


def keep(bench: Bench, reason: str, desk: Desk) -> None:
    """Record a reason, and say it."""
    event = t.StationBlocked(station_id="S1", reason=reason)
    desk.system.log.append(Batch(appends=(Append("desk", (event,), 0),)))
    desk.send(bench.link, reason.encode())


def test_works_are_done_in_order_and_answered_in_order(bench: Bench) -> None:
    reasons = [str(n) for n in range(3 * BATCH)]
    for reason in reasons:
        bench.desk.put(partial(keep, bench, reason))
    bench.settle()
    assert bench.rows() == reasons
    assert bench.link.frames == [reason.encode() for reason in reasons]


def test_a_work_reads_what_those_before_it_recorded(bench: Bench) -> None:
    seen: list[int] = []
    for reason in "abc":
        bench.desk.put(partial(keep, bench, reason))
        bench.desk.put(
            lambda desk: seen.append(len(desk.system.log.read_stream("desk")))
        )
    bench.settle()
    assert seen == [1, 2, 3]


def test_what_can_wait_comes_after_the_others_and_is_not_put_off_for_ever(
    bench: Bench,
) -> None:
    patient, others = [f"p{n}" for n in range(40)], [f"o{n}" for n in range(60)]
    for reason in patient:
        bench.desk.put(partial(keep, bench, reason), Pace.LATER)
    for reason in others:
        bench.desk.put(partial(keep, bench, reason))
    assert bench.desk.queued() == 100
    bench.settle()
    rows = bench.rows()
    assert [r for r in rows if r in patient] == patient
    assert [r for r in rows if r in others] == others
    # One in four is of those that wait: all others are through after 80.
    assert rows[:5] == ["p0", "o0", "o1", "o2", "p1"]
    assert sorted(rows[:80]) == sorted(patient[:20] + others)


def test_what_comes_soon_is_gathered_for_a_while(bench: Bench) -> None:
    for reason in "abc":
        bench.desk.put(partial(keep, bench, reason), Pace.SOON)
    assert len(bench.thread.later) == 1
    assert not bench.desk.is_idle
    bench.thread.pass_time()
    bench.settle()
    assert bench.rows() == ["a", "b", "c"]
    bench.desk.put(partial(keep, bench, "d"), Pace.SOON)
    assert len(bench.thread.later) == 1


def test_what_is_for_now_takes_along_what_was_gathered(bench: Bench) -> None:
    bench.desk.put(partial(keep, bench, "a"), Pace.SOON)
    bench.desk.put(partial(keep, bench, "b"))
    bench.thread.run(lambda: len(bench.link.frames) == 2)
    assert bench.rows() == ["a", "b"]
    # What was to come later finds nothing, or takes along what came since.
    bench.thread.pass_time()
    bench.settle()
    assert bench.rows() == ["a", "b"]


def test_many_that_come_soon_are_waited_for_no_longer(bench: Bench) -> None:
    reasons = [str(n) for n in range(BATCH)]
    for reason in reasons:
        bench.desk.put(partial(keep, bench, reason), Pace.SOON)
    bench.thread.run(lambda: len(bench.link.frames) == BATCH)
    assert bench.rows() == reasons


def test_what_comes_soon_while_a_batch_is_decided_is_gathered_after_it(
    bench: Bench,
) -> None:
    bench.desk.put(partial(keep, bench, "a"))
    bench.thread.run(lambda: bool(bench.rows()))
    bench.desk.put(partial(keep, bench, "b"), Pace.SOON)
    bench.thread.run(lambda: bool(bench.link.frames))
    assert len(bench.thread.later) == 1
    bench.thread.pass_time()
    bench.settle()
    assert bench.rows() == ["a", "b"]


def test_what_a_work_puts_comes_after_the_answers_whoever_waits(bench: Bench) -> None:
    said: list[int] = []

    def work(desk: Desk) -> None:
        keep(bench, "a", desk)
        bench.desk.put(lambda _: said.append(len(bench.link.frames)))

    bench.desk.put(work)
    bench.desk.put(partial(keep, bench, "b"), Pace.LATER)
    bench.settle()
    assert said == [2]


def test_nothing_is_said_before_it_is_durable(bench: Bench) -> None:
    bench.desk.put(partial(keep, bench, "a"))
    bench.thread.run(lambda: bool(bench.rows()))
    # It is committed. The process might end here: the row is there, the word is not.
    assert bench.link.frames == []
    bench.settle()
    assert bench.link.frames == [b"a"]


def test_what_is_lost_answers_nobody_and_wakes_no_loop(bench: Bench) -> None:
    limit = page_limit(bench.system.log)
    lost: list[bool] = []
    bench.desk.desk.on_lost = lambda: lost.append(True)
    after: list[bool] = []

    def read(desk: Desk) -> None:
        desk.reading("z", Reading(EVSE, desk.now, 1_000, 5))
        desk.after(lambda: after.append(True))

    limit(0)
    bench.desk.put(read)
    for n in range(100):
        bench.desk.put(partial(keep, bench, "x" * 100 + str(n)))
    bench.settle()
    assert lost
    said = [frame.decode() for frame in bench.link.frames]
    assert said == bench.rows()
    assert len(said) < 100
    limit(100_000)
    bench.desk.put(partial(keep, bench, "b"))
    bench.settle()
    assert bench.rows()[-1] == "b"
    assert bench.link.frames[-1] == b"b"


def test_readings_reach_the_loop_when_they_are_kept(bench: Bench) -> None:
    reading = Reading(EVSE, bench.system.clock.now(), 1_000, 5)
    bench.desk.put(lambda desk: desk.reading("z", reading))
    bench.settle()
    ((zone_id, _, readings),) = bench.readings
    assert (zone_id, readings) == ("z", [reading])


def test_an_error_of_one_work_leaves_the_others_alone(bench: Bench) -> None:
    def fail(desk: Desk) -> None:
        raise KeyError("a mistake")

    bench.desk.put(partial(keep, bench, "a"))
    bench.desk.put(fail)
    bench.desk.put(partial(keep, bench, "b"))
    bench.settle()
    assert bench.link.frames == [b"a", b"b"]


def test_a_work_that_fails_half_way_leaves_nothing(bench: Bench) -> None:
    reading = Reading(EVSE, bench.system.clock.now(), 1_000, 5)
    done: list[str] = []

    def half(desk: Desk) -> None:
        keep(bench, "half", desk)
        desk.reading("z", reading)
        desk.close(bench.link, 1000, "half")
        desk.after(lambda: done.append("half"))
        raise KeyError("a mistake")

    bench.desk.put(partial(keep, bench, "a"))
    bench.desk.put(half)
    bench.desk.put(lambda desk: desk.reading("z", reading))
    bench.desk.put(partial(keep, bench, "b"))
    bench.settle()
    assert bench.rows() == ["a", "b"]
    assert bench.link.frames == [b"a", b"b"]
    assert (bench.link.closed, done) == ([], [])
    assert [each[2] for each in bench.readings] == [[reading]]


def test_of_several_things_of_a_work_only_the_one_that_fails_is_undone(
    bench: Bench,
) -> None:
    def fail(desk: Desk) -> None:
        keep(bench, "half", desk)
        raise KeyError("a mistake")

    def several(desk: Desk) -> None:
        keep(bench, "before", desk)
        desk.alone("one", lambda: fail(desk))
        keep(bench, "after", desk)

    bench.desk.put(several)
    bench.settle()
    assert bench.rows() == ["before", "after"]
    assert bench.link.frames == [b"before", b"after"]


def test_other_writers_come_between_batches(bench: Bench) -> None:
    for n in range(2 * BATCH):
        bench.desk.put(partial(keep, bench, str(n)))
    bench.thread.run(lambda: bool(bench.rows()))
    event = t.StationBlocked(station_id="S1", reason="other")
    bench.system.log.append(Batch(appends=(Append("desk", (event,), 0),)))
    bench.settle()
    assert bench.rows().index("other") <= BATCH


def test_a_closed_store_answers_nobody(tmp_path: Path) -> None:
    with open_system(tmp_path) as system:
        bench = Bench(system)
    lost: list[bool] = []
    bench.desk.desk.on_lost = lambda: lost.append(True)
    bench.desk.put(partial(keep, bench, "a"))
    bench.thread.run(lambda: bool(lost))
    assert bench.link.frames == []


def test_a_work_put_by_a_work_is_done_after_what_that_one_says(tmp_path: Path) -> None:
    with open_simulation(tmp_path, SimulatedClock(0), SeededIds(1)) as system:
        link, order = Told(), list[str]()
        desk = InlineDesk(Desk(system, lambda *told: None))

        def first(given: Desk) -> None:
            given.send(link, b"first")
            desk.put(lambda _: order.append(f"second after {len(link.frames)}"))

        desk.put(first)
        assert order == ["second after 1"]
