"""S6: SDR information as it grows, numbered without gaps, for whom it concerns."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.sdr import numbered
from domain.model.sdr_information import information_of
from domain.model.values import MINUTE, Current, Event
from projections.runner import Runner
from projections.scope import Scope
from projections.sdr import START, Sdr, SdrFold, SdrIncrement
from tests.projections.small_site import DAWN, EVSES, ZONE, Site, Told, commissioned

SESSIONS = ("a", "b", "c")


def told(session_id: str, at: int, event: Event) -> Told:
    return Told(ids.session_stream(session_id), at, event)


def opened(session_id: str, party: str = "cso") -> Told:
    return told(session_id, DAWN, s.SessionOpened(session_id=session_id, party=party))


def bound(session_id: str, zone_id: str = ZONE, evse_id: str = EVSES[0]) -> Told:
    event = s.EvseBound(
        session_id=session_id, evse_id=evse_id, station_id="s1", zone_id=zone_id
    )
    return told(session_id, DAWN + 1, event)


def parked(session_id: str, place: str = "P1") -> Told:
    event = s.ParkingStarted(session_id=session_id, place=place)
    return told(session_id, DAWN + 2, event)


def reference(session_id: str, party: str) -> Told:
    event = s.ReferenceBound(
        session_id=session_id, party=party, kind="booking", reference="1"
    )
    return told(session_id, DAWN + 3, event)


def merge(gone: str, kept: str, *parties: str) -> list[Told]:
    into = s.MergedInto(session_id=gone, into_session_id=kept)
    taken = s.MergedFrom(session_id=kept, from_session_id=gone, parties=parties)
    return [told(gone, DAWN + 4, into), told(kept, DAWN + 4, taken)]


def closed(session_id: str) -> Told:
    return told(session_id, DAWN + 5, s.SessionClosed(session_id=session_id, reason=""))


class Followed:
    """A site's log, followed in batches of some rows, and its queries."""

    def __init__(self, site: Site, folder: Path, batch: int = 100) -> None:
        self.site = site
        self.runner = Runner(site.log, folder, (SdrFold,), batch=batch)
        self.sdr = Sdr(folder)

    def tell(self, *events: Told) -> None:
        self.site.tell(events)
        self.runner.catch_up()

    def numbers(self, session_id: str) -> list[int]:
        view = self.sdr.information(session_id)
        assert view is not None
        return [each.sequence for each in view.increments]

    def feed(self, scope: Scope | None, limit: int = 2) -> list[SdrIncrement]:
        """Return all that a reader of a scope gets, page by page."""
        found: list[SdrIncrement] = []
        page = self.sdr.page(scope, after=START, limit=limit)
        while not page.is_last:
            found += page.items
            page = self.sdr.page(scope, after=page.last, limit=limit)
        return found + page.items

    def close(self) -> None:
        self.sdr.reader.close()
        self.runner.close()


@contextmanager
def following(folder: Path, batch: int = 100) -> Iterator[Followed]:
    site = Site(folder / "store")
    followed = Followed(site, folder / "projections", batch)
    yield followed
    followed.close()
    site.close()


@pytest.fixture
def followed(tmp_path: Path) -> Iterator[Followed]:
    with following(tmp_path) as followed:
        yield followed


