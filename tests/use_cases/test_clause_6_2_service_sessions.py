"""6.2 Service sessions: their transactions, closing and timers."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import session_events as s
from domain.model.values import DAY, HOUR, MINUTE, Event
from domain.ports import Batch, Timer
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from tests.use_cases.small_site import (
    ACCEPTED,
    ANNA,
    BEN,
    E1,
    E2,
    E3,
    NINE,
    PARKED,
    UNPARKED,
    WASH,
    WASHED,
    ZONE,
    Site,
    opened,
    requested,
    ticket,
)

RESERVED = s.ReservationMade(
    session_id="", from_at=NINE, until_at=NINE + HOUR, evse_id=E1
)
NO_MORE_RESERVED = s.ReservationEnded(session_id="", reason="cancelled")


# The five kinds of transactions


@pytest.mark.requirement("7.5.1")
def test_all_five_kinds_of_transactions_are_recorded_in_one_session(
    site: Site,
) -> None:
    session_id = site.add(RESERVED)
    told: Sequence[Event] = (
        s.ReservationChanged(session_id="", from_at=NINE, until_at=NINE + 2 * HOUR),
        s.ReservationMatched(session_id=""),
        PARKED,
        requested(E1),
        s.AuthorizationRefused(session_id="", by="emsp", reason="blocked"),
        requested(E1),
        ACCEPTED,
        WASH,
        WASHED,
        s.AuthorizationEnded(session_id=""),
        UNPARKED,
        NO_MORE_RESERVED,
    )
    for event in told:
        assert site.add(event, session_id) == session_id
    recorded = site.events(session_id)
    opening = s.SessionOpened(session_id=session_id, party="cso")
    filled = [
        msgspec.structs.replace(event, session_id=session_id, **place_of(event))
        for event in (RESERVED, *told)
    ]
    assert recorded[: len(filled) + 1] == [opening, *filled]


def place_of(event: Event) -> dict[str, str]:
    """Return what the use case adds of the place that a transaction names."""
    match event:
        case s.ReservationMade():
            return {"zone_id": ZONE}
        case s.AuthorizationRequested():
            return {"zone_id": ZONE, "station_id": "s1"}
        case _:
            return {}


@pytest.mark.requirement("7.5.2")
def test_a_closed_session_is_on_disk_when_closing_is_answered(tmp_path: Path) -> None:
    with opened(tmp_path, threaded=True) as system:
        site = Site(system)
        session_id = site.add(PARKED)
        site.add(UNPARKED, session_id)
        site.close(session_id)
        file = sqlite3.connect(f"file:{tmp_path}/ledger.sqlite?mode=ro", uri=True)
        found = file.execute(
            "SELECT type FROM rows WHERE stream = ? ORDER BY version",
            (f"session-{session_id}",),
        ).fetchall()
        file.close()
    assert [name for (name,) in found] == [
        "session.opened", "parking.started", "parking.ended", "session.closed",
        "sdr.collected",
    ]  # fmt: skip


def test_an_authorization_by_external_means_opens_a_session(site: Site) -> None:
    session_id = site.add(ACCEPTED)
    assert site.session(session_id).authorized


@pytest.mark.parametrize(
    ("event", "open_one"),
    [
        (UNPARKED, PARKED),
        (WASHED, WASH),
        (WASHED, s.OtherStarted(session_id="", service="valet")),
        (NO_MORE_RESERVED, RESERVED),
        (s.ReservationMatched(session_id=""), RESERVED),
        (s.AuthorizationEnded(session_id=""), ACCEPTED),
    ],
)
def test_what_was_not_begun_does_not_end(
    site: Site, event: Event, open_one: Event
) -> None:
    session_id = site.present(E1)
    before = site.log.last_position()
    with pytest.raises(Refused, match=rf"{session_id} has no .* open"):
        site.add(event, session_id)
    with pytest.raises(Refused, match=r"has no .* open"):
        site.add(event)
    assert site.log.last_position() == before
    site.add(open_one, session_id)
    if getattr(event, "service", "") == getattr(open_one, "service", ""):
        site.add(event, session_id)


def test_two_services_of_one_name_end_one_by_one(site: Site) -> None:
    session_id = site.add(WASH)
    site.add(WASH, session_id)
    site.add(WASHED, session_id)
    assert site.session(session_id).other == ("washing",)


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (s.SessionClosed(session_id="", reason=""), "SessionClosed is no transaction"),
        (s.OtherStarted(session_id="", service=""), "needs a name"),
        (msgspec.structs.replace(RESERVED, until_at=NINE), "is not after its begin"),
        (
            msgspec.structs.replace(RESERVED, from_at=1, until_at=2),
            "1970-01-01T00:00:00.000002Z was over before 2019",
        ),
        (
            msgspec.structs.replace(RESERVED, until_at=NINE + 800 * DAY),
            "more than 2 years",
        ),
        (msgspec.structs.replace(RESERVED, until_at=10**30), "10{30} µs .*2 years"),
        (msgspec.structs.replace(RESERVED, evse_id=""), "names 0 of EVSE, station"),
        (msgspec.structs.replace(RESERVED, station_id="s1"), "names 2 of EVSE"),
        (msgspec.structs.replace(RESERVED, evse_id="E1"), "EVSE id 'E1' is not"),
        (
            msgspec.structs.replace(RESERVED, evse_id="", evse_class="garage"),
            "class 'garage' is not '<zone>/AC'",
        ),
        (requested("cable 1"), "EVSE id 'cable 1' is not"),
        (requested(E1, "anna@example.org"), "subject id 'anna@example.org' is not"),
    ],
)
def test_a_malformed_transaction_is_refused(
    site: Site, event: Event, says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says):
        site.add(event)
    assert site.log.last_position() == before
    assert site.guards() == {}


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (requested("US*CAL*E9"), r"EVSE US\*CAL\*E9 was never"),
        (msgspec.structs.replace(RESERVED, evse_id="US*CAL*E9"), "was never"),
        (
            msgspec.structs.replace(RESERVED, evse_id="", station_id="s9"),
            "station 's9' was never",
        ),
        (
            msgspec.structs.replace(RESERVED, evse_id="", evse_class="x/DC"),
            "zone 'x' was never",
        ),
    ],
)
def test_a_transaction_at_an_unknown_place_is_refused(
    site: Site, event: Event, says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(Unknown, match=says):
        site.add(event)
    assert site.log.last_position() == before


def test_a_second_reservation_of_a_session_is_refused(site: Site) -> None:
    session_id = site.add(RESERVED)
    with pytest.raises(Refused, match="has a reservation until 2019-10-21T10:00:00Z"):
        site.add(msgspec.structs.replace(RESERVED, evse_id=E2), session_id)


@pytest.mark.parametrize("end", ["closed", "merged"])
def test_nothing_is_added_to_an_ended_session(site: Site, end: str) -> None:
    session_id = site.add(PARKED)
    if end == "closed":
        site.close(session_id)
        with pytest.raises(Refused, match=f"service session {session_id} is closed"):
            site.add(WASH, session_id)
        with pytest.raises(Refused, match="is closed"):
            site.close(session_id)
    else:
        kept = site.add(WASH)
        site.merge(session_id, kept)
        assert site.add(WASH, session_id) == kept
        with pytest.raises(Refused, match=f"was merged into {kept}"):
            site.merge(session_id, kept)


@pytest.mark.parametrize(
    "command",
    [
        lambda site: site.add(WASH, "x"),
        lambda site: site.close("x"),
        lambda site: site.merge("x", "y"),
    ],
    ids=["add", "close", "merge"],
)
def test_an_unknown_session_is_refused(
    site: Site, command: Callable[[Site], object]
) -> None:
    before = site.log.last_position()
    with pytest.raises(Unknown, match="service session 'x' was never opened"):
        command(site)
    assert site.log.last_position() == before


# Closing


def test_a_session_is_closed_by_command(site: Site) -> None:
    session_id = site.add(PARKED, reference=ticket())
    site.close(session_id)
    assert site.session(session_id).closed
    assert site.events(session_id)[-2] == s.SessionClosed(
        session_id=session_id, reason="user gone"
    )


def test_a_plugged_session_is_not_closed(site: Site) -> None:
    session_id = site.plug(E1)
    with pytest.raises(Refused, match=rf"{session_id} is plugged at US\*CAL\*E1"):
        site.close(session_id)


def test_a_session_closes_fifteen_minutes_after_its_evse_was_released(
    site: Site,
) -> None:
    session_id = site.plug(E1)
    site.unplug(E1, NINE + HOUR)
    site.run_timers(NINE + HOUR + CLOSE_AFTER - 1)
    assert site.session(session_id).is_open
    site.run_timers(NINE + 5 * HOUR)
    closed = site.log.read_stream(f"session-{session_id}")[-2]
    assert closed.event == s.SessionClosed(session_id=session_id, reason="idle")
    assert closed.occurred_at == NINE + HOUR + CLOSE_AFTER
    assert site.timers() == []


@pytest.mark.parametrize(
    ("began", "ended"),
    [(PARKED, UNPARKED), (WASH, WASHED), (RESERVED, NO_MORE_RESERVED)],
    ids=["parking", "other", "reservation"],
)
@pytest.mark.parametrize("gap", [5 * MINUTE, 45 * MINUTE])
def test_a_session_stays_while_something_is_open_and_for_a_while_after(
    site: Site, began: Event, ended: Event, gap: int
) -> None:
    """Given an EV unplugged at ten and ``ended`` a ``gap`` later."""
    if isinstance(began, s.ReservationMade):
        began = msgspec.structs.replace(began, until_at=NINE + 9 * HOUR)
    session_id = site.plug(E1)
    site.add(began, session_id)
    site.unplug(E1, NINE + HOUR)
    end_at = NINE + HOUR + gap
    site.run_timers(end_at)
    site.add(ended, session_id, at=end_at)
    site.run_timers(end_at + CLOSE_AFTER - 1)
    assert site.session(session_id).is_open
    site.run_timers(end_at + CLOSE_AFTER)
    assert site.session(session_id).closed
    assert site.guards() == {}


def test_a_plug_before_the_timer_keeps_the_session_open(site: Site) -> None:
    session_id = site.plug(E1, subject_id=ANNA)
    site.unplug(E1, NINE + HOUR)
    again_at = NINE + HOUR + CLOSE_AFTER - 1
    assert site.plug(E2, again_at, subject_id=ANNA) == session_id
    site.run_timers(NINE + DAY)
    assert site.session(session_id).is_open
    site.unplug(E2, NINE + DAY)
    site.run_timers(NINE + DAY + CLOSE_AFTER)
    assert site.session(session_id).closed


@pytest.mark.parametrize(
    "first",
    [
        requested(E1),
        ACCEPTED,
        s.AuthorizationRefused(session_id="", by="emsp", reason="no"),
    ],
)
def test_a_session_that_nobody_plugs_closes_too(site: Site, first: Event) -> None:
    session_id = site.add(first)
    site.run_timers(NINE + CLOSE_AFTER)
    assert site.session(session_id).closed
    assert site.guards() == {}
    assert site.timers() == []


def test_a_reservation_ends_with_its_time(site: Site) -> None:
    session_id = site.reserve(evse_id=E1)
    site.run_timers(NINE + HOUR - 1)
    assert site.session(session_id).reservation
    site.run_timers(NINE + HOUR)
    assert site.types(session_id)[-1] == "reservation.ended"
    assert site.guards() == {}
    site.run_timers(NINE + HOUR + CLOSE_AFTER)
    assert site.session(session_id).closed


def test_a_reservation_that_was_prolonged_ends_later(site: Site) -> None:
    session_id = site.reserve(evse_id=E1)
    changed = s.ReservationChanged(
        session_id="", from_at=NINE, until_at=NINE + 2 * HOUR
    )
    site.add(changed, session_id)
    site.run_timers(NINE + HOUR)
    assert site.session(session_id).reservation
    site.run_timers(NINE + 3 * HOUR)
    assert site.session(session_id).closed


def test_timers_that_are_long_due_are_run_in_one_go(site: Site) -> None:
    """Given a server that was down when a reservation and then its session ended."""
    session_id = site.reserve(evse_id=E1)
    assert site.run_timers(NINE + DAY) == 2
    rows = site.log.read_stream(f"session-{session_id}")
    assert [row.occurred_at for row in rows[-3:-1]] == [
        NINE + HOUR,
        NINE + HOUR + CLOSE_AFTER,
    ]
    assert site.run_timers(NINE + DAY) == 0


def test_an_old_timer_of_a_session_only_goes(site: Site) -> None:
    """Given a timer that the session has no reason for."""
    session_id = site.plug(E1)
    stray = Timer(NINE + MINUTE, f"session-{session_id}", "close")
    site.log.append(Batch(appends=(), timers=(stray,)))
    before = site.log.last_position()
    assert site.run_timers(NINE + HOUR) == 1
    assert site.log.last_position() == before
    assert site.timers() == []


def test_timers_of_others_are_left_alone(site: Site) -> None:
    other = Timer(NINE, "zone-garage", "wake")
    site.log.append(Batch(appends=(), timers=(other,)))
    assert site.run_timers(NINE + HOUR) == 0
    assert site.log.due_timers(NINE) == [other]


def test_closed_and_merged_sessions_leave_only_references_behind(site: Site) -> None:
    """Given a session that held a guard row of every kind."""
    session_id = site.reserve(station_id="s2", reference=ticket())
    site.add(requested(E1, ANNA), session_id)
    site.add(requested(E3, BEN), session_id)
    assert set(site.guards()) == {"reservation", "waiting", "subject-at", "reference"}
    assert len(site.guards()["subject-at"]) == 2
    site.close(session_id)
    assert site.guards() == {"reference": [ticket().key]}
    assert site.timers() == []
