"""As it was at any position: what a replay of the log up to it gives."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.values import MINUTE
from domain.ports import Recorded
from projections import history, past
from projections.evse_queries import STATES, EvseFilter
from projections.past import Past
from projections.read_models import ReadModels
from projections.runner import ReadLog, Runner
from projections.scope import Scope
from projections.session_queries import SessionFilter
from projections.station_documents import CONNECTED, STANDINGS
from projections.station_queries import StationFilter
from tests.projections.histories import PARTIES, SESSIONS, erased, histories, sealed
from tests.projections.small_site import (
    DAWN,
    EVSES,
    ZONE,
    Site,
    Told,
    commissioned,
    day,
    observed,
)

Folders = pytest.TempPathFactory

SCOPES = (
    None,
    Scope(zones=frozenset({ZONE})),
    Scope(stations=frozenset({"s2"}), party="cso"),
    Scope(party="parking"),
)
PLACES = (None, Scope(zones=frozenset({ZONE})), Scope(stations=frozenset({"s2"})))
SESSION_FILTERS = (
    SessionFilter(),
    SessionFilter(zone_id=ZONE),
    SessionFilter(station_id="s2", ascending=True),
    SessionFilter(evse_id=EVSES[0]),
    SessionFilter(state="open"),
    SessionFilter(state="merged", ascending=True),
    SessionFilter(party=PARTIES[0]),
    SessionFilter(
        opened_from_at=DAWN + 10 * MINUTE, opened_until_at=DAWN + 30 * MINUTE
    ),
)


class Cut:
    """The log, as if it ended at a position."""

    def __init__(self, log: ReadLog, position: int) -> None:
        self._log = log
        self._position = position

    def read(
        self, *, after: int, limit: int, types: Sequence[str] = ()
    ) -> Sequence[Recorded]:
        rows = self._log.read(after=after, limit=limit, types=types)
        return [row for row in rows if row.position <= self._position]

    def last_position(self) -> int:
        return self._position

    def hash_at(self, position: int) -> bytes | None:
        return self._log.hash_at(position)


@contextmanager
def followed(
    log: ReadLog, folder: Path, batches: Sequence[int] = (5_000,)
) -> Iterator[ReadModels]:
    """Follow a log in batches, the last of them again and again."""
    with ExitStack() as opened:
        for batch in batches[:-1]:
            runner = Runner(log, folder, batch=batch)
            runner._step()
            runner.close()
        runner = Runner(log, folder, batch=batches[-1])
        opened.callback(runner.close)
        runner.catch_up()
        models = ReadModels(folder, runner)
        opened.callback(models.close)
        yield models


def walk(page: Any, key_of: Any, limit: int) -> list[Any]:
    """Return all items of a list, read in pages."""
    found: list[Any] = []
    while items := page(found and key_of(found[-1]), limit):
        found += items
    return found


def sessions_of(models: ReadModels, wanted: SessionFilter, scope: Scope | None) -> Any:
    return models.sessions.page(limit=1_000, wanted=wanted, scope=scope)


def sessions_then(then: Past, wanted: SessionFilter, scope: Scope | None) -> list[Any]:
    found: list[Any] = []
    behind = None
    while True:
        page = then.sessions(behind=behind, limit=2, wanted=wanted, scope=scope)
        found += page.items
        behind = page.behind
        if behind is None:
            return found


def check(then: Past, replayed: ReadModels) -> None:
    """Compare every read of the past with the same read of a replay."""
    for zone_id in (ZONE, "yard", "nowhere"):
        assert then.zone(zone_id) == replayed.zones.zone(zone_id)
    for zone_ids in (None, frozenset({"yard"})):
        assert walk(
            lambda last, n, z=zone_ids: then.zones(
                after=last or "", limit=n, zone_ids=z
            ),
            lambda zone: zone.zone_id,
            1,
        ) == replayed.zones.page(zone_ids=zone_ids)
    for evse_id in (*EVSES, "US*CAL*E9"):
        assert then.evse(evse_id) == replayed.evses.evse(evse_id)
    states = ("", *STATES)
    for scope, state in product(PLACES, states):
        wanted = EvseFilter(state=state)
        assert walk(
            lambda last, n, w=wanted, s=scope: then.evses(
                after=last or "", limit=n, wanted=w, scope=s
            ),
            lambda evse: evse.evse_id,
            2,
        ) == replayed.evses.page(wanted=wanted, scope=scope)
    for station_id in ("s1", "s2", "s9"):
        assert then.station(station_id) == replayed.stations.station(station_id)
    stations = (StationFilter(), *(StationFilter(standing=s) for s in STANDINGS))
    connected = StationFilter(zone_id=ZONE, connection=CONNECTED)
    for scope, wanted_stations in product(PLACES, (*stations, connected)):
        assert walk(
            lambda last, n, w=wanted_stations, s=scope: then.stations(
                after=last or "", limit=n, wanted=w, scope=s
            ),
            lambda station: station.station_id,
            1,
        ) == replayed.stations.page(wanted=wanted_stations, scope=scope)
    for session_id in (*SESSIONS, "nobody"):
        assert then.session(session_id) == replayed.sessions.session(session_id)
    for wanted_sessions, scope in product(SESSION_FILTERS, SCOPES):
        assert sessions_then(then, wanted_sessions, scope) == sessions_of(
            replayed, wanted_sessions, scope
        )


@pytest.mark.parametrize("examined", [1, 20_000])
@settings(
    max_examples=12,
    # Histories are long and replays slow: to shrink one takes minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    told=histories,
    batches=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    at=st.lists(st.floats(0, 1), min_size=1, max_size=3),
)
def test_any_position_is_as_a_replay_of_the_log_up_to_it(
    examined: int,
    tmp_path_factory: Folders,
    monkeypatch: pytest.MonkeyPatch,
    told: list[Told],
    batches: list[int],
    at: list[float],
) -> None:
    monkeypatch.setattr(history, "TOUCHES_A_CHECKPOINT", 3)
    monkeypatch.setattr(past, "_EXAMINED", examined)
    folder = tmp_path_factory.mktemp("past")
    site = Site(folder / "store")
    subject, asked = sealed(site, "b")
    site.tell([*told[:9], asked, *told[9:]])
    last = site.log.last_position()
    positions = sorted({round(share * last) for share in at})
    with followed(site.log, folder / "live", batches) as models:
        for position in positions:
            replay = folder / f"replay-{position}"
            with followed(Cut(site.log, position), replay) as replayed:
                check(Past(site.log, models, position), replayed)
        before = [
            Past(site.log, models, position).session("b") for position in positions
        ]
        site.tell([erased(site, subject)])
        models.runner.catch_up()
        for position, detail in zip(positions, before, strict=True):
            assert Past(site.log, models, position).session("b") == detail
            with followed(Cut(site.log, position), folder / f"replay-{position}") as r:
                check(Past(site.log, models, position), r)
    site.close()


def test_every_position_of_the_day(site: Site, tmp_path: Path) -> None:
    site.tell(day(site))
    with followed(site.log, tmp_path / "live") as models:
        for position in range(0, site.log.last_position() + 1, 5):
            with followed(
                Cut(site.log, position), tmp_path / f"to-{position}"
            ) as replayed:
                check(Past(site.log, models, position), replayed)


def test_a_plan_of_later_is_not_there_yet(told_site: Site, tmp_path: Path) -> None:
    with followed(told_site.log, tmp_path / "live") as models:
        (plan, *_) = models.plans.page(before=1 << 62, limit=1)
        at = plan.position
        assert Past(told_site.log, models, at - 1).plan(at) is None
        assert Past(told_site.log, models, at).plan(at) == plan


def test_the_last_position_recorded_by_an_instant(told_site: Site) -> None:
    rows = told_site.log.read(after=0, limit=1_000)
    for row in rows:
        by = [r.position for r in rows if r.recorded_at <= row.recorded_at]
        assert told_site.log.recorded_by(row.recorded_at) == by[-1]
        before = [r.position for r in rows if r.recorded_at < row.recorded_at]
        assert told_site.log.recorded_by(row.recorded_at - 1) == (before or [0])[-1]


def test_a_reservation_from_before_the_checkpoint_ends_after_it(
    site: Site, tmp_path: Path
) -> None:
    evse_id, other = EVSES[:2]
    reserved = z.EvseReserved(evse_id=evse_id, session_id="a")
    told = [*commissioned(), Told(f"evse-{evse_id}", DAWN, reserved)]
    told += [
        Told("session-b", DAWN + n, observed("b", evse_id, n, n))
        for n in range(1, 2 * history.TOUCHES_A_CHECKPOINT)
    ]
    ended = s.ReservationEnded(session_id="a", reason="expired")
    elsewhere = z.EvseReserved(evse_id=other, session_id="c")
    at = DAWN + MINUTE
    told += [Told("session-a", at, ended), Told(f"evse-{other}", at, elsewhere)]
    last = site.tell(told)
    with followed(site.log, tmp_path) as models:
        for position in (last - 2, last - 1):
            then = Past(site.log, models, position).evse(evse_id)
            assert then is not None
            kept = position == last - 2
            assert then.state == ("reserved" if kept else "available")
            assert then.power_w == 2 * history.TOUCHES_A_CHECKPOINT - 1
        later = Past(site.log, models, last).evses(
            limit=9, wanted=EvseFilter(state="reserved"), scope=None
        )
        assert [evse.evse_id for evse in later] == [other]
