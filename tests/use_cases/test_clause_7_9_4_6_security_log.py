"""7.9.4.6 What a guard should know is recorded as facts, its origin sealed."""

from domain.model.access_events import SecurityCounted, SecurityNoted
from domain.model.values import DAY
from domain.use_cases.clause_7_9_4_6_security_log import (
    NOTED,
    Note,
    Told,
    origins_subject,
    record_notes,
)
from tests.use_cases.small_site import NINE, Site


def note(at: int = NINE, subject_id: str = "") -> Note:
    event = SecurityNoted(kind="no-credentials")
    return Note(at=at, event=event, subject_id=subject_id, origin=b"from there")


def noted(site: Site, *told: Told) -> list[SecurityNoted]:
    answer = record_notes(site.system, told)
    rows = site.log.read(after=answer.first - 1, limit=answer.count)
    return [row.event for row in rows if isinstance(row.event, SecurityNoted)]


def test_notes_are_facts_in_the_stream_of_their_day(site: Site) -> None:
    counted = SecurityCounted(kind="login", count=3, from_at=NINE, until_at=NINE + DAY)
    answer = record_notes(site.system, (note(), counted))
    rows = site.log.read(after=answer.first - 1, limit=2)
    assert [row.stream for row in rows] == [
        "security-2019-10-21",
        "security-2019-10-22",
    ]
    assert not any(row.is_decision for row in rows)


def test_an_origin_opens_for_what_it_was_sealed_for(site: Site) -> None:
    (event,) = noted(site, note())
    assert event.origin is not None
    assert site.system.vault.open(event.origin, NOTED) == b"from there"


def test_destroying_a_days_key_forgets_its_unknown_origins_and_no_others(
    site: Site,
) -> None:
    events = noted(site, note(), note(NINE + DAY), note(subject_id="anna"))
    site.system.vault.destroy(origins_subject(NINE))
    opened = [
        site.system.vault.open(event.origin, NOTED) for event in events if event.origin
    ]
    assert opened == [None, b"from there", b"from there"]


def test_an_origin_of_a_day_that_was_forgotten_is_not_kept(site: Site) -> None:
    noted(site, note())
    site.system.vault.destroy(origins_subject(NINE))
    (event,) = noted(site, note())
    assert event.origin is None
