"""Where the streams of rows stand, and what is remembered of it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from api.security import event_reach
from api.security.event_reach import StreamPlaces, reaches
from api.security.principal import Principal, Role
from domain.model import ids
from domain.model import station_events as t
from domain.model.activity_events import ActivityAsked
from domain.model.values import HOUR, Event, Instant, iso_of
from domain.ports import Append, Batch, Recorded
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

OTHER_EVSE = "DE*ABC*E900"


def operator_of(zone_id: str) -> Principal:
    return Principal(
        tenant="main",
        actor="tester",
        roles=frozenset({Role.OPERATOR}),
        zones=frozenset({zone_id}),
    )


def reserved(served: Served, cso: Any, evse_id: str, session_id: str = "") -> str:
    now = served.clock.now()
    body: dict[str, Any] = {
        "evse_id": evse_id,
        "from_at": iso_of(now),
        "until_at": iso_of(now + HOUR),
    }
    if session_id:
        body["session_id"] = session_id
    found: str = cso.done("/reservations", body)["session_id"]
    return found


def settle_yard(caller_for: CallerFor) -> None:
    admin = caller_for("admin", zones=("*",))
    zone = {"zone_id": "yard", "name": "Yard", "limit_w": 1_000, "safe_upper_w": 0}
    admin.done("/zones", zone)
    evse = {
        "evse_id": OTHER_EVSE,
        "current": "AC",
        "phases": 1,
        "voltage_v": 230,
        "max_w": 1_000,
        "floor_w": 0,
    }
    station = {"station_id": "s9", "zone_id": "yard", "evses": [evse]}
    admin.done("/stations", station)


@pytest.mark.requirement("7.9.4.5")
def test_a_session_that_moved_is_out_of_reach_where_it_was(
    served: Served, caller_for: CallerFor
) -> None:
    settle_yard(caller_for)
    cso = caller_for("cso", party="fleet", zones=("*",))
    places = StreamPlaces(served.system)
    session_id = reserved(served, cso, EVSES[0])
    for row in served.system.log.read_stream(f"session-{session_id}"):
        assert reaches(operator_of(ZONE), places.of(row))
        assert not reaches(operator_of("yard"), places.of(row))
    cso.done("/reservations/ends", {"session_id": session_id, "reason": "moved"})
    reserved(served, cso, OTHER_EVSE, session_id)
    moved = served.system.log.read_stream(f"session-{session_id}")[-1]
    assert reaches(operator_of("yard"), places.of(moved))
    assert not reaches(operator_of(ZONE), places.of(moved))


def test_where_a_session_stands_is_asked_again_after_a_while(
    served: Served, caller_for: CallerFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_yard(caller_for)
    cso = caller_for("cso", party="fleet", zones=("*",))
    places = StreamPlaces(served.system)
    session_id = reserved(served, cso, EVSES[0])
    first = served.system.log.read_stream(f"session-{session_id}")[0]
    monkeypatch.setattr(event_reach, "_SESSION_HELD_S", 0.0)
    assert reaches(operator_of(ZONE), places.of(first))
    cso.done("/reservations/ends", {"session_id": session_id, "reason": "moved"})
    reserved(served, cso, OTHER_EVSE, session_id)
    assert not reaches(operator_of(ZONE), places.of(first))


@pytest.mark.requirement("7.9.4.5")
def test_what_a_station_tells_is_for_its_zone_alone(
    served: Served, caller_for: CallerFor
) -> None:
    settle_yard(caller_for)
    now = served.clock.now()
    places = StreamPlaces(served.system)
    for station_id, zone_id in (("s1", ZONE), ("s9", "yard"), ("unplaced", "")):
        for row in told_by(served, station_id, now):
            reached = {
                z for z in (ZONE, "yard") if reaches(operator_of(z), places.of(row))
            }
            assert reached == {zone_id} - {""}, row.stream


def told_by(served: Served, station_id: str, at: Instant) -> Sequence[Recorded]:
    """Let a station tell something on each of its streams; return the rows."""
    asked = ActivityAsked(
        activity_id=f"a-{station_id}", kind="reset", station_id=station_id, due_at=at
    )
    facts: list[tuple[str, Event]] = [
        (
            ids.connectivity_stream(station_id, at),
            t.StationDisconnected(station_id=station_id, reason="gone"),
        ),
        (
            ids.transaction_stream(station_id, "1"),
            t.StationTransactionGap(
                station_id=station_id, transaction_id="1", from_seq_no=1, until_seq_no=2
            ),
        ),
        (ids.activity_stream(asked.activity_id), asked),
        (
            ids.delivery_stream(station_id, at),
            t.EtpFollowedAgain(evse_id=EVSES[0], number=1),
        ),
    ]
    appends = tuple(Append(stream, (event,), at) for stream, event in facts)
    answer = served.system.log.append(Batch(appends=appends))
    return served.system.log.read(after=answer.first - 1, limit=len(appends))


def test_incentives_are_for_who_reaches_their_zone(served: Served) -> None:
    places = StreamPlaces(served.system)
    row = served.system.log.read(after=0, limit=1)[0]
    told = msgspec.structs.replace(row, stream=ids.incentive_stream("yard"))
    assert reaches(operator_of("yard"), places.of(told))
    assert not reaches(operator_of(ZONE), places.of(told))


def test_what_stands_nowhere_is_for_who_reaches_everything(served: Served) -> None:
    places = StreamPlaces(served.system)
    row = served.system.log.read(after=0, limit=1)[0]
    for stream in (
        "session-none",
        "evse-DE*ABC*E77",
        "station-none",
        "nothing-none",
        "activity-none",
    ):
        stray = msgspec.structs.replace(row, stream=stream)
        assert places.of(stray) is None
        assert not reaches(operator_of(ZONE), None)
