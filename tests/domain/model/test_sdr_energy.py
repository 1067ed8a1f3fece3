"""S6: energy of a session, transfer by transfer, also of sessions that were merged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.model import session_events as s
from domain.model.registry import BY_CLASS
from domain.model.sdr import Increment
from domain.model.sdr_energy import SdrEnergy, energy_of
from domain.model.values import Event, Quality


def told(*events: Event) -> list[Increment]:
    return [
        Increment(
            sequence=i,
            position=i,
            occurred_at=i,
            kind="transfer",
            type=BY_CLASS[type(event)].name,
            by="s1",
            event=event,
        )
        for i, event in enumerate(events, start=1)
    ]


def energy(*events: Event) -> SdrEnergy:
    return energy_of(told(*events))


def started(
    session_id: str, evse_id: str, quality: Quality = Quality.GOOD
) -> s.TransferStarted:
    return s.TransferStarted(session_id=session_id, evse_id=evse_id, quality=quality)


def metered(session_id: str, evse_id: str, energy_wh: int) -> s.TransferIntervalMetered:
    return s.TransferIntervalMetered(
        session_id=session_id,
        evse_id=evse_id,
        from_at=0,
        energy_wh=energy_wh,
        total_wh=energy_wh,
    )


def ended(
    session_id: str, energy_wh: int, quality: Quality = Quality.GOOD
) -> s.TransferEnded:
    return s.TransferEnded(
        session_id=session_id, energy_wh=energy_wh, reason="", quality=quality
    )


def test_transfers_of_merged_sessions_that_overlapped_both_count() -> None:
    found = energy(
        started("a", "E1"), started("b", "E2"), ended("a", 10_000), ended("b", 5_000)
    )
    assert found.to_ev_wh == 15_000


def test_each_of_two_transfers_that_overlapped_has_its_own_meterings() -> None:
    found = energy(
        started("a", "E1"),
        metered("a", "E1", 4_000),
        started("b", "E2"),
        metered("b", "E2", 2_000),
        ended("a", 10_000),
        metered("b", "E2", 1_000),
        # After its end: known by the end already.
        metered("a", "E1", 500),
        ended("b", -1_000),
    )
    assert (found.to_ev_wh, found.from_ev_wh) == (13_000, 4_000)
    assert [i.to_ev_wh for i in found.intervals] == [4_000, 2_000, 1_000, 500]


def test_an_end_counts_where_its_start_told_no_usable_register() -> None:
    found = energy(
        started("a", "E1"),
        ended("a", 10_000),
        started("a", "E2", Quality.IMPLAUSIBLE),
        metered("a", "E2", 2_000),
        ended("a", 5_000),
    )
    assert found.to_ev_wh == 15_000


def test_an_end_without_a_start_counts() -> None:
    assert energy(ended("a", 700)).to_ev_wh == 700
    assert energy(metered("a", "E1", 400), ended("a", 700)).to_ev_wh == 700


def test_a_start_that_was_corrected_to_after_a_metering_counts_nothing_twice() -> None:
    found = energy(metered("a", "E1", 400), started("a", "E1"), metered("a", "E1", 300))
    assert found.to_ev_wh == 700
    found = energy(metered("a", "E1", 400), started("a", "E1"), ended("a", 700))
    assert found.to_ev_wh == 700


def test_what_began_in_a_merged_session_ends_in_the_one_that_stays() -> None:
    merged = s.MergedInto(session_id="a", into_session_id="b")
    found = energy(
        started("a", "E1"),
        metered("a", "E1", 4_000),
        merged,
        metered("b", "E1", 3_000),
        ended("b", 8_000),
    )
    assert (found.to_ev_wh, found.from_ev_wh) == (8_000, 0)


def test_an_implausible_end_leaves_what_was_metered() -> None:
    found = energy(
        started("a", "E1"),
        metered("a", "E1", 4_000),
        ended("a", 9_000_000, Quality.IMPLAUSIBLE),
        started("a", "E1"),
        ended("a", 1_000),
    )
    assert found.to_ev_wh == 5_000


@pytest.mark.requirement("S6.Req2")
@given(st.data())
def test_energy_in_all_is_what_the_ends_say(data: st.DataObject) -> None:
    """However the transfers of merged sessions lay over one another in time."""
    left: dict[str, list[Event]] = {}
    total_wh = 0
    for session_id in ("a", "b", "c"):
        gained = data.draw(st.lists(st.integers(0, 9_000), max_size=3))
        energy_wh = sum(gained) + data.draw(st.integers(0, 100))
        total_wh += energy_wh
        left[session_id] = [
            started(session_id, f"E-{session_id}"),
            *(metered(session_id, f"E-{session_id}", wh) for wh in gained),
            ended(session_id, energy_wh),
        ]
    events = []
    while left:
        session_id = data.draw(st.sampled_from(sorted(left)))
        events.append(left[session_id].pop(0))
        if not left[session_id]:
            del left[session_id]
    assert energy(*events).to_ev_wh == total_wh
