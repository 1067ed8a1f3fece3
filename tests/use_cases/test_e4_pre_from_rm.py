"""E4 The RM sets and revokes the PRE of a zone."""

from collections.abc import Sequence
from typing import Any

import pytest

from domain.errors import InvalidValue, Refused, RequestMismatch, Unknown
from domain.model.plan_events import PreReceived, PreRevoked
from domain.model.profile import POWER_LIMIT_W, PowerRangeEnvelope, Range
from domain.model.values import DAY, HOUR, SECOND
from domain.ports import Answer, Log, Recorded
from domain.use_cases.e4_pre_from_rm import (
    ReceivePre,
    RevokePre,
    receive_pre,
    revoke_pre,
)
from tests.use_cases.small_site import NINE, ZONE, Site, by

PRE = PowerRangeEnvelope(NINE, (Range(900, 0, 20_000), Range(900, -5_000, 9_000)))


def order(
    envelope: PowerRangeEnvelope = PRE, *, pre_id: str = "p1", zone_id: str = ZONE
) -> ReceivePre:
    return ReceivePre(zone_id=zone_id, pre_id=pre_id, envelope=envelope)


def test_a_pre_is_recorded_as_a_fact_of_the_rm(site: Site) -> None:
    command = ReceivePre(
        zone_id=ZONE, pre_id="p1", envelope=PRE, mandatory=True, source="s2"
    )
    receive_pre(site.system, command, by(actor="rm"))
    (row,) = site.log.read_stream("pre-garage")
    assert row.event == PreReceived(
        zone_id=ZONE, pre_id="p1", envelope=PRE, mandatory=True, source="s2"
    )
    assert (row.is_decision, row.actor, row.occurred_at) == (False, "rm", NINE)


def test_a_pre_that_already_began_is_taken(site: Site) -> None:
    receive_pre(site.system, order(), by(PRE.end_at - 1))
    assert site.rows()[-1].type == "pre.received"


def test_a_revocation_is_recorded(site: Site) -> None:
    receive_pre(site.system, order(), by())
    revoke_pre(site.system, RevokePre(zone_id=ZONE, pre_id="p1"), by())
    assert site.rows()[-1].event == PreRevoked(zone_id=ZONE, pre_id="p1")


class CountingLog:
    """A log that counts the rows it reads from streams of PREs."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.count = 0

    def read_stream(self, stream: str, *, after_version: int = 0) -> Sequence[Recorded]:
        rows = self._log.read_stream(stream, after_version=after_version)
        self.count += len(rows) if stream.startswith("pre-") else 0
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_a_revocation_reads_only_what_is_new(site: Site) -> None:
    log = CountingLog(site.log)
    seen = site.with_log(log)
    for i in range(50):
        receive_pre(seen.system, order(pre_id=f"p{i}"), by())
    for i in range(50):
        revoke_pre(seen.system, RevokePre(zone_id=ZONE, pre_id=f"p{i}"), by())
    assert log.count == 50 + 49


def test_only_a_pre_in_hand_is_revoked(site: Site) -> None:
    revoke = RevokePre(zone_id=ZONE, pre_id="p1")
    with pytest.raises(Refused, match="zone garage has no PRE 'p1' to revoke"):
        revoke_pre(site.system, revoke, by())
    receive_pre(site.system, order(), by())
    revoke_pre(site.system, revoke, by())
    before = site.log.last_position()
    with pytest.raises(Refused, match="no PRE 'p1' to revoke"):
        revoke_pre(site.system, revoke, by())
    assert site.log.last_position() == before
    receive_pre(site.system, order(), by())
    revoke_pre(site.system, revoke, by())


@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        (PowerRangeEnvelope(NINE, ()), "has no ranges"),
        (PowerRangeEnvelope(NINE, (Range(0, 0, 1),)), "duration 0 s is not above 0"),
        (PowerRangeEnvelope(NINE, (Range(-9, 0, 1),)), "duration -9 s is not above"),
        (
            PowerRangeEnvelope(NINE, (Range(60, 0, 1), Range(60, 2, 1))),
            "range at 60 s: lower 2 W is above upper 1 W",
        ),
        (
            PowerRangeEnvelope(NINE, (Range(60, 0, float("nan")),)),  # type: ignore[arg-type]
            "range at 0 s: nan is not a whole number",
        ),
        (
            PowerRangeEnvelope(NINE, (Range(60, 0, 1.5),)),  # type: ignore[arg-type]
            "1.5 is not a whole number",
        ),
        (
            PowerRangeEnvelope(NINE, (Range(60, 0, POWER_LIMIT_W + 1),)),
            "0..100000001 W is beyond ±100000000 W",
        ),
        (
            PowerRangeEnvelope(NINE + 1, (Range(60, 0, 1),)),
            "09:00:00.000001Z does not begin at a whole second",
        ),
        (
            PowerRangeEnvelope(NINE - DAY, (Range(86_400, 0, 1),)),
            "PRE p1 ended at 2019-10-21T09:00:00Z, before 2019-10-21T09:00:00Z",
        ),
        (
            PowerRangeEnvelope(NINE + 400 * DAY, (Range(60, 0, 1),)),
            "more than a year away",
        ),
        (PowerRangeEnvelope(NINE, (Range(10**12, 0, 1),)), "more than a year away"),
        (PowerRangeEnvelope(-SECOND, (Range(10**10, 0, 1),)), "1969-12-31T23:59:59Z"),
    ],
)
def test_a_malformed_pre_is_refused(
    site: Site, envelope: PowerRangeEnvelope, says: str
) -> None:
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says):
        receive_pre(site.system, order(envelope), by())
    assert site.log.last_position() == before


def test_a_pre_for_an_unknown_zone_is_refused(site: Site) -> None:
    before = site.log.last_position()
    with pytest.raises(Unknown, match="zone 'x' was never defined"):
        receive_pre(site.system, order(zone_id="x"), by())
    with pytest.raises(Unknown, match="zone 'x' was never defined"):
        revoke_pre(site.system, RevokePre(zone_id="x", pre_id="p1"), by())
    with pytest.raises(InvalidValue, match="PRE id 'p 1' is not"):
        receive_pre(site.system, order(pre_id="p 1"), by())
    assert site.log.last_position() == before


def test_a_repeated_pre_gets_the_first_answer(site: Site) -> None:
    """Also when it was over by then."""
    first = receive_pre(site.system, order(), by(command_id="c"))
    late = by(PRE.end_at + HOUR, command_id="c")
    again = receive_pre(site.system, order(), late)
    assert again == Answer(first.first, 1, repeated=True)
    with pytest.raises(RequestMismatch, match="'c' of 'cso'"):
        receive_pre(site.system, order(pre_id="p2"), late)
    assert site.log.last_position() == first.first
