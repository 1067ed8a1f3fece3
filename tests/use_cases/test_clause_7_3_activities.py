"""7.3 Activities: asked for, carried out, ended once, timed out when nothing came."""

import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import activity_events as y
from domain.model.activity_events import ActivityKind, Outcome
from domain.model.values import DAY, MINUTE, SECOND, Event
from domain.ports import Answer
from domain.use_cases import clause_7_3_activities as activities
from domain.use_cases.clause_7_3_activities import (
    AskActivity,
    EndActivity,
    ProgressActivity,
    ask_activity,
    end_activity,
    load_activity,
    open_activities,
    progress_activity,
)
from domain.use_cases.clause_7_3_stations import RegisterStation, register_station
from tests.use_cases.small_site import NINE, Site, by


def register(site: Site, station_id: str = "s1") -> None:
    command = RegisterStation(
        station_id=station_id, identity=station_id, security_profile=1
    )
    register_station(site.system, command, by(), password_digest=bytes(32))


def ask(site: Site, command_id: str = "", due_after: int = 0) -> str:
    command = AskActivity(
        kind=ActivityKind.UNLOCK, station_id="s1", due_after=due_after
    )
    return id_of(site, ask_activity(site.system, command, by(command_id=command_id)))


def id_of(site: Site, answer: Answer) -> str:
    rows = site.rows(after=answer.first - 1)[: answer.count]
    found = [r.event for r in rows if isinstance(r.event, y.ActivityAsked)]
    return found[0].activity_id


def told(site: Site, activity_id: str) -> list[Event | None]:
    return [row.event for row in site.log.read_stream(f"activity-{activity_id}")]


def end(site: Site, activity_id: str, outcome: Outcome = Outcome.DONE) -> None:
    command = EndActivity(activity_id=activity_id, outcome=outcome)
    end_activity(site.system, command, by())


def opened(site: Site) -> list[str]:
    return [each.activity_id for each in open_activities(site.system, "s1")]


def test_an_activity_is_open_until_it_ends_and_ends_once(site: Site) -> None:
    register(site)
    asked = ask(site)
    assert opened(site) == [asked]
    assert load_activity(site.system, asked).is_waiting
    step = ProgressActivity(activity_id=asked, step=activities.SENT)
    progress_activity(site.system, step, by())
    assert not load_activity(site.system, asked).is_waiting
    assert opened(site) == [asked]
    end(site, asked)
    end(site, asked, Outcome.FAILED)
    progress_activity(site.system, step, by())
    assert opened(site) == []
    assert [type(event) for event in told(site, asked)] == [
        y.ActivityAsked,
        y.ActivityProgressed,
        y.ActivityEnded,
    ]
    assert site.timers() == []


def test_an_activity_that_nothing_came_of_times_out_when_it_is_due(site: Site) -> None:
    register(site)
    asked, ended = ask(site), ask(site)
    end(site, ended)
    assert site.run_timers(NINE + 2 * MINUTE - SECOND) == 0
    assert site.run_timers(NINE + 2 * MINUTE) == 1
    assert told(site, asked)[-1] == y.ActivityTimedOut(
        activity_id=asked, station_id="s1"
    )
    assert opened(site) == []
    end(site, asked)
    assert isinstance(told(site, asked)[-1], y.ActivityTimedOut)


def test_a_repeated_command_asks_for_one_activity(site: Site) -> None:
    register(site)
    assert ask(site, "again") == ask(site, "again")
    assert len(opened(site)) == 1


def test_nothing_is_asked_of_a_station_that_cannot_connect(site: Site) -> None:
    with pytest.raises(Refused, match="s1 is not registered"):
        ask(site)
    command = AskActivity(kind=ActivityKind.RESET, station_id="s9")
    with pytest.raises(Unknown, match="'s9' was never"):
        ask_activity(site.system, command, by())


@pytest.mark.parametrize("due_after", [1, SECOND, DAY + 1, -MINUTE])
def test_an_activity_is_due_in_5_seconds_to_a_day(site: Site, due_after: int) -> None:
    register(site)
    with pytest.raises(InvalidValue, match="is not 5 s to 86400 s"):
        ask(site, due_after=due_after)


def test_an_activity_that_nobody_asked_for_is_unknown(site: Site) -> None:
    with pytest.raises(Unknown, match="'x' was never asked for"):
        end(site, "x")
