"""What the read models say of the small site's day."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from domain.model.values import HOUR, MINUTE, Sealed
from projections.evse_queries import EvseFilter, Evses
from projections.key_figures import KeyFigures
from projections.plans import Plans
from projections.runner import Runner
from projections.session_queries import SessionFilter, Sessions
from projections.zones import Zones
from tests.projections.small_site import DAWN, EVSES, ZONE, Site

END = (1 << 62, "~")


class Models(NamedTuple):
    zones: Zones
    evses: Evses
    sessions: Sessions
    plans: Plans
    figures: KeyFigures


@pytest.fixture
def models(told_site: Site, tmp_path: Path) -> Iterator[Models]:
    folder = tmp_path / "projections"
    runner = Runner(told_site.log, folder)
    runner.catch_up()
    models = Models(
        Zones(folder),
        Evses(folder),
        Sessions(folder),
        Plans(folder),
        KeyFigures(folder),
    )
    yield models
    for model in models:
        model.reader.close()
    runner.close()


def test_a_zone_has_its_limits_members_and_last_plan(models: Models) -> None:
    zone = models.zones.zone(ZONE)
    assert zone is not None
    assert (zone.limit_w, zone.safe_upper_w) == (30_000, 6_000)
    assert zone.evse_ids == EVSES
    assert zone.station_ids == ("s1",)
    assert zone.last_plan is not None
    assert zone.last_plan.status == "optimal"
    assert zone.aetp is not None
    assert zone.aetp.power_w(DAWN + 9 * HOUR + 2 * MINUTE) == 3_000
    assert zone.fallback_since_at == DAWN + 12 * HOUR
    assert models.zones.zone("nowhere") is None


def test_the_pre_in_force_is_composed_as_it_was_known(models: Models) -> None:
    at = DAWN + 4 * HOUR
    pre = models.zones.pre_in_force(ZONE, at)
    assert pre.range_w(DAWN + 9 * HOUR) == (0, 20_000)
    assert pre.range_w(DAWN + 10 * HOUR) == (0, 15_000)
    assert pre.range_w(DAWN + 11 * HOUR) == (0, 10_000)
    assert pre.range_w(DAWN + 12 * HOUR) == (0, 6_000)
    before_the_revocation = models.zones.pre_in_force(ZONE, DAWN + 2 * HOUR + MINUTE)
    assert before_the_revocation.range_w(DAWN + 9 * HOUR) == (0, 1_000)
    unknown_yet = models.zones.pre_in_force(ZONE, DAWN + MINUTE)
    assert unknown_yet.range_w(DAWN + 10 * HOUR) == (0, 20_000)


def test_the_pre_history_tells_what_was_received_and_revoked(models: Models) -> None:
    history = models.zones.pre_history(ZONE, before=(1 << 62, 0), limit=10)
    assert [told.type for told in history] == [
        "pre.fallback_began",
        "pre.revoked",
        "pre.received",
        "pre.received",
        "pre.received",
    ]


def test_an_evse_shows_the_etp_in_force_and_the_one_on_its_way(models: Models) -> None:
    evse = models.evses.evse(EVSES[0])
    assert evse is not None
    assert evse.etp_in_force is not None
    assert (evse.etp_in_force.number, evse.etp_in_force.state) == (1, "confirmed")
    assert evse.etp_last_sent is not None
    assert (evse.etp_last_sent.number, evse.etp_last_sent.state) == (2, "timed_out")
    assert evse.etp_planned is not None
    assert (evse.etp_planned.number, evse.delivery) == (3, "planned")
    assert evse.session_id == ""
    assert (evse.power_w, evse.energy_wh) == (3_000, 3_000)


def test_evses_are_listed_by_zone_and_state(models: Models) -> None:
    states = {e.evse_id: e.state for e in models.evses.page(wanted=EvseFilter(ZONE))}
    assert states == {
        EVSES[0]: "available",
        EVSES[1]: "blocked",
        EVSES[2]: "occupied",
    }
    assert [
        e.evse_id for e in models.evses.page(wanted=EvseFilter(state="blocked"))
    ] == [EVSES[1]]
    assert [e.evse_id for e in models.evses.page(after=EVSES[1])] == [EVSES[2]]


def test_a_merged_session_is_readable_under_both_ids(models: Models) -> None:
    one, other = models.sessions.session("b"), models.sessions.session("cso-1")
    assert one is not None
    assert one == other
    assert one.session_ids == ("b", "cso-1")
    assert one.energy_wh == 4_000
    assert [t.event.reference for t in one.references] == ["ref-9"]  # type: ignore[attr-defined]
    assert [t.type for t in one.authorizations] == [
        "authorization.requested",
        "authorization.accepted",
    ]
    assert len(one.reservations) == len(one.parkings) == len(one.others) == 1
    assert [t.type for t in one.transfers] == ["transfer.started", "transfer.ended"]


def test_a_sealed_group_stays_ciphertext(models: Models, tmp_path: Path) -> None:
    detail = models.sessions.session("b")
    assert detail is not None
    credential = detail.authorizations[0].event.credential  # type: ignore[attr-defined]
    assert isinstance(credential, Sealed)
    for path in (tmp_path / "projections").iterdir():
        assert b"04AABBCCDD" not in path.read_bytes()


def test_odd_facts_are_kept_and_not_counted(models: Models) -> None:
    detail = models.sessions.session("c")
    assert detail is not None
    assert detail.energy_wh == 1_500
    assert detail.session.power_w == 2_500
    assert [t.type for t in detail.kept_facts] == ["fact.kept"]


def test_sessions_are_listed_last_first_and_filtered(models: Models) -> None:
    page = models.sessions.page(limit=10)
    assert [session.session_id for session in page] == ["c", "b", "a", "cso-1"]
    closed = SessionFilter(state="closed")
    assert [
        session.session_id for session in models.sessions.page(limit=10, wanted=closed)
    ] == ["b", "a"]
    first = page[0]
    rest = models.sessions.page(behind=(first.opened_at, first.session_id), limit=2)
    assert [session.session_id for session in rest] == ["b", "a"]


def test_plans_are_listed_with_reason_and_etps(models: Models) -> None:
    plans = models.plans.page(before=1 << 62, limit=10, zone_id=ZONE)
    assert [plan.outcome for plan in plans] == ["superseded", "made", "made", "made"]
    assert plans[0].reason == "PRE shrank"
    assert plans[1].etps_changed[0].number == 3
    assert models.plans.plan(plans[1].position) == plans[1]
    assert models.plans.page(before=1 << 62, limit=9, outcome="superseded") == plans[:1]


def test_key_figures_count_drivers_plans_and_deliveries(models: Models) -> None:
    (figures,) = models.figures.figures()
    assert figures.zone_id == ZONE
    assert (figures.drivers_asked, figures.drivers_served) == (1, 1)
    assert (figures.default_asked, figures.default_served) == (1, 0)
    assert figures.energy_wh == 6_000 + 4_000 + 1_500
    assert (figures.sessions_open, figures.sessions_closed) == (1, 2)
    assert (figures.plans, figures.plans_outside_pre, figures.plans_superseded) == (
        3,
        1,
        1,
    )
    assert (figures.etps_sent, figures.etps_accepted, figures.etps_confirmed) == (
        2,
        1,
        1,
    )
    assert (figures.etps_timed_out, figures.etps_refused) == (1, 0)
    assert (figures.pres_received, figures.pres_revoked) == (3, 1)
    assert models.figures.figures("nowhere") == []