def kinds(session_id: str) -> st.SearchStrategy[list[Told]]:
    return st.sampled_from(
        [
            [parked(session_id)],
            [bound(session_id)],
            [reference(session_id, "parkco")],
            [closed(session_id)],
            [told(session_id, DAWN, s.TransferPaused(session_id=session_id, by="ev"))],
        ]
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    """Return what happens in three sessions, with merges among those that are left."""
    events = [opened(session_id) for session_id in SESSIONS]
    left, shut = list(SESSIONS), set[str]()
    for _ in range(draw(st.integers(0, 25))):
        if len(left) > 1 and draw(st.integers(0, 5)) == 0:
            gone, kept = draw(st.permutations(left))[:2]
            if not {gone, kept} & shut:
                left.remove(gone)
                parties = draw(st.sampled_from([(), ("parkco",)]))
                events += merge(gone, kept, *parties)
            continue
        # Facts may still come for a session that was merged or closed.
        events += draw(kinds(draw(st.sampled_from(SESSIONS))))
        shut |= {e.event.session_id for e in events if is_closing(e)}  # type: ignore[attr-defined]
    return events


def is_closing(event: Told) -> bool:
    return isinstance(event.event, s.SessionClosed)


@settings(max_examples=60)
@given(events=histories(), batch=st.integers(1, 7))
def test_what_grows_is_what_a_look_at_the_whole_log_gives(
    events: list[Told], batch: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        following(Path(folder), batch) as followed,
    ):
        given_before: dict[str, list[int]] = {name: [] for name in SESSIONS}
        for event in events:
            followed.tell(event)
            for name in SESSIONS:
                view = followed.sdr.information(name)
                if view is None or view.information.session_id != name:
                    continue
                positions = [each.position for each in view.increments]
                assert positions[: len(given_before[name])] == given_before[name]
                given_before[name] = positions
        rows = followed.site.log.read(after=0, limit=1_000)
        for name in SESSIONS:
            view = followed.sdr.information(name)
            assert view is not None
            survivor = view.information.session_id
            scratch = numbered(rows, survivor)
            assert list(view.increments) == scratch
            assert [i.sequence for i in scratch] == list(range(1, len(scratch) + 1))
            assert view.information == information_of(
                survivor, scratch, lambda *_: None
            )


@settings(max_examples=30)
@given(events=histories(), limit=st.integers(1, 9))
def test_a_reader_of_a_scope_gets_every_increment_of_its_sessions(
    events: list[Told], limit: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, following(Path(folder)) as followed:
        followed.tell(*events)
        for scope in (
            None,
            Scope(party="cso"),
            Scope(party="parkco"),
            Scope(zones=frozenset({ZONE})),
            Scope(stations=frozenset({"s1"}), party="parkco"),
        ):
            got = {
                (item.session_id, item.increment.sequence)
                for item in followed.feed(scope, limit)
            }
            for name in SESSIONS:
                view = followed.sdr.information(name, scope)
                if view is None:
                    assert name not in {session_id for session_id, _ in got}
                elif view.information.session_id == name:
                    want = {(name, i.sequence) for i in view.increments}
                    assert {key for key in got if key[0] == name} == want


def test_a_merged_sessions_increments_are_numbered_next(followed: Followed) -> None:
    followed.tell(opened("a"), parked("a"), opened("b"), parked("b", "P2"))
    assert followed.numbers("a") == [1, 2]
    followed.tell(*merge("a", "b"))
    view = followed.sdr.information("a")
    assert view is not None
    assert view.information.session_id == "b"
    assert [i.type for i in view.increments] == [
        "session.opened",
        "parking.started",
        "session.opened",
        "parking.started",
        "session.merged_into",
        "session.merged_from",
    ]
    assert [p.description for p in view.information.parts] == ["P2", "P1"]
    followed.tell(parked("a", "late"))
    assert followed.numbers("b") == [1, 2, 3, 4, 5, 6, 7]


def test_who_follows_by_a_cursor_gets_what_came_before_it_was_theirs(
    followed: Followed,
) -> None:
    parkco = Scope(party="parkco")
    followed.tell(opened("a"), parked("a"))
    page = followed.sdr.page(parkco, after=START, limit=9)
    assert (page.items, page.last, page.is_last) == ([], START, True)
    followed.tell(opened("b", "parkco"))
    page = followed.sdr.page(parkco, after=START, limit=9)
    assert [item.session_id for item in page.items] == ["b"]
    followed.tell(reference("a", "parkco"))
    page = followed.sdr.page(parkco, after=page.last, limit=9)
    assert [item.increment.sequence for item in page.items] == [1, 2, 3]
    assert {item.session_id for item in page.items} == {"a"}


def test_who_opened_a_session_keeps_its_information_when_it_is_merged(
    followed: Followed,
) -> None:
    """Also where no reference of its own goes with it."""
    solo = Scope(party="solo")
    followed.tell(opened("a", "solo"), parked("a"), opened("b"))
    before = followed.sdr.page(solo, after=START, limit=9)
    followed.tell(*merge("a", "b", "solo"), parked("b", "P2"))
    for session_id in ("a", "b"):
        view = followed.sdr.information(session_id, solo)
        assert view is not None
        assert view.information.session_id == "b"
    behind = followed.sdr.page(solo, after=before.last, limit=99).items
    told_of_b = {i.increment.sequence for i in behind if i.session_id == "b"}
    assert told_of_b == set(followed.numbers("b"))


def test_a_session_that_moved_to_another_zone_is_seen_there_only(
    followed: Followed,
) -> None:
    here, there = Scope(zones=frozenset({ZONE})), Scope(zones=frozenset({"yard"}))
    followed.tell(opened("a"), bound("a"))
    assert len(followed.feed(here)) == 2
    followed.tell(bound("a", "yard"))
    assert followed.feed(here) == []
    assert followed.sdr.information("a", here) is None
    assert len(followed.feed(there)) == 3


def test_an_evse_is_shown_as_it_was_when_the_session_came(followed: Followed) -> None:
    stream = ids.evse_stream(EVSES[0])
    data = next(t.event for t in commissioned() if t.stream == stream)
    assert isinstance(data, z.EvseCommissioned)
    limits = z.EvseLimitsChanged(evse_id=EVSES[0], max_w=3_000, floor_w=1_248)
    followed.tell(*commissioned(), opened("a"), bound("a"))
    followed.tell(Told(stream, DAWN + MINUTE, limits))
    followed.tell(opened("b"), bound("b"))
    first, second = followed.sdr.information("a"), followed.sdr.information("b")
    assert first is not None
    assert second is not None
    (before,), (after,) = first.information.places, second.information.places
    assert (before.current, before.phases, before.max_w) == (Current.AC, 1, 6_656)
    assert after.max_w == 3_000


def test_receipts_only_grow(followed: Followed) -> None:
    followed.tell(opened("a"), parked("a"))
    for sequence in (2, 1):
        receipt = s.SdrReceived(session_id="a", by="cso", sequence=sequence)
        followed.tell(told("a", DAWN, receipt))
    view = followed.sdr.information("a", since=1)
    assert view is not None
    assert view.received == {"cso": 2}
    assert [i.sequence for i in view.increments] == [2]


@pytest.mark.parametrize("part", ["", "party/cso"])
def test_pages_are_found_by_an_index(followed: Followed, part: str) -> None:
    source = "listed WHERE scope = ? AND" if part else "increment WHERE"
    plan = followed.sdr.reader.rows(
        f"EXPLAIN QUERY PLAN SELECT added, session_id, sequence FROM {source}"
        " (added, session_id, sequence) > (?, ?, ?)"
        " ORDER BY added, session_id, sequence LIMIT ?",
        (*((part,) if part else ()), *START, 5),
    )
    assert [row[3].split()[0] for row in plan] == ["SEARCH"], plan
