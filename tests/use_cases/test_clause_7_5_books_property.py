"""7.5 However a station's messages come, the books are those of one that was online."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.model.sdr_information import SdrInformation
from domain.model.values import HOUR
from tests.use_cases.reported import Message, Station, day
from tests.use_cases.small_site import ANNA, NINE, Site, opened

# In place of a message: our own process is killed and begins anew.
RESTART = -1

# What an EVSE of 6,656 W gives in some seconds.
STEPS = st.lists(
    st.integers(120, 1_500).flatmap(
        lambda seconds: st.tuples(st.just(seconds), st.integers(0, seconds * 6 // 4))
    ),
    min_size=3,
    max_size=14,
)


def told(information: SdrInformation) -> dict[str, Any]:
    """Return what is to be the same, without ids and where it was recorded."""
    energy = information.energy
    return {
        "opened": information.opened_at,
        "subjects": information.subject_ids,
        "energy": (energy.to_ev_wh, energy.from_ev_wh),
        "intervals": [
            (i.evse_id, i.from_at, i.until_at, i.to_ev_wh, i.from_ev_wh)
            for i in energy.intervals
        ],
        "places": information.places,
        "parts": [
            (p.kind, p.description, p.begun_at, p.ended_at, p.outcome)
            for p in information.parts
        ],
        "incidents": information.incidents,
    }


def run(messages: list[Message], plan: list[tuple[int, bool]]) -> dict[str, Any]:
    """Return what the SDR tells when messages come as planned: (which, offline)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(Path(folder) / "store") as system,
    ):
        station = Station(Site(system))
        station.sign(ANNA)
        for index, is_offline in plan:
            if index == RESTART:
                station.restart()
            else:
                station.send(messages[index], is_offline=is_offline)
        (session_id,) = station.sessions()
        # Nobody is there any more, and nothing more is waited for.
        assert station.site.guards().get("occupant") is None
        assert not station.site.log.claims("station-transaction")
        assert not station.site.log.claims("live-transaction")
        return told(station.information(session_id))


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Message], list[tuple[int, bool]]]:
    """Messages, and in which order they come, each at least once; and restarts."""
    messages = day(NINE + draw(st.integers(0, 900)) * 1_000_000, draw(STEPS), 500)
    n = len(messages)
    online = draw(st.sets(st.integers(0, n - 1)))
    # What was online comes in its order; what was not, at any time after it happened.
    plan: list[tuple[int, bool]] = []
    waiting: list[int] = []
    for index in range(n):
        if index in online:
            plan.append((index, False))
        else:
            waiting.append(index)
        for some in draw(st.lists(st.sampled_from(range(index + 1)), max_size=2)):
            # A repeat of any that came, or one that was waiting.
            is_out = some in waiting
            if is_out or draw(st.booleans()):
                plan.append((some, some not in online))
                waiting = [each for each in waiting if each != some]
        if draw(st.integers(0, 5)) == 0:
            plan.append((RESTART, False))
    plan += [(index, True) for index in draw(st.permutations(waiting))]
    return messages, plan


@pytest.mark.requirement("7.5.1")
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(arrivals())
def test_any_order_repeats_and_restarts_give_the_books_of_a_station_always_online(
    drawn: tuple[list[Message], list[tuple[int, bool]]],
) -> None:
    messages, plan = drawn
    found = run(messages, plan)
    always = run(messages, [(i, False) for i in range(len(messages))])
    assert found == always
    first, last = messages[0].wh, messages[-1].wh
    assert first is not None
    assert last is not None
    assert found["energy"] == (last - first, 0)
    assert messages[-1].at < NINE + 24 * HOUR
