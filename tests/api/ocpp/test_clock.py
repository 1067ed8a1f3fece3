from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ocpp.clock import forget_clock, measure_clock, our_time
from api.ocpp.peers import Peer
from domain.model import station_events as t
from domain.model.values import DAY, HOUR, MINUTE, SECOND
from tests.api.ocpp.office import Office, open_office


class Told:
    """A station whose clock is off, and its messages."""

    def __init__(self, office: Office) -> None:
        self.office = office
        office.register("S1")
        self.peer: Peer = office.gateway.peers.by_id["S1"]

    def message(self, off: int, *, after: int = 0, is_offline: bool = False) -> None:
        """Let time pass; then a message comes whose instant is ``off`` from ours."""
        self.office.clock.at += after
        measure_clock(
            self.office.desk.desk,
            self.peer,
            self.office.clock.at + off,
            is_offline=is_offline,
        )

    def recorded(self) -> list[int]:
        events = self.office.events(t.StationClockMeasured)
        return [e.offset_ms for e in events if isinstance(e, t.StationClockMeasured)]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with open_office(tmp_path) as office:
        yield Told(office)


def test_a_clock_ahead_is_known_from_the_first_message(told: Told) -> None:
    told.message(90 * SECOND)
    assert told.peer.clock_offset == 90 * SECOND
    assert told.recorded() == [90_000]


def test_a_clock_behind_is_known_when_three_messages_agree(told: Told) -> None:
    told.message(-90 * SECOND)
    told.message(-91 * SECOND, after=30 * SECOND)
    assert told.peer.clock_offset is None
    told.message(-90 * SECOND, after=30 * SECOND)
    assert told.peer.clock_offset == -90 * SECOND


def test_an_emptied_queue_is_no_clock(told: Told) -> None:
    for minutes in range(30, 0, -1):
        told.message(-minutes * MINUTE, after=SECOND // 10)
    assert told.peer.clock_offset is None
    for _ in range(3):
        told.message(-5 * MINUTE)
    assert told.peer.clock_offset is None
    told.message(0, after=SECOND)
    assert told.peer.clock_offset == 0


def test_a_delayed_message_changes_nothing(told: Told) -> None:
    told.message(-SECOND // 2)
    told.message(-20 * SECOND, after=MINUTE)
    told.message(-HOUR, after=MINUTE)
    told.message(-HOUR, is_offline=True)
    assert told.peer.clock_offset == -SECOND // 2
    assert told.recorded() == [-500]


def test_a_clock_that_was_set_back_is_seen(told: Told) -> None:
    told.message(90 * SECOND)
    for _ in range(3):
        told.message(0, after=30 * SECOND)
    assert told.peer.clock_offset == 0
    assert told.recorded() == [90_000, 0]


def test_a_change_within_a_second_is_not_recorded(told: Told) -> None:
    for off in (0, 400_000, 900_000, SECOND + 1):
        told.message(off, after=30 * SECOND)
    assert told.recorded() == [0, 1_000]


def test_our_time_corrects_what_is_beyond_the_tolerance(told: Told) -> None:
    assert our_time(told.peer, 100) == 100
    told.message(4 * SECOND)
    assert our_time(told.peer, 100) == 100
    told.message(90 * SECOND)
    assert our_time(told.peer, 100) == 100 - 90 * SECOND
    forget_clock(told.peer)
    assert our_time(told.peer, 100) == 100


def test_what_is_centuries_off_is_no_clock(told: Told) -> None:
    told.message(7_000 * 366 * DAY)
    assert told.peer.clock_offset is None
    assert told.recorded() == []
