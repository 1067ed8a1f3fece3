"""E2 Incentives: what they are to EVSEs and sessions, and that a refusal binds."""

from typing import Any

import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import incentive_events as n
from domain.model.profile import POWER_LIMIT_W
from domain.model.sdr_information import information_of
from domain.model.station_events import LimitReported
from domain.model.values import DAY, HOUR, MINUTE, SECOND, Event
from domain.use_cases.e2_demand_response import (
    AnswerIncentive,
    ReceiveIncentive,
    WithdrawIncentive,
    answer_incentive,
    receive_incentive,
    withdraw_incentive,
)
from domain.use_cases.e2_incentive_effects import (
    BeginStay,
    EndStay,
    begin_stay,
    end_stay,
    load_incentives,
    part_of,
)
from domain.use_cases.s6_sdr_information import increments_of
from domain.use_cases.shared_path import load_evse
from tests.use_cases.small_site import E1, E2, NINE, ZONE, Site, by

TEN, ELEVEN = NINE + HOUR, NINE + 2 * HOUR


def receive(site: Site, incentive_id: str = "peak-1", **changes: Any) -> None:
    values: dict[str, Any] = {
        "zone_id": ZONE,
        "incentive_id": incentive_id,
        "from_at": NINE,
        "until_at": TEN,
        "maximum_w": 3_000,
    }
    command = ReceiveIncentive(**(values | changes))
    receive_incentive(site.system, command, by())


def answer(site: Site, session_id: str, is_accepted: bool, at: int = NINE) -> None:
    command = AnswerIncentive(session_id=session_id, is_accepted=is_accepted)
    answer_incentive(site.system, command, by(at))


def limits(site: Site, at: int = NINE) -> dict[str, int | None]:
    """Return the limit of each EVSE at an instant; None where it is over."""
    found: dict[str, int | None] = {}
    for row in site.rows():
        if isinstance(event := row.event, LimitReported):
            assert event.source == "incentive/peak-1"
            profile = event.profile
            found[event.evse_id] = None if profile is None else profile.power_w(at)
    return found


def told(site: Site, session_id: str) -> list[Event]:
    kinds = (n.IncentiveBegan, n.IncentiveEnded, n.IncentiveAnswered)
    return [e for e in site.events(session_id) if isinstance(e, kinds)]


def test_an_incentive_holds_from_its_begin_to_its_end(site: Site) -> None:
    session_id = site.plug(E1)
    receive(site, from_at=TEN, until_at=ELEVEN)
    # The loop knows ahead what will hold.
    assert set(limits(site, TEN - SECOND).values()) == {POWER_LIMIT_W}
    assert set(limits(site, TEN).values()) == {3_000}
    assert set(limits(site, ELEVEN).values()) == {POWER_LIMIT_W}
    assert len(limits(site)) == 4
    assert load_incentives(site.system, ZONE).in_force(NINE) == []
    assert part_of(site.system, session_id).under == frozenset()
    assert site.run_timers(TEN) == 1
    assert part_of(site.system, session_id).under == {"peak-1"}
    site.run_timers(ELEVEN)
    assert set(limits(site).values()) == {None}
    assert part_of(site.system, session_id).under == frozenset()


def test_the_sdr_tells_when_a_charge_was_under_an_incentive(site: Site) -> None:
    session_id = site.plug(E1)
    receive(site, maximum_w=None, peak="Peak hour")
    site.run_timers(TEN)
    increments = increments_of(site.system, session_id)
    information = information_of(
        session_id,
        increments,
        lambda evse_id, _: load_evse(site.system, evse_id).commissioned,
    )
    (part,) = [part for part in information.parts if part.kind == "incentive"]
    assert (part.description, part.begun_at, part.ended_at, part.outcome) == (
        "peak-1",
        NINE,
        TEN,
        "over",
    )
    assert limits(site) == {}


def test_who_comes_meanwhile_is_under_it_until_the_ev_leaves(site: Site) -> None:
    receive(site)
    session_id = site.plug(E1, NINE + MINUTE)
    begin_stay(site.system, BeginStay(evse_id=E1), by(NINE + MINUTE))
    begin_stay(site.system, BeginStay(evse_id=E1), by(NINE + MINUTE))
    site.unplug(E1, NINE + 2 * MINUTE)
    stay = EndStay(evse_id=E1, session_id=session_id)
    end_stay(site.system, stay, by(NINE + 2 * MINUTE))
    end_stay(site.system, stay, by(NINE + 2 * MINUTE))
    began, ended = told(site, session_id)
    assert isinstance(began, n.IncentiveBegan)
    assert isinstance(ended, n.IncentiveEnded)
    assert ended.reason == "the EV left"


