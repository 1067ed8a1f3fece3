"""Transfers that were told late: who sees them, where they are, what they count."""

from pathlib import Path

from domain.model import session_events as s
from domain.model.values import HOUR
from projections.key_figures import KeyFigures, KeyFiguresFold
from projections.runner import Runner
from projections.scope import Scope
from projections.sdr import START, Sdr, SdrFold
from projections.session_queries import Sessions
from projections.sessions import SessionsFold
from tests.projections.small_site import (
    DAWN,
    EVSES,
    ZONE,
    Site,
    Told,
    commissioned,
)


def settled(energy_wh: int, *replaces: int, replaced_wh: int = 0) -> Told:
    event = s.TransferSettled(
        session_id="a",
        station_id="s1",
        evse_id=EVSES[0],
        zone_id=ZONE,
        transaction_id="t1",
        begun_at=DAWN,
        ended_at=DAWN + HOUR,
        energy_wh=energy_wh,
        reason="",
        plugged_at=DAWN,
        unplugged_at=DAWN + HOUR,
        intervals=((DAWN, DAWN + HOUR // 2, energy_wh // 2),),
        replaces=replaces,
        replaced_wh=replaced_wh,
    )
    return Told("session-a", DAWN + HOUR, event)


def test_a_transfer_told_late_is_placed_seen_and_counted_once(tmp_path: Path) -> None:
    """Given a settled transfer, and then again as more of it came."""
    site = Site(tmp_path / "store")
    runner = Runner(site.log, tmp_path, (SdrFold, SessionsFold, KeyFiguresFold))
    opened = Told("session-a", DAWN, s.SessionOpened(session_id="a", party="s1"))
    first = site.tell([*commissioned(), opened, settled(4_000)])
    site.tell([settled(5_000, first, replaced_wh=2_000)])
    runner.catch_up()
    session = Sessions(tmp_path).in_short("a")
    assert session is not None
    assert (session.evse_id, session.station_id) == (EVSES[0], "s1")
    assert (session.zone_id, session.released_at) == (ZONE, DAWN + HOUR)
    assert (session.energy_wh, session.metered_wh) == (5_000, 2_500)
    for scope in (Scope(zones=frozenset({ZONE})), Scope(stations=frozenset({"s1"}))):
        page = Sdr(tmp_path).page(scope, after=START, limit=10)
        assert len(page.items) == 3
    view = Sdr(tmp_path).information("a")
    assert view is not None
    assert view.information.energy.to_ev_wh == 5_000
    (figures,) = KeyFigures(tmp_path).figures(ZONE)
    assert figures.energy_wh == 5_000
    runner.close()
    site.close()
