"""7.10, 7.4, E3, E4: issues, consents and constraints in the read models."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from domain.model import ids
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.plan_events import PreRevoked
from domain.model.profile import POWER_LIMIT_W
from domain.model.values import HOUR, MINUTE, Event, Sealed
from projections.evses import Evse
from projections.past import Past
from projections.read_models import ReadModels
from projections.runner import Runner
from projections.session_queries import SessionDetail
from projections.zones import Zone
from tests.projections.small_site import (
    DAWN,
    EVSES,
    ZONE,
    Site,
    Told,
    charged,
    commissioned,
    pre,
)

E1 = EVSES[0]
DETAILS = Sealed("k", b"n", b"c")
SMOKE = z.EvseBlocked(evse_id=E1, reason="smoke", details=DETAILS, is_safety=True)
RAIN = z.EvseBlocked(evse_id=E1, reason="rain")
SAFE = z.EvseAssessed(evse_id=E1, is_safe=True, assessor="i7")
UNSAFE = z.EvseAssessed(evse_id=E1, is_safe=False, assessor="i7")
FREE = z.EvseUnblocked(evse_id=E1, reason="again")


Models = Callable[[Sequence[Told]], ReadModels]


@pytest.fixture
def models(site: Site, tmp_path: Path) -> Iterator[Models]:
    """Tell a site some events; return what the read models say of them."""
    runner = Runner(site.log, tmp_path)

    def told(events: Sequence[Told]) -> ReadModels:
        site.tell(events)
        runner.catch_up()
        return ReadModels(tmp_path, runner)

    yield told
    runner.close()


def evse_after(models: Models, *events: Event) -> Evse:
    stream = ids.evse_stream(E1)
    told = [Told(stream, DAWN + i * MINUTE, e) for i, e in enumerate(events, 1)]
    evse = models([*commissioned(), *told]).evses.evse(E1)
    assert evse is not None
    return evse


@pytest.mark.parametrize(
    ("events", "blocked", "is_safety"),
    [
        ([SMOKE], "smoke", True),
        ([SMOKE, UNSAFE], "smoke", True),
        ([RAIN], "rain", False),
        ([RAIN, SMOKE], "smoke", True),
        ([SMOKE, RAIN], "smoke", True),
        ([SMOKE, RAIN, SAFE], "rain", False),
        ([SMOKE, SAFE, FREE], "", False),
        ([RAIN, FREE], "", False),
    ],
)
def test_an_evse_shows_why_it_is_blocked_safety_first(
    models: Models, events: list[Event], blocked: str, is_safety: bool
) -> None:
    evse = evse_after(models, *events)
    assert (evse.blocked, evse.is_safety) == (blocked, is_safety)
    assert evse.state == ("blocked" if blocked else "available")
    assert evse.blocked_details == (DETAILS if blocked == "smoke" else None)


def test_an_evse_shows_when_it_was_assessed(models: Models) -> None:
    assert evse_after(models, SMOKE, UNSAFE, RAIN).assessed_at == DAWN + 2 * MINUTE


def test_an_issue_told_late_blocks_all_the_same(models: Models) -> None:
    """Given a release, and then a report of an issue from before it."""
    stream = ids.evse_stream(E1)
    told = [Told(stream, DAWN + at, e) for at, e in ((1, RAIN), (9, FREE), (5, SMOKE))]
    evse = models([*commissioned(), *told]).evses.evse(E1)
    assert evse is not None
    assert (evse.state, evse.blocked) == ("blocked", "smoke")


def session_after(models: Models, *events: Event) -> SessionDetail:
    at = DAWN + HOUR
    told = charged("a", E1, at, target_wh=6_000, energy_wh=6_000)
    stream = ids.session_stream("a")
    told += [Told(stream, at + i * MINUTE, e) for i, e in enumerate(events, 1)]
    detail = models([*commissioned(), *told]).sessions.session("a")
    assert detail is not None
    return detail


CONSENT = s.V2gConsented(session_id="a", contract="v2g-17", energy_min_wh=5_000)


def test_a_session_shows_whether_its_user_consents_to_v2g(models: Models) -> None:
    detail = session_after(models, CONSENT)
    assert detail.session.has_v2g_consent
    assert [t.event for t in detail.consents] == [CONSENT]


def test_a_consent_that_was_withdrawn_stays_readable(models: Models) -> None:
    withdrawn = s.V2gWithdrawn(session_id="a")
    detail = session_after(models, CONSENT, withdrawn)
    assert not detail.session.has_v2g_consent
    assert [t.event for t in detail.consents] == [CONSENT, withdrawn]


@pytest.mark.requirement("7.10.2")
def test_a_session_shows_the_safety_issue_that_came_up(models: Models) -> None:
    reported = s.SafetyReported(session_id="a", evse_id=E1, issue="smoke")
    detail = session_after(models, reported)
    assert detail.session.safety_issue == "smoke"
    assert [t.event for t in detail.safety_issues] == [reported]


def test_the_issue_of_a_merged_session_is_shown_in_the_one_that_stays(
    models: Models,
) -> None:
    a, b = ids.session_stream("a"), ids.session_stream("b")
    at = DAWN + HOUR
    told = [
        Told(a, at, s.SessionOpened(session_id="a", party="s1")),
        Told(b, at, s.SessionOpened(session_id="b", party="cso")),
        Told(a, at, s.SafetyReported(session_id="a", evse_id=E1, issue="smoke")),
        Told(a, at, s.MergedInto(session_id="a", into_session_id="b")),
    ]
    detail = models([*commissioned(), *told]).sessions.session("a")
    assert detail is not None
    assert (detail.session.session_id, detail.session.safety_issue) == ("b", "smoke")


def test_events_of_the_sdr_are_readable(models: Models) -> None:
    collected = s.SdrCollected(session_id="a", increments=3, digest=b"d")
    received = s.SdrReceived(session_id="a", by="cso", sequence=3)
    detail = session_after(models, collected, received)
    assert [t.event for t in detail.sdr] == [collected, received]


# Constraints and the PRE that answers. The zone's limit is 30,000 W, its safe envelope
# ends at 6,000 W; PREs are of whole hours from DAWN on.

SENT_AT = DAWN + 2 * MINUTE


def sent(
    *windows: tuple[int, int, int],
    lower_w: int = 0,
    upper_w: int = 20_000,
    from_hour: int = 0,
) -> Told:
    """Send constraints, windows as (hours from DAWN, lower Wh, upper Wh)."""
    event = z.ConstraintsSent(
        zone_id=ZONE,
        constraints_id="c1",
        from_at=DAWN + from_hour * HOUR,
        lower_w=lower_w,
        upper_w=upper_w,
        windows=tuple(z.EnergyWindow(DAWN + h * HOUR, lo, up) for h, lo, up in windows),
    )
    return Told(ids.zone_stream(ZONE), SENT_AT, event)


def answered(pre_id: str, *upper_w: int, minute: int = 3, from_hour: int = 0) -> Told:
    event = pre(pre_id, DAWN + from_hour * HOUR, *upper_w)
    return Told(ids.pre_stream(ZONE), DAWN + minute * MINUTE, event)


def zone_after(models: Models, *told: Told) -> Zone:
    zone = models([*commissioned(), *told]).zones.zone(ZONE)
    assert zone is not None
    return zone


def test_a_zone_shows_the_constraints_sent_last(models: Models) -> None:
    first, last = sent(), sent((2, 100, 200))
    zone = zone_after(models, first, answered("p1", 9_000), last)
    assert zone.constraints is not None
    assert zone.constraints.told == last.event
    assert zone.constraints.sent_at == SENT_AT
    assert zone.constraints.position == len(commissioned()) + 3
    assert (zone.pre_answered_at, zone.pre_satisfies_constraints) == (None, None)


@pytest.mark.requirement("E3.Req4")
def test_a_zone_shows_when_a_pre_first_answered(models: Models) -> None:
    before = answered("p0", 9_000, minute=1)
    zone = zone_after(models, before, sent())
    assert zone.pre_answered_at is None
    zone = zone_after(
        models, answered("p1", 9_000, minute=3), answered("p2", 9_000, minute=4)
    )
    assert zone.pre_answered_at == DAWN + 3 * MINUTE


@pytest.mark.requirement("E3.Req2")
@pytest.mark.parametrize(
    ("constraints", "answer", "satisfies"),
    [
        (sent((2, 10_000, 50_000)), answered("p", 5_500, 5_500), True),
        (sent((2, 12_000, 50_000)), answered("p", 5_500, 5_500), False),
        # Each window counts, the last one and one before.
        (sent((1, 0, 9_000), (2, 9_000, 9_999)), answered("p", 0, 9_000), True),
        (sent((1, 1_500, 9_000), (2, 9_000, 9_999)), answered("p", 0, 9_000), False),
        # What the zone cannot draw is of no use to it.
        (sent((2, 25_000, 40_000)), answered("p", 0, 30_000), False),
        # Where the PRE has ended the safe envelope counts.
        (sent((3, 20_000, 40_000)), answered("p", 9_000, 6_000), True),
        (sent((3, 22_000, 40_000)), answered("p", 9_000, 6_000), False),
        # Power the zone could draw at all is left, or is not.
        (sent(lower_w=5_000), answered("p", 5_000, 9_000), True),
        (sent(lower_w=5_000), answered("p", 9_000, 4_999), False),
        (sent(lower_w=5_000, from_hour=1), answered("p", 0, 9_000), True),
        # More than it may take cannot be forced upon it.
        (sent((1, 0, 4_000), lower_w=5_000), answered("p", 9_000), False),
    ],
)
def test_a_pre_is_kept_and_it_is_seen_whether_it_satisfies_the_constraints(
    models: Models, constraints: Told, answer: Told, satisfies: bool
) -> None:
    zone = zone_after(models, constraints, answer)
    assert zone.pre_satisfies_constraints is satisfies
    assert zone.last_pre_id == "p"


def test_what_held_before_a_pre_takes_effect_is_not_held_against_it(
    models: Models,
) -> None:
    constraints = sent((3, 40_000, 60_000))
    late = answered("p", 10_000, from_hour=2)
    assert zone_after(models, constraints, late).pre_satisfies_constraints is True


@pytest.mark.requirement("E3.Req2")
def test_a_later_pre_is_judged_too_and_a_revoked_one_no_more(models: Models) -> None:
    zone = zone_after(
        models,
        sent((2, 10_000, 50_000)),
        answered("p1", 9_000, 9_000),
        answered("p2", 1_000, 1_000, minute=4),
    )
    assert zone.pre_satisfies_constraints is False
    stream = ids.pre_stream(ZONE)
    other = Told(stream, DAWN + 5 * MINUTE, PreRevoked(zone_id=ZONE, pre_id="p1"))
    assert zone_after(models, other).pre_satisfies_constraints is False
    last = Told(stream, DAWN + 6 * MINUTE, PreRevoked(zone_id=ZONE, pre_id="p2"))
    assert zone_after(models, last).pre_satisfies_constraints is None


@pytest.mark.requirement("E4.Req1")
def test_a_new_pre_is_in_force_from_its_start_on(models: Models) -> None:
    first = answered("p1", 9_000, 9_000, 9_000)
    found = models([*commissioned(), first, answered("p2", 4_000, from_hour=1)])
    pre_in_force = found.zones.pre_in_force(ZONE, DAWN + 10 * MINUTE)
    hours = [pre_in_force.range_w(DAWN + h * HOUR + 10 * MINUTE)[1] for h in range(3)]
    assert hours == [9_000, 4_000, 6_000]


def test_what_is_said_of_constraints_is_the_same_in_reads_of_the_past(
    site: Site, models: Models
) -> None:
    """Given so many PREs that the past is not read from its beginning."""
    told = [sent((2, 10_000, 50_000))]
    told += [
        answered(f"p{i}", POWER_LIMIT_W * (i % 2), 9_000 * (i % 3), minute=3 + i)
        for i in range(100)
    ]
    found = models([*commissioned(), *told])
    last = site.log.last_position()
    was = Past(site.log, found, last).zone(ZONE)
    assert was == found.zones.zone(ZONE)
