"""S6 SDR information: what is collected at closing, and what a CSO received."""

from typing import Any

import msgspec
import pytest

from domain.errors import InvalidValue, Refused
from domain.model import session_events as s
from domain.model.sdr import Increment, digest_of
from domain.model.sdr_information import SdrInformation, information_of
from domain.model.session import Session
from domain.model.site_events import EvseCommissioned
from domain.model.values import HOUR, MINUTE, Current, Event, Instant, Quality
from domain.ports import Append, Batch, System
from domain.use_cases.clause_6_2_guards import CLOSE_AFTER
from domain.use_cases.e1_smart_charging import PlugEv, UnplugEv, plug_ev, unplug_ev
from domain.use_cases.s6_sdr_information import ReceiveSdr, increments_of, receive_sdr
from tests.use_cases.small_site import (
    ACCEPTED,
    ANNA,
    E1,
    E2,
    NINE,
    UNPARKED,
    Site,
    by,
    requested,
    ticket,
)

PARKED = s.ParkingStarted(session_id="", place="level 2")


def tell(
    site: Site, session_id: str, *events: Event, at: Instant = NINE + MINUTE
) -> None:
    """Record facts of a session."""
    stream = f"session-{session_id}"
    site.log.append(Batch(appends=(Append(stream, events, at),)))


def collected(site: Site, session_id: str) -> s.SdrCollected:
    last = site.log.read_stream(f"session-{session_id}")[-1].event
    assert isinstance(last, s.SdrCollected)
    return last


def charged(site: Site) -> str:
    """Return a session that charged for an hour and closed."""
    session_id = site.plug(E1)
    site.present(E1)
    site.add(ACCEPTED, session_id)
    site.unplug(E1)
    site.run_timers(NINE + HOUR + CLOSE_AFTER)
    return session_id


def information(site: Site, session_id: str) -> SdrInformation:
    commissioned = EvseCommissioned(
        evse_id=E1,
        station_id="s1",
        zone_id="garage",
        current=Current.AC,
        phases=1,
        voltage_v=208,
        max_w=6_656,
        floor_w=1_248,
    )
    known = increments_of(site.system, session_id)
    return information_of(session_id, known, lambda *_: commissioned)


@pytest.mark.requirement("7.5.2")
def test_the_append_that_closes_a_session_says_what_was_collected(site: Site) -> None:
    session_id = charged(site)
    closed, record = site.log.read_stream(f"session-{session_id}")[-2:]
    assert isinstance(closed.event, s.SessionClosed)
    assert record.position == closed.position + 1
    known = increments_of(site.system, session_id)
    assert known[-1].event == closed.event
    assert record.event == s.SdrCollected(
        session_id=session_id, increments=len(known), digest=digest_of(known)
    )


@pytest.mark.requirement("S6.Req1")
def test_an_increment_is_there_as_soon_as_its_transaction_is(site: Site) -> None:
    session_id = site.add(PARKED)
    assert [i.type for i in increments_of(site.system, session_id)] == [
        "session.opened",
        "parking.started",
    ]
    site.add(UNPARKED, session_id)
    last = increments_of(site.system, session_id)[-1]
    assert (last.sequence, last.type, last.kind) == (3, "parking.ended", "parking")
    assert last.by == "cso"


def test_another_story_has_another_digest(site: Site) -> None:
    known = increments_of(site.system, charged(site))
    for changed in (
        msgspec.structs.replace(known[0], occurred_at=known[0].occurred_at + 1),
        msgspec.structs.replace(known[0], by="somebody"),
        msgspec.structs.replace(known[0], event=s.ParkingEnded(session_id="")),
    ):
        assert digest_of([changed, *known[1:]]) != digest_of(known)


class LateFactLog:
    """A log in which a fact is recorded just before each append."""

    def __init__(self, site: Site, session_id: str) -> None:
        self._site = site
        self._session_id = session_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site.log, name)

    def append(self, batch: Batch) -> Any:
        kept = s.TransferPaused(session_id=self._session_id, by="ev")
        tell(self._site, self._session_id, kept)
        return self._site.log.append(batch)


def test_a_fact_that_slips_in_does_not_break_the_digest(site: Site) -> None:
    """Given a fact recorded between the look at a session and its closing."""
    session_id = site.add(PARKED)
    site.add(UNPARKED, session_id)
    site.with_log(LateFactLog(site, session_id)).close(session_id)
    record = collected(site, session_id)
    known = increments_of(site.system, session_id)
    assert [i.type for i in known[-2:]] == ["transfer.paused", "session.closed"]
    first = known[: record.increments - 1]
    assert record.digest == digest_of([*first, known[-1]])


