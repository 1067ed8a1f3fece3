"""Decisions, facts, claims, fence, command register and timers of the ledger."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from domain.errors import (
    ChainBroken,
    ClaimTaken,
    Conflict,
    Fenced,
    RequestMismatch,
    StoreError,
    StoreFull,
    StoreInUse,
    UnknownSchema,
)
from domain.model.plan_events import LogOpened
from domain.model.session_events import ParkingEnded, ParkingStarted
from domain.model.values import Event
from domain.ports import Append, Batch, Claim, Clock, Fence, Ids, Timer
from domain.store import chain
from domain.store.ledger import ZONE_EPOCH, Ledger

AT = 1_571_616_000_000_000


def started(session: str = "1") -> Event:
    return ParkingStarted(session_id=session, place="B2")


def decision(stream: str, expected: int, *, events: int = 1) -> Append:
    return Append(stream, (started(),) * events, AT, expected)


def fact(stream: str, *, events: int = 1) -> Append:
    return Append(stream, (ParkingEnded(session_id="1"),) * events, AT)


def batch(*appends: Append, **rest: object) -> Batch:
    return Batch(appends=appends, actor="a", **rest)  # type: ignore[arg-type]


def versions(ledger: Ledger, stream: str) -> list[tuple[int, int]]:
    return [(r.version, r.decision_version) for r in ledger.read_stream(stream)]


def test_positions_begin_at_1_after_the_opening_row(ledger: Ledger) -> None:
    assert ledger.last_position() == 0
    answer = ledger.append(batch(decision("session-1", 0, events=2), fact("evse-1")))
    assert (answer.first, answer.count, answer.repeated) == (1, 3, False)
    assert [r.position for r in ledger.read(after=0, limit=9)] == [1, 2, 3]
    (opening,) = ledger.read(after=-1, limit=1)
    assert isinstance(opening.event, LogOpened)
    assert opening.event.log_id == ledger.log_id == "node-1"


def test_what_is_read_is_what_was_appended(ledger: Ledger) -> None:
    ledger.append(
        batch(decision("s", 0), command_id="c", correlation_id="k", causation=7)
    )
    (row,) = ledger.read_stream("s")
    assert row.event == started()
    assert (row.tenant, row.stream, row.type, row.schema) == (
        "main", "s", "parking.started", 1,
    )  # fmt: skip
    assert (row.command_id, row.correlation_id, row.causation, row.actor) == (
        "c", "k", 7, "a",
    )  # fmt: skip
    assert row.is_decision


def test_reading_filters_by_type_and_version(ledger: Ledger) -> None:
    ledger.append(batch(decision("s", 0), fact("s"), fact("t")))
    ended = ledger.read(after=0, limit=9, types=["parking.ended"])
    assert [r.position for r in ended] == [2, 3]
    assert [r.version for r in ledger.read_stream("s", after_version=1)] == [2]
    assert [r.position for r in ledger.read(after=0, limit=2)] == [1, 2]


def test_a_decision_conflicts_with_a_decision_it_has_not_seen(ledger: Ledger) -> None:
    ledger.append(batch(decision("s", 0, events=2)))
    for stale in (0, 1, 3):
        with pytest.raises(Conflict, match="last decided in version 2"):
            ledger.append(batch(decision("s", stale)))
    ledger.append(batch(decision("s", 2)))
    assert versions(ledger, "s") == [(1, 1), (2, 2), (3, 3)]


def test_facts_conflict_with_nothing(ledger: Ledger) -> None:
    ledger.append(batch(fact("s")))
    ledger.append(batch(decision("s", 0)))
    ledger.append(batch(fact("s", events=2)))
    ledger.append(batch(decision("s", 2)))
    assert versions(ledger, "s") == [(1, 0), (2, 2), (3, 2), (4, 2), (5, 5)]


def test_a_batch_sees_its_own_appends(ledger: Ledger) -> None:
    ledger.append(batch(decision("s", 0), fact("s"), decision("s", 1)))
    assert versions(ledger, "s") == [(1, 1), (2, 1), (3, 3)]


def test_a_failed_batch_leaves_nothing(ledger: Ledger) -> None:
    claim, timer = Claim("occupant", "evse-1", "1"), Timer(AT, "s", "close")
    with pytest.raises(Conflict):
        ledger.append(
            batch(
                decision("s", 0), decision("t", 4),
                command_id="c", claims=(claim,), timers=(timer,),
            )
        )  # fmt: skip
    assert ledger.last_position() == 0
    assert ledger.owner("occupant", "evse-1") is None
    assert ledger.next_timer_at() is None
    again = ledger.append(batch(decision("s", 0), command_id="c"))
    assert (again.first, again.repeated) == (1, False)


def test_tenants_have_streams_claims_and_commands_of_their_own(ledger: Ledger) -> None:
    for tenant in ("main", "other"):
        claim = Claim("occupant", "evse-1", tenant)
        answer = ledger.append(
            batch(decision("s", 0), command_id="c", claims=(claim,), tenant=tenant)
        )
        assert not answer.repeated
        assert ledger.owner("occupant", "evse-1", tenant=tenant) == tenant
    assert len(ledger.read_stream("s", tenant="other")) == 1


def test_a_claim_belongs_to_its_first_owner_until_released(ledger: Ledger) -> None:
    mine, theirs = Claim("occupant", "e", "1"), Claim("occupant", "e", "2")
    ledger.append(batch(claims=(mine,)))
    ledger.append(batch(claims=(mine,)))
    with pytest.raises(ClaimTaken, match="belongs to '1'"):
        ledger.append(batch(claims=(theirs,)))
    ledger.append(batch(releases=(theirs,)))
    assert ledger.owner("occupant", "e") == "1"
    ledger.append(batch(releases=(mine,), claims=(theirs,)))
    assert ledger.owner("occupant", "e") == "2"


def test_claims_are_listed_by_kind_and_prefix(ledger: Ledger) -> None:
    keys = ("a/1", "a/2", "b/1", "a%")
    ledger.append(batch(claims=tuple(Claim("ref", key, "x") for key in keys)))
    assert [c.key for c in ledger.claims("ref", "a/")] == ["a/1", "a/2"]
    assert [c.key for c in ledger.claims("ref")] == ["a%", "a/1", "a/2", "b/1"]
    assert ledger.claims("occupant") == []


def test_only_the_epoch_in_force_appends(ledger: Ledger) -> None:
    old = Fence(ZONE_EPOCH, "z", ledger.raise_epoch("z"))
    ledger.append(batch(decision("plan-z", 0), fence=old))
    new = Fence(ZONE_EPOCH, "z", ledger.raise_epoch("z"))
    with pytest.raises(Fenced, match=f"belongs to '{new.owner}'"):
        ledger.append(batch(decision("plan-z", 1), fence=old))
    ledger.append(batch(decision("plan-z", 1), fence=new))
    assert ledger.owner(ZONE_EPOCH, "z") == new.owner != old.owner


def test_a_command_repeats_with_its_first_answer(ledger: Ledger) -> None:
    command = batch(decision("s", 0), command_id="c", request=b"one")
    assert ledger.answered(command) is None
    first = ledger.append(command)
    ledger.append(batch(fact("t")))
    repeated = ledger.append(command)
    assert (repeated.first, repeated.count) == (first.first, first.count)
    assert repeated.repeated
    assert ledger.answered(command) == repeated
    assert ledger.last_position() == 2


def test_a_command_id_for_another_request_is_refused(ledger: Ledger) -> None:
    ledger.append(batch(decision("s", 0), command_id="c", request=b"one"))
    other = batch(decision("s", 1), command_id="c", request=b"two")
    with pytest.raises(RequestMismatch, match="'c'"):
        ledger.append(other)
    with pytest.raises(RequestMismatch):
        ledger.answered(other)
    assert ledger.last_position() == 1


def test_timers_are_kept_by_due_instant_until_done(ledger: Ledger) -> None:
    late, early = Timer(AT + 9, "s", "close"), Timer(AT + 5, "t", "close", "k")
    ledger.append(batch(timers=(late, early)))
    ledger.append(batch(timers=(late,)))
    assert ledger.next_timer_at() == AT + 5
    assert ledger.due_timers(AT + 4) == []
    assert ledger.due_timers(AT + 9) == [early, late]
    ledger.append(batch(timers_done=(early,)))
    assert ledger.due_timers(AT + 9) == [late]
    assert ledger.next_timer_at(tenant="other") is None


def test_recorded_at_never_decreases(ledger: Ledger, clock: Clock) -> None:
    for at in (AT + 10, AT + 5, AT + 20):
        clock.at = at  # type: ignore[attr-defined]
        ledger.append(batch(fact("s")))
    recorded = [r.recorded_at for r in ledger.read(after=0, limit=9)]
    assert recorded == [AT + 10, AT + 10, AT + 20]


def test_a_log_goes_on_where_it_ended(tmp_path: Path, clock: Clock, ids: Ids) -> None:
    def opened() -> Ledger:
        return Ledger(tmp_path / "l.sqlite", clock=clock, ids=ids)

    with opened() as before:
        before.append(batch(decision("s", 0), fact("s")))
        log_id = before.log_id
    with opened() as after:
        assert after.log_id == log_id
        with pytest.raises(Conflict):
            after.append(batch(decision("s", 0)))
        assert after.append(batch(decision("s", 1))).first == 3


def test_one_process_writes(
    ledger: Ledger, tmp_path: Path, clock: Clock, ids: Ids
) -> None:
    with pytest.raises(StoreInUse):
        Ledger(tmp_path / "ledger.sqlite", clock=clock, ids=ids)
    ledger.close()
    Ledger(tmp_path / "ledger.sqlite", clock=clock, ids=ids).close()


def test_a_full_disk_leaves_nothing_half_done(ledger: Ledger) -> None:
    ledger.append(batch(decision("s", 0), command_id="kept"))
    ledger.flush()
    limit = _limit_pages(ledger)
    limit(0)
    many = batch(
        fact("s", events=2_000), command_id="c", claims=(Claim("k", "y", "o"),)
    )
    with pytest.raises(StoreFull):
        ledger.append(many)
    assert ledger.last_position() == 1
    assert len(ledger.read_stream("s")) == 1
    assert ledger.owner("k", "y") is None
    limit(1_000_000)
    assert ledger.append(many).first == 2
    ledger.flush()
    assert ledger.append(batch(decision("s", 1))).first == 2_002


def _limit_pages(ledger: Ledger) -> Callable[[int], None]:
    execute = ledger._connection.execute

    def limit(more: int) -> None:
        (pages,) = execute("PRAGMA page_count").fetchone()
        execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

    return limit


@pytest.mark.parametrize("flushed", [True, False])
def test_an_interrupt_leaves_nothing_half_done(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, flushed: bool
) -> None:
    ledger.append(batch(decision("s", 0)))
    if flushed:
        ledger.flush()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ledger.append(batch(decision("s", 1), fact("t")))
    monkeypatch.undo()
    assert ledger.last_position() == 1
    assert ledger.append(batch(decision("s", 1))).first == 2


def test_a_type_this_release_does_not_know_is_named(ledger: Ledger) -> None:
    ledger.append(batch(fact("s")))
    ledger._connection.execute("UPDATE rows SET type = 'x.y' WHERE position = 1")
    with pytest.raises(UnknownSchema, match=r"x\.y"):
        ledger.read_stream("s")


def test_a_file_that_is_no_ledger_is_refused(
    tmp_path: Path, clock: Clock, ids: Ids
) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"no SQLite at all" * 99)
    with pytest.raises(
        StoreError, match=r"opening .*l\.sqlite: file is not a database"
    ):
        Ledger(path, clock=clock, ids=ids)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="no such table: rows"):
        Ledger(path, clock=clock, ids=ids)


@pytest.mark.parametrize(
    ("changed", "error", "reason"),
    [
        ("DELETE FROM rows WHERE position = 0", ChainBroken, "no row 0"),
        ("ALTER TABLE guards DROP COLUMN digest", UnknownSchema, "another release"),
        ("UPDATE rows SET type = 'x' WHERE position = 0", UnknownSchema, "'x'"),
        ("UPDATE rows SET schema = 2 WHERE position = 0", UnknownSchema, "version 2"),
    ],
)
def test_a_log_of_another_kind_is_refused(
    ledger: Ledger,
    tmp_path: Path,
    clock: Clock,
    ids: Ids,
    changed: str,
    error: type[StoreError],
    reason: str,
) -> None:
    ledger.close()
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(changed)
    with pytest.raises(error, match=reason):
        Ledger(path, clock=clock, ids=ids)


def test_a_log_of_another_format_is_refused(
    tmp_path: Path, clock: Clock, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "FORMAT", 2)
    Ledger(tmp_path / "l.sqlite", clock=clock, ids=ids).close()
    monkeypatch.undo()
    with pytest.raises(UnknownSchema, match="format 2; this release reads 1"):
        Ledger(tmp_path / "l.sqlite", clock=clock, ids=ids)


@pytest.mark.parametrize("is_first", [True, False])
def test_what_was_appended_since_the_mark_is_undone(
    ledger: Ledger, is_first: bool
) -> None:
    ledger.append(batch(decision("session-1", 0)))
    if is_first:
        ledger.flush()
    claim = Claim("place", "B2", "1")
    ledger.mark()
    ledger.append(batch(decision("session-1", 1), claims=(claim,), command_id="c"))
    with pytest.raises(Conflict):
        ledger.append(batch(decision("session-1", 0)))
    ledger.append(batch(fact("evse-1")))
    assert ledger.undo() == {"session-1", "evse-1"}
    assert ledger.undo() == set()
    assert (ledger.last_position(), ledger.owner("place", "B2")) == (1, None)
    assert not ledger.append(batch(decision("session-1", 1), command_id="c")).repeated
    ledger.unmark()
    ledger.flush()
    assert versions(ledger, "session-1") == [(1, 1), (2, 2)]
    assert versions(ledger, "evse-1") == []


def test_what_was_appended_before_the_mark_or_after_its_end_stays(
    ledger: Ledger,
) -> None:
    ledger.mark()
    ledger.append(batch(fact("evse-1")))
    ledger.mark()
    ledger.append(batch(fact("evse-2")))
    ledger.undo()
    ledger.append(batch(fact("evse-3")))
    ledger.unmark()
    ledger.append(batch(fact("evse-4")))
    assert ledger.undo() == set()
    ledger.flush()
    rows = ledger.read(after=0, limit=9)
    assert [row.stream for row in rows] == ["evse-1", "evse-3", "evse-4"]


def test_a_batch_that_fails_first_since_the_mark_takes_nothing_else_down(
    ledger: Ledger,
) -> None:
    ledger.append(batch(decision("session-1", 0)))
    ledger.mark()
    with pytest.raises(Conflict):
        ledger.append(batch(fact("evse-1"), decision("session-1", 0)))
    ledger.append(batch(fact("evse-2")))
    ledger.flush()
    assert [row.stream for row in ledger.read(after=0, limit=9)] == [
        "session-1",
        "evse-2",
    ]