def test_a_refusal_binds_until_the_ev_user_says_otherwise(site: Site) -> None:
    session_id = site.plug(E1)
    receive(site)
    answer(site, session_id, is_accepted=False)
    assert limits(site) == {E1: None} | dict.fromkeys(limits(site).keys() - {E1}, 3_000)
    assert part_of(site.system, session_id).under == frozenset()
    assert part_of(site.system, session_id).refused == {"peak-1"}
    answer(site, session_id, is_accepted=True, at=NINE + MINUTE)
    assert set(limits(site, NINE + MINUTE).values()) == {3_000}
    assert part_of(site.system, session_id).under == {"peak-1"}
    assert part_of(site.system, session_id).refused == frozenset()
    assert [type(event) for event in told(site, session_id)] == [
        n.IncentiveBegan,
        n.IncentiveAnswered,
        n.IncentiveEnded,
        n.IncentiveAnswered,
        n.IncentiveBegan,
    ]


def test_what_was_refused_before_does_not_begin(site: Site) -> None:
    session_id = site.plug(E1)
    receive(site, from_at=TEN, until_at=ELEVEN)
    answer(site, session_id, is_accepted=False)
    site.run_timers(TEN)
    assert part_of(site.system, session_id).under == frozenset()
    assert limits(site, TEN)[E1] is None
    assert limits(site, TEN)[E2] == 3_000
    # The next EV at the EVSE did not refuse.
    site.unplug(E1, TEN + MINUTE)
    stay = EndStay(evse_id=E1, session_id=session_id)
    end_stay(site.system, stay, by(TEN + MINUTE))
    assert limits(site, TEN + MINUTE)[E1] == 3_000


def test_an_incentive_is_withdrawn_by_who_brought_it(site: Site) -> None:
    session_id = site.plug(E1)
    receive(site)
    command = WithdrawIncentive(zone_id=ZONE, incentive_id="peak-1", reason="no peak")
    withdraw_incentive(site.system, command, by(NINE + MINUTE))
    assert set(limits(site).values()) == {None}
    ended = told(site, session_id)[-1]
    assert isinstance(ended, n.IncentiveEnded)
    assert ended.reason == "withdrawn"
    assert all(kind != "incentive" for kind, _ in site.timers())
    with pytest.raises(Unknown, match="'peak-1' does not hold here"):
        withdraw_incentive(site.system, command, by(NINE + MINUTE))


def test_without_an_incentive_there_is_nothing_to_refuse(site: Site) -> None:
    session_id = site.plug(E1)
    with pytest.raises(Refused, match="no incentive holds here"):
        answer(site, session_id, is_accepted=False)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"until_at": NINE}, "is over at"),
        ({"until_at": NINE + 8 * DAY}, "longer than 7 days"),
        ({"from_at": NINE + 32 * DAY, "until_at": NINE + 33 * DAY}, "at most 31 days"),
        ({"from_at": NINE + 1, "until_at": TEN}, "is not a whole second"),
        ({"maximum_w": None}, "has no tariff, CO2, maximum power or peak"),
        ({"maximum_w": -1}, "-1 W is not within"),
        ({"tariff": ((0, 30),)}, "a tariff has a currency"),
        ({"currency": "EUR"}, "a tariff has a currency"),
        ({"tariff": ((0, 30),), "currency": "Euro"}, "'Euro' is not three"),
        ({"tariff": ((1, 30),), "currency": "EUR"}, "first change is at 0 s"),
        ({"tariff": ((0, 30), (3_600, 1)), "currency": "EUR"}, "not before its end"),
        ({"co2": ((0, -1),)}, "-1 at 0 s is not within"),
        ({"peak": "x" * 201}, "201 characters is longer"),
        ({"incentive_id": "a b"}, "incentive id 'a b'"),
    ],
)
def test_an_incentive_that_makes_no_sense_is_refused(
    site: Site, changes: dict[str, Any], rule: str
) -> None:
    with pytest.raises(InvalidValue, match=rule):
        receive(site, **changes)


def test_an_incentive_is_received_once_and_for_a_zone_that_is(site: Site) -> None:
    receive(site, tariff=((0, 30), (600, 45)), currency="EUR", co2=((0, 380),))
    with pytest.raises(Refused, match="peak-1 was received before"):
        receive(site, until_at=TEN + SECOND)
    with pytest.raises(Unknown, match="'yard' was never defined"):
        receive(site, "peak-2", zone_id="yard")
