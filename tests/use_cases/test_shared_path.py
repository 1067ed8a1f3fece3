"""The path every use case shares: fold what is new, tell requests apart, retry."""

import msgspec
import pytest

from domain.errors import Conflict, Fenced, Refused
from domain.model import session_events as s
from domain.model.values import Sealed
from domain.ports import Answer, Batch, Fence
from domain.use_cases import shared_path
from domain.use_cases.shared_path import load_session, record, request_of
from tests.use_cases.small_site import Site, by


class Open(msgspec.Struct, frozen=True):
    name: str


class Shut(msgspec.Struct, frozen=True):
    name: str


class Noted(msgspec.Struct, frozen=True):
    name: str
    note: Sealed | None = None


def test_requests_of_the_same_fields_differ_by_what_they_are() -> None:
    assert request_of(Open("door")) == request_of(Open("door"))
    assert request_of(Open("door")) != request_of(Shut("door"))
    assert request_of(Open("door")) != request_of(Open("gate"))


def test_when_it_happened_is_a_part_of_a_request_that_tells_it() -> None:
    assert request_of(Open("door"), 5) == request_of(Open("door"), 5)
    assert request_of(Open("door"), 5) != request_of(Open("door"), 6)
    assert request_of(Open("door"), 5) != request_of(Open("door"))


def test_what_was_sealed_anew_is_the_same_request() -> None:
    once, again = (Noted("door", Sealed("k", nonce, nonce)) for nonce in (b"1", b"2"))
    assert request_of(once) == request_of(again)
    assert request_of(once) != request_of(Noted("gate", once.note))


def test_a_command_recorded_meanwhile_is_answered_and_not_refused(site: Site) -> None:
    """Two threads with one command: the second decides after the first recorded."""
    same = by(command_id="same")

    def decide_again() -> Batch:
        record(site.system, same, Open("door"), lambda: Batch(appends=()))
        raise Refused("the door is open already")

    answer = record(site.system, same, Open("door"), decide_again)
    assert answer.repeated


def test_folding_again_reads_only_what_is_new(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""))
    load_session(site.system, session_id)
    read: list[int] = []

    class Watched:
        def read_stream(self, stream: str, *, after_version: int = 0) -> object:
            rows = site.log.read_stream(stream, after_version=after_version)
            read.append(len(rows))
            return rows

    watched = site.with_log(Watched())
    assert load_session(watched.system, session_id).parking == 1
    site.log.append(Batch(appends=()))
    site.add(s.ParkingEnded(session_id=""), session_id)
    assert load_session(watched.system, session_id).parking == 0
    assert read[0] == 0
    assert sum(read) <= 1


def test_states_that_were_forgotten_are_folded_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_path, "_FOLDS_KEPT", 2)
    session_ids = [site.add(s.ParkingStarted(session_id="")) for _ in range(5)]
    for session_id in session_ids:
        assert load_session(site.system, session_id).parking == 1
    assert len(site.system.folds) <= 2


@pytest.mark.parametrize(("error", "tries"), [(Conflict, 8), (Fenced, 1)])
def test_a_conflict_is_decided_again_a_few_times(
    site: Site, error: type[Conflict], tries: int
) -> None:
    """But who is fenced off has lost for good."""
    tried = 0

    def decide() -> Batch:
        nonlocal tried
        tried += 1
        return Batch(appends=(), fence=Fence("zone-epoch", "garage", "9"))

    class Contended:
        def append(self, batch: Batch) -> Answer:
            raise error("somebody else was first")

    with pytest.raises(error, match="somebody else was first"):
        record(site.with_log(Contended()).system, by(), Open("door"), decide)
    assert tried == tries
