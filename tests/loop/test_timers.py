"""A timer that cannot run is shown, and ends neither the loops nor other timers."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain.loop.runner import LoopRunner
from domain.model import session_events as s
from domain.model.values import DAY
from domain.ports import Recorded
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from optimizer import Planner
from tests.use_cases.small_site import NINE, Site, opened

WASH = s.OtherStarted(session_id="", service="washing")
WASHED = s.OtherEnded(session_id="", service="washing")


class BrokenLog:
    """A log in which one stream cannot be read."""

    def __init__(self, log: Any, stream: str) -> None:
        self._log = log
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read_stream(self, stream: str, *, after_version: int = 0) -> Sequence[Recorded]:
        if stream == self._stream:
            raise RecursionError("too deep")
        found: Sequence[Recorded] = self._log.read_stream(
            stream, after_version=after_version
        )
        return found


class Ticks:
    """A feed in which nothing comes."""

    def wait_for(self, position: int, timeout_s: float) -> bool:
        time.sleep(0.001)
        return False


@pytest.fixture
def broken(tmp_path: Path) -> Any:
    """A site with two idle sessions, of which the first cannot be read."""
    with opened(tmp_path / "store", threaded=True) as system:
        site = Site(system)
        bad, good = (site.add(WASHED, site.add(WASH)) for _ in range(2))
        log = BrokenLog(system.log, f"session-{bad}")
        yield msgspec.structs.replace(system, log=log), bad, good, site


def test_a_broken_timer_ends_no_loop(broken: Any) -> None:
    system, bad, good, site = broken
    system.clock.at = NINE + DAY
    runner = LoopRunner(
        system, Ticks(), lambda: Planner().plan, run_due_timers, delivers=False
    )
    runner.start()
    try:
        until = time.monotonic() + 10
        while not site.session(good).closed and time.monotonic() < until:
            time.sleep(0.01)
        assert site.session(good).closed
        metrics = runner.metrics()
        assert (metrics["running"], metrics["failed_timers"]) == (1, 1)
        assert runner.trouble == (
            f"timer close of session-{bad} failed: RecursionError: too deep"
        )
    finally:
        runner.close()


def test_where_nobody_keeps_what_failed_the_error_is_raised(broken: Any) -> None:
    with pytest.raises(RecursionError, match="too deep"):
        run_due_timers(broken[0], NINE + DAY)
