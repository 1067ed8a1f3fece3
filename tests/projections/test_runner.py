"""The runner: exactly once, in any batches, built anew for another log or schema."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.model import site_events as z
from domain.ports import Recorded
from projections.evse_queries import Evses
from projections.file import Reader
from projections.fold import Fold
from projections.key_figures import KeyFigures
from projections.plans import PlansFold
from projections.runner import ALL, ReadLog, Runner
from projections.session_queries import Sessions
from projections.sessions import SessionsFold
from projections.zones import Zones, ZonesFold
from tests.projections.small_site import ZONE, Site, Told, commissioned, day


def dumps(folder: Path) -> dict[str, str]:
    found = {}
    for fold in ALL:
        reader = Reader(folder, fold.name)
        found[fold.name] = reader.dump()
        reader.close()
    return found


def followed(log: ReadLog, folder: Path, *, batch: int = 5_000) -> dict[str, str]:
    runner = Runner(log, folder, batch=batch)
    runner.catch_up()
    runner.close()
    return dumps(folder)


class ChangingBatches:
    """The log, read in batches of lengths drawn beforehand."""

    def __init__(self, log: ReadLog, lengths: list[int]) -> None:
        self._log = log
        self._lengths = lengths

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        length = self._lengths.pop() if self._lengths else limit
        return self._log.read(after=after, limit=length, types=types)

    def last_position(self) -> int:
        return self._log.last_position()

    def hash_at(self, position: int) -> bytes | None:
        return self._log.hash_at(position)


def test_every_projection_has_rows_of_the_day(told_site: Site, tmp_path: Path) -> None:
    for name, dump in followed(told_site.log, tmp_path / "p").items():
        # Nobody commanded that day over HTTP: other tests have what that leaves.
        absent = {"security", "contracts", "correlations"}
        absent |= {"activities", "incentives"}
        assert name in absent or len(dump.splitlines()) > 1, name


def test_following_live_gives_what_a_replay_gives(site: Site, tmp_path: Path) -> None:
    runner = Runner(site.log, tmp_path / "live")
    for told in day(site):
        site.tell([told])
        runner.catch_up()
    runner.close()
    assert dumps(tmp_path / "live") == followed(site.log, tmp_path / "replayed")


@pytest.fixture
def whole(told_site: Site, tmp_path: Path) -> dict[str, str]:
    return followed(told_site.log, tmp_path / "whole")


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lengths=st.lists(st.integers(1, 30)), restart=st.booleans())
def test_batches_and_restarts_do_not_matter(
    told_site: Site,
    whole: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    restart: bool,
) -> None:
    folder = tmp_path_factory.mktemp("projections")
    if restart:
        half = Runner(ChangingBatches(told_site.log, lengths[:1]), folder / "parts")
        half._step()
        half.close()
    changing = ChangingBatches(told_site.log, lengths)
    assert followed(changing, folder / "parts") == whole


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_arrival_does_not_matter(seed: int, tmp_path: Path) -> None:
    """Every event at an instant of its own, told in another order."""
    views = []
    for folder in ("in order", "shuffled"):
        site = Site(tmp_path / folder)
        told = [Told(t.stream, t.at + i, t.event) for i, t in enumerate(day(site))]
        if folder == "shuffled":
            Random(seed).shuffle(told)
        site.tell(told)
        projections = tmp_path / folder / "projections"
        followed(site.log, projections)
        views.append(_views(projections))
        site.close()
    assert views[0] == views[1]


def _views(folder: Path) -> list[object]:
    zones, evses = Zones(folder), Evses(folder)
    sessions, figures = Sessions(folder), KeyFigures(folder)
    zone = zones.zone(ZONE)
    assert zone is not None
    assert zone.last_plan is not None
    zone.last_plan = None  # it names a position
    (figure,) = figures.figures()
    figure.plans_outside_pre = 0  # it asks what was known where the plan stands
    found: list[object] = [zone, figure]
    for evse in evses.page():
        for delivery in (evse.etp_planned, evse.etp_last_sent, evse.etp_in_force):
            if delivery is not None:
                delivery.position = 0
        found.append(evse)
    found += sessions.page(limit=10)
    for session_id in ("a", "b", "c"):
        detail = sessions.session(session_id)
        assert detail is not None
        found.append([t.event for t in detail.transfers + detail.authorizations])
    for model in (zones, evses, sessions, figures):
        model.reader.close()
    return found


def test_following_again_changes_nothing(told_site: Site, tmp_path: Path) -> None:
    first = followed(told_site.log, tmp_path)
    assert followed(told_site.log, tmp_path) == first


def test_a_file_of_another_log_is_built_anew(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    other.clock.at += 1  # the same events, recorded at another instant
    other.tell([*commissioned(), *commissioned()[:1]])
    followed(other.log, tmp_path / "p")
    other.close()
    site.tell(day(site))
    expected = followed(site.log, tmp_path / "fresh")
    assert followed(site.log, tmp_path / "p") == expected


def test_a_file_ahead_of_the_log_is_built_anew(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other")
    other.tell(day(other))
    followed(other.log, tmp_path / "p")
    other.close()
    site.tell(commissioned())
    assert followed(site.log, tmp_path / "p") == followed(site.log, tmp_path / "fresh")


def test_a_file_of_another_schema_is_built_anew(
    told_site: Site, tmp_path: Path
) -> None:
    expected = followed(told_site.log, tmp_path)
    with sqlite3.connect(tmp_path / "zones.sqlite") as db:
        db.execute("UPDATE meta SET schema = '0'")
        db.execute("DELETE FROM zone")
    db.close()
    assert followed(told_site.log, tmp_path) == expected


def test_a_file_that_is_no_database_is_built_anew(
    told_site: Site, tmp_path: Path
) -> None:
    expected = followed(told_site.log, tmp_path)
    (tmp_path / "zones.sqlite").write_bytes(b"torn" * 1_000)
    assert followed(told_site.log, tmp_path) == expected


def test_readers_read_on_while_a_projection_is_built_anew(
    told_site: Site, tmp_path: Path
) -> None:
    runner = Runner(told_site.log, tmp_path)
    runner.catch_up()
    zones = Zones(tmp_path)
    with zones.reader.snapshot() as db:
        runner.rebuild("zones")
        assert db.execute("SELECT count(*) FROM zone").fetchone() == (1,)
    assert zones.zone(ZONE) is not None
    assert "000002" in str((tmp_path / "zones.sqlite").readlink())
    runner.rebuild("zones")
    assert zones.zone(ZONE) is not None
    assert len(list(tmp_path.glob("zones-*.sqlite"))) == 2
    zones.reader.close()
    runner.close()


class Picky(PlansFold):
    """Cannot take a zone whose limits change."""

    name: ClassVar[str] = "picky"

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self.handlers = {**self.handlers, z.ZoneLimitsChanged: self._refuse}

    def _refuse(self, row: Recorded, event: z.ZoneLimitsChanged) -> None:
        raise ValueError(f"{event.limit_w} W is too odd")


def test_a_poison_event_stops_one_projection_and_no_other(
    site: Site, tmp_path: Path
) -> None:
    stream = f"zone-{ZONE}"
    odd = z.ZoneLimitsChanged(zone_id=ZONE, limit_w=13, safe_upper_w=1)
    at = site.clock.at
    site.tell(day(site))
    poisoned = site.tell([Told(stream, at, odd)])
    last = site.tell(commissioned())
    folds: tuple[type[Fold], ...] = (Picky, ZonesFold, SessionsFold)
    runner = Runner(site.log, tmp_path, folds)
    runner.catch_up()
    picky, zones, sessions = runner.health()
    assert (picky.state, picky.position) == ("stopped", poisoned - 1)
    assert picky.stopped_at_position == poisoned
    assert "13 W is too odd" in picky.reason
    assert "zone.limits" in picky.reason
    assert (zones.state, zones.position) == ("following", last)
    assert (sessions.state, sessions.position) == ("following", last)
    runner.close()


def test_a_fold_that_fails_to_write_loses_and_doubles_nothing(
    told_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = followed(told_site.log, tmp_path / "whole")
    runner = Runner(told_site.log, tmp_path / "p", batch=20)
    save = SessionsFold.save
    calls = []

    def full(self: SessionsFold) -> None:
        calls.append(1)
        save(self)
        if len(calls) == 2:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(SessionsFold, "save", full)
    with pytest.raises(sqlite3.OperationalError):
        runner.catch_up()
    runner.catch_up()
    runner.close()
    assert dumps(tmp_path / "p") == expected


def test_own_writes_can_be_waited_for(site: Site, tmp_path: Path) -> None:
    position = site.tell(commissioned())
    runner = Runner(site.log, tmp_path)
    assert not runner.wait_for(position, timeout_s=0.01)
    runner.catch_up()
    assert runner.wait_for(position, timeout_s=0.01)
    assert not runner.wait_for(position + 1, timeout_s=0.01)
    runner.close()