def test_what_comes_after_closing_says_so(site: Site) -> None:
    session_id = charged(site)
    count = len(increments_of(site.system, session_id))
    late = s.TransferIntervalMetered(
        session_id=session_id,
        evse_id=E1,
        from_at=NINE,
        energy_wh=70,
        total_wh=70,
        quality=Quality.LATE,
    )
    tell(site, session_id, late)
    known = increments_of(site.system, session_id)
    assert [i.sequence for i in known] == list(range(1, count + 2))
    assert [i.after_closing for i in known] == [False] * count + [True]
    assert information(site, session_id).is_final


def test_a_merged_session_gives_its_increments_to_the_one_that_stays(
    site: Site,
) -> None:
    gone = site.add(PARKED, at=NINE - HOUR, reference=ticket())
    kept = site.plug(E1)
    before = increments_of(site.system, kept)
    theirs = increments_of(site.system, gone)
    site.merge(gone, kept)
    known = increments_of(site.system, kept)
    assert known[: len(before)] == before
    taken = known[len(before) : len(before) + len(theirs) + 1]
    assert [i.position for i in taken[:-1]] == [i.position for i in theirs]
    assert taken[-1].type == "session.merged_into"
    assert [i.sequence for i in known] == list(range(1, len(known) + 1))
    assert increments_of(site.system, gone)[: len(theirs)] == theirs

    site.add(UNPARKED, kept)
    site.unplug(E1)
    site.close(kept, NINE + 2 * HOUR)
    final = increments_of(site.system, kept)
    assert collected(site, kept).increments == len(final)
    assert collected(site, kept).digest == digest_of(final)
    assert information(site, kept).session_ids == tuple(sorted((gone, kept)))


def test_the_information_has_begin_and_end_of_every_part(site: Site) -> None:
    session_id = charged(site)
    told = information(site, session_id)
    assert [(p.kind, p.description, p.ended_at, p.outcome) for p in told.parts] == [
        ("transfer", E1, NINE + HOUR, "EV disconnected"),
        ("authorization", E1, NINE + HOUR + CLOSE_AFTER, "accepted by emsp"),
    ]
    (place,) = told.places
    assert (place.current, place.phases) == (Current.AC, 1)
    assert (place.bound_at, place.released_at) == (NINE, NINE + HOUR)
    assert told.subject_ids == (ANNA,)
    assert (told.is_final, told.close_reason) == (True, "idle")
    assert told.actors == ("cso", "emsp", "s1", "timer")


def test_merged_sessions_that_overlapped_have_their_own_places_and_ends(
    site: Site,
) -> None:
    """Given two EVs that charged at the same time, and proved to be one user's."""
    first = site.plug(E1)
    second = site.plug(E2, at=NINE + MINUTE)
    site.unplug(E2, at=NINE + 10 * MINUTE)
    site.unplug(E1, at=NINE + 12 * MINUTE)
    site.merge(first, second, at=NINE + 13 * MINUTE)
    told = information(site, second)
    times = [(NINE, NINE + 12 * MINUTE), (NINE + MINUTE, NINE + 10 * MINUTE)]
    assert [(p.evse_id, p.bound_at, p.released_at) for p in told.places] == [
        (evse_id, *time) for evse_id, time in zip((E1, E2), times, strict=True)
    ]
    assert [(p.description, p.begun_at, p.ended_at) for p in told.parts] == [
        (evse_id, *time) for evse_id, time in zip((E1, E2), times, strict=True)
    ]


def test_a_transfer_has_begin_and_end_whatever_its_registers_said(site: Site) -> None:
    plug = PlugEv(evse_id=E1, register_wh=-1)
    unplug = UnplugEv(evse_id=E1, energy_wh=9_000_000)
    session_id = site.session_of(plug_ev(site.system, plug, by(NINE)))
    unplug_ev(site.system, unplug, by(NINE + 10 * MINUTE))
    told = information(site, session_id)
    (transfer,) = told.parts
    assert (transfer.begun_at, transfer.ended_at) == (NINE, NINE + 10 * MINUTE)
    assert told.energy.to_ev_wh == 0


def metered(session_id: str, energy_wh: int, total_wh: int) -> Event:
    return s.TransferIntervalMetered(
        session_id=session_id,
        evse_id=E1,
        from_at=NINE,
        energy_wh=energy_wh,
        total_wh=total_wh,
    )


def test_energy_counts_both_ways_by_interval_and_in_all(site: Site) -> None:
    session_id = site.plug(E1)
    quarter = NINE + 15 * MINUTE
    tell(site, session_id, metered(session_id, 900, 900), at=quarter)
    tell(site, session_id, metered(session_id, -400, 500), at=quarter + 1)
    energy = information(site, session_id).energy
    assert (energy.to_ev_wh, energy.from_ev_wh) == (900, 400)
    assert energy.reactive_to_ev_varh is None
    ended = s.TransferEnded(session_id=session_id, energy_wh=450, reason="done")
    tell(site, session_id, ended, at=NINE + HOUR)
    implausible = s.TransferEnded(
        session_id=session_id,
        energy_wh=9_000_000,
        reason="?",
        quality=Quality.IMPLAUSIBLE,
    )
    tell(site, session_id, implausible, at=NINE + HOUR + 1)
    energy = information(site, session_id).energy
    assert (energy.to_ev_wh, energy.from_ev_wh) == (900, 450)
    assert [(i.to_ev_wh, i.from_ev_wh) for i in energy.intervals] == [
        (900, 0),
        (0, 400),
    ]


