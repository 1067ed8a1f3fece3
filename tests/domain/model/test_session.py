"""The fold of a session: facts in any order of arrival, decisions in theirs."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Refused
from domain.model import session_events as s
from domain.model.session import Session, evolve
from domain.model.values import Event, Instant, Quality

Told = tuple[Instant, Event]

# Few instants, so that facts often tie.
INSTANTS = st.integers(1, 4)
ENERGIES = st.integers(-3, 3)
QUALITIES = st.sampled_from(Quality)

FACTS = st.one_of(
    st.builds(
        s.TransferStarted,
        session_id=st.just("s"),
        evse_id=st.sampled_from(["E1", "E2"]),
        register_wh=ENERGIES,
        quality=QUALITIES,
    ),
    st.builds(
        s.TransferEnded,
        session_id=st.just("s"),
        energy_wh=ENERGIES,
        reason=st.just(""),
        quality=QUALITIES,
    ),
    st.builds(
        s.TransferObserved,
        session_id=st.just("s"),
        evse_id=st.just("E1"),
        energy_wh=ENERGIES,
        power_w=ENERGIES,
        quality=QUALITIES,
    ),
    st.builds(
        s.TransferPaused, session_id=st.just("s"), by=st.just("ev"), quality=QUALITIES
    ),
    st.builds(s.TransferResumed, session_id=st.just("s"), quality=QUALITIES),
    st.builds(
        s.TransferIntervalMetered,
        session_id=st.just("s"),
        evse_id=st.just("E1"),
        from_at=st.just(0),
        energy_wh=ENERGIES,
        total_wh=ENERGIES,
        quality=QUALITIES,
    ),
)
TOLD = st.lists(st.tuples(INSTANTS, FACTS), max_size=8)

DECISIONS: list[Told] = [
    (1, s.SessionOpened(session_id="s", party="cso")),
    (1, s.ParkingStarted(session_id="s")),
    (2, s.EvseBound(session_id="s", evse_id="E1", station_id="s1", zone_id="z")),
    (2, s.AuthorizationAccepted(session_id="s", by="emsp")),
    (4, s.EvseReleased(session_id="s", evse_id="E1")),
]


def fold(told: list[Told], state: Session | None = None) -> Session:
    state = state or Session()
    for at, event in told:
        state = evolve(state, event, at)
    return state


@settings(max_examples=500)
@given(TOLD.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_facts_give_the_same_state_in_any_order(
    orders: tuple[list[Told], list[Told]],
) -> None:
    told, shuffled = orders
    assert fold(told) == fold(shuffled)


@given(TOLD, st.data())
def test_facts_may_come_anywhere_between_decisions(
    told: list[Told], data: st.DataObject
) -> None:
    mixed: list[Told] = list(DECISIONS)
    for fact in told:
        mixed.insert(data.draw(st.integers(0, len(mixed))), fact)
    assert fold(mixed) == fold(DECISIONS + told)


@given(TOLD)
def test_a_fact_that_comes_twice_counts_once(told: list[Told]) -> None:
    assert fold(told + told) == fold(told)


@given(TOLD)
def test_only_good_and_late_facts_count(told: list[Told]) -> None:
    usable = [
        (at, event)
        for at, event in told
        if getattr(event, "quality", "") in (Quality.GOOD, Quality.LATE)
    ]
    assert fold(told) == fold(usable)


@given(TOLD)
def test_the_energy_is_that_of_the_last_fact(told: list[Told]) -> None:
    said = [
        (at, event.energy_wh)
        for at, event in told
        if isinstance(event, s.TransferEnded | s.TransferObserved)
        and event.quality in (Quality.GOOD, Quality.LATE)
    ]
    state = fold(told)
    assert (state.energy_at, state.energy_wh) == max(said, default=(0, 0))


@given(TOLD)
def test_energy_flows_when_it_began_after_it_ended(told: list[Told]) -> None:
    def last(kind: type[Event]) -> int:
        return max(
            (
                at
                for at, event in told
                if isinstance(event, kind)
                and getattr(event, "quality", "") in (Quality.GOOD, Quality.LATE)
            ),
            default=0,
        )

    began = last(s.TransferStarted) > last(s.TransferEnded)
    assert fold(told).transferring == began


@pytest.mark.parametrize(
    ("events", "idle"),
    [
        ([], True),
        ([s.ParkingStarted(session_id="s")], False),
        ([s.OtherStarted(session_id="s", service="valet")], False),
        ([s.ReservationMade(session_id="s", from_at=1, until_at=2)], False),
        ([s.EvseBound(session_id="s", evse_id="E", station_id="", zone_id="")], False),
        ([s.SessionClosed(session_id="s", reason="")], False),
        ([s.MergedInto(session_id="s", into_session_id="t")], False),
        ([s.ParkingStarted(session_id="s"), s.ParkingEnded(session_id="s")], True),
    ],
)
def test_a_session_is_idle_when_nothing_of_it_is_open(
    events: list[Event], idle: bool
) -> None:
    opened = s.SessionOpened(session_id="s", party="cso")
    assert fold([(1, event) for event in (opened, *events)]).is_idle == idle


def test_what_was_carried_over_adds_up() -> None:
    reservation = s.ReservationMade(session_id="t", from_at=1, until_at=2)
    state = fold(
        [
            (1, s.SessionOpened(session_id="s", party="cso")),
            (1, s.ParkingStarted(session_id="s")),
            (
                2,
                s.MergedFrom(
                    session_id="s",
                    from_session_id="t",
                    subject_id="anna",
                    authorized=True,
                    presented=(("E1", "anna"),),
                    waiting_at="E1",
                    reservation=reservation,
                    parking=1,
                    other=("valet",),
                ),
            ),
        ]
    )
    assert (state.parking, state.other) == (2, ("valet",))
    assert (state.subject_id, state.authorized) == ("anna", True)
    assert state.presented == frozenset({("E1", "anna")})
    assert state.waiting_at == "E1"
    assert (state.reservation, state.active_at) == (reservation, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"opened": False}, "'s' was never opened"),
        ({"closed": True}, "s is closed"),
        ({"merged_into": "t"}, "s was merged into t"),
    ],
)
def test_what_is_not_open_is_refused(change: dict[str, object], says: str) -> None:
    state = fold([(1, s.SessionOpened(session_id="s", party="cso"))])
    state.check_open()
    with pytest.raises(Refused, match=says):
        msgspec.structs.replace(state, **change).check_open()