def test_a_corrected_value_counts_and_the_first_one_stays_readable(site: Site) -> None:
    session_id = charged(site)
    known = increments_of(site.system, session_id)
    ended = next(i for i in known if i.type == "transfer.ended")
    for value in ("7000", "6000"):
        corrected = s.TransactionCorrected(
            session_id=session_id,
            position=ended.position,
            field="energy_wh",
            value=value,
            by="cso",
            reason="meter swapped",
        )
        tell(site, session_id, corrected)
    told = information(site, session_id)
    assert told.energy.to_ev_wh == 6_000
    assert [(c.first_value, c.value) for c in told.corrections] == [
        ("0", "7000"),
        ("0", "6000"),
    ]
    assert told.corrections[0].corrected_sequence == ended.sequence
    assert event_of(increments_of(site.system, session_id), ended) == ended.event


def test_a_corrected_time_puts_an_end_behind_its_beginning(site: Site) -> None:
    """Given the end of a parking that was told with a time before its beginning."""
    session_id = site.add(PARKED, at=NINE + MINUTE)
    tell(site, session_id, s.ParkingEnded(session_id=session_id), at=NINE)
    (parking,) = information(site, session_id).parts
    assert parking.ended_at is None
    ended = increments_of(site.system, session_id)[-1]
    corrected = s.TransactionCorrected(
        session_id=session_id,
        position=ended.position,
        field="occurred_at",
        value=str(NINE + HOUR),
        by="cso",
        reason="a clock was wrong",
    )
    tell(site, session_id, corrected, at=NINE + HOUR)
    told = information(site, session_id)
    assert [part.ended_at for part in told.parts] == [NINE + HOUR]
    assert told.corrections[0].first_value == str(NINE)
    assert increments_of(site.system, session_id)[ended.sequence - 1] == ended


def event_of(known: list[Increment], wanted: Increment) -> Event:
    return known[wanted.sequence - 1].event


def test_a_correction_that_fits_nothing_changes_nothing(site: Site) -> None:
    session_id = charged(site)
    for position, field, value in ((1, "x", "1"), (2, "energy_wh", '"much"')):
        known = increments_of(site.system, session_id)
        corrected = s.TransactionCorrected(
            session_id=session_id,
            position=known[-position].position,
            field=field,
            value=value,
            by="cso",
            reason="",
        )
        tell(site, session_id, corrected)
    assert information(site, session_id).energy.to_ev_wh == 0


def test_a_receipt_is_kept_with_who_received(site: Site, system: System) -> None:
    session_id = site.add(PARKED)
    command = ReceiveSdr(session_id=session_id, sequence=2)
    for _ in range(2):
        receive_sdr(system, command, by(command_id="r1"))
    receive_sdr(system, ReceiveSdr(session_id=session_id, sequence=1), by())
    received = [e for e in site.events(session_id) if isinstance(e, s.SdrReceived)]
    assert [(e.by, e.sequence) for e in received] == [("cso", 2), ("cso", 1)]
    assert isinstance(site.session(session_id), Session)
    assert len(increments_of(system, session_id)) == 2


@pytest.mark.parametrize("sequence", [0, -1, 3])
def test_a_receipt_of_what_there_is_not_is_refused(
    site: Site, system: System, sequence: int
) -> None:
    session_id = site.add(PARKED)
    with pytest.raises(InvalidValue, match="increments 1 to 2"):
        receive_sdr(system, ReceiveSdr(session_id=session_id, sequence=sequence), by())


def test_a_receipt_for_a_merged_session_is_refused(site: Site, system: System) -> None:
    gone, kept = site.add(PARKED), site.plug(E1)
    site.merge(gone, kept)
    with pytest.raises(Refused, match="numbered there"):
        receive_sdr(system, ReceiveSdr(session_id=gone, sequence=1), by())


def test_a_request_after_an_answer_is_a_part_of_its_own(site: Site) -> None:
    session_id = site.plug(E1)
    site.present(E1)
    refused = s.AuthorizationRefused(session_id="", by="emsp", reason="blocked card")
    site.add(refused, session_id, at=NINE + 1)
    site.add(requested(E1), session_id, at=NINE + 2)
    site.add(ACCEPTED, session_id, at=NINE + 3)
    told = information(site, session_id)
    outcomes = [p.outcome for p in told.parts if p.kind == "authorization"]
    assert outcomes == ["blocked card", "accepted by emsp"]
    assert [i.type for i in told.incidents] == ["authorization.refused"]
