"""E3 and E4 over HTTP: constraints to the resource manager, power range envelopes."""

from itertools import pairwise
from typing import Any

import pytest

from domain.model.values import HOUR, iso_of
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

PRE = f"/zones/{ZONE}/pre"


@pytest.fixture
def manager(caller_for: CallerFor) -> Caller:
    """A resource manager of the zone."""
    return caller_for("resource-manager", zones=(ZONE,))


def ranges(served: Served, **more: Any) -> dict[str, Any]:
    """Return the body of a PRE from now on, in ranges."""
    return {
        "pre_id": "p-9",
        "start_at": iso_of(served.clock.now()),
        "ranges": [
            {"duration_s": 3_600, "lower_w": 0, "upper_w": 20_000},
            {"duration_s": 900, "lower_w": -5_000, "upper_w": 10_000},
        ],
        **more,
    }


def spans(served: Served, **more: Any) -> dict[str, Any]:
    """Return the same in spans."""
    now = served.clock.now()
    ends = [now, now + HOUR, now + HOUR + HOUR // 4]
    start_at, middle_at, end_at = map(iso_of, ends)
    return {
        "pre_id": "p-9",
        "spans": [
            {
                "start_at": start_at,
                "end_at": middle_at,
                "lower_w": 0,
                "upper_w": 20_000,
            },
            {
                "start_at": middle_at,
                "end_at": end_at,
                "lower_w": -5_000,
                "upper_w": 10_000,
            },
        ],
        **more,
    }


def received(served: Served, answer: dict[str, Any]) -> Any:
    """Return the event that an answer stands for."""
    rows = served.system.log.read(
        after=answer["position"] - 2, limit=2, types=["pre.received"]
    )
    return rows[0].event


@pytest.mark.requirement("E4.Req1")
def test_a_pre_in_ranges_and_one_in_spans_are_the_same(
    manager: Caller, served: Served
) -> None:
    by_ranges = received(served, manager.done(PRE, ranges(served)))
    last = manager.done(PRE, spans(served))
    assert by_ranges == received(served, last)
    shown = manager.get(PRE, after=last["position"])
    assert shown["upper_w"] == 20_000


def test_as_many_ranges_and_spans_as_are_allowed_can_be_sent(
    manager: Caller, served: Served
) -> None:
    most = {"lower_w": -100_000_000, "upper_w": 100_000_000}
    steps = [{"duration_s": 9_000, **most}] * 3_500
    begin = served.clock.now()
    instants = [iso_of(begin + i * HOUR) for i in range(1_801)]
    hours = [
        {"start_at": start_at, "end_at": end_at, **most}
        for start_at, end_at in pairwise(instants)
    ]
    in_steps = {"pre_id": "p" * 64, "start_at": iso_of(begin), "source": "s" * 64}
    in_hours = {"pre_id": "p" * 64, "source": "s" * 64}
    for body in ({**in_steps, "ranges": steps}, {**in_hours, "spans": hours}):
        answer = manager.post(PRE, body)
        assert answer.status_code == 200, answer.text[:200]
    for body in (
        {**in_steps, "ranges": steps + steps[:1]},
        {**in_hours, "spans": hours + hours[:1]},
    ):
        manager.refused(422, "invalid-parameter", PRE, body)


def test_a_version_is_not_expected_where_nothing_is_decided(
    manager: Caller, served: Served
) -> None:
    before = served.system.log.last_position()
    problem = manager.refused(422, "refused", PRE, ranges(served), if_match="987654")
    assert "987654" in problem["detail"]
    assert not served.system.log.read(after=before, limit=9, types=["pre.received"])


def test_a_pre_may_be_mandatory_and_has_a_source(
    manager: Caller, served: Served
) -> None:
    body = ranges(served, mandatory=True, source="dso")
    event = received(served, manager.done(PRE, body))
    assert (event.mandatory, event.source) == (True, "dso")


def test_a_pre_is_taken_back_once(manager: Caller, served: Served) -> None:
    manager.done(PRE, ranges(served))
    manager.done(f"{PRE}/p-9/revocation", {})
    problem = manager.refused(422, "refused", f"{PRE}/p-9/revocation")
    assert "p-9" in problem["detail"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"ranges": []}, "invalid-parameter"),
        ({"start_at": None}, "invalid-parameter"),
        ({"start_at": 1_572_307_200}, "invalid-parameter"),
        ({"start_at": "2019-10-29T08:00:00"}, "invalid-parameter"),
        ({"start_at": "2019-10-29 08:00:00Z"}, "invalid-parameter"),
        ({"start_at": "2200-01-01T00:00:00Z"}, "invalid-parameter"),
        ({"start_at": "1969-12-31T23:59:59Z"}, "invalid-parameter"),
        ({"start_at": "2019-02-30T00:00:00Z"}, "invalid-parameter"),
        ({"start_at": "2019-10-29T00:00:00.1234567Z"}, "invalid-parameter"),
        ({"start_at": "2019-10-28T00:00:00Z"}, "refused"),
        ({"start_at": "2199-10-28T00:00:00Z"}, "refused"),
        ({"start_at": "2019-10-29T23:30:00.5Z"}, "refused"),
        (
            {"ranges": [{"duration_s": 900, "lower_w": 2, "upper_w": 1}]},
            "refused",
        ),
        (
            {"ranges": [{"duration_s": 900.0, "lower_w": 0, "upper_w": 1}]},
            "invalid-parameter",
        ),
        ({"pre_id": "p 9"}, "invalid-parameter"),
    ],
)
def test_a_pre_that_cannot_be_is_refused(
    manager: Caller, served: Served, changed: dict[str, Any], code: str
) -> None:
    manager.refused(422, code, PRE, ranges(served, **changed))


def test_a_pre_is_told_in_one_form(manager: Caller, served: Served) -> None:
    both = ranges(served) | spans(served)
    manager.refused(422, "invalid-parameter", PRE, both)
    gap = spans(served)
    gap["spans"][1]["start_at"] = gap["spans"][1]["end_at"]
    assert "gap" in manager.refused(422, "refused", PRE, gap)["detail"]


def test_constraints_are_sent_for_a_zone(caller_for: CallerFor, served: Served) -> None:
    operator = caller_for("operator", zones=("*",))
    now = served.clock.now()
    body = {
        "constraints_id": "c-1",
        "from_at": iso_of(now),
        "lower_w": 0,
        "upper_w": 20_000,
        "windows": [
            {"until_at": iso_of(now + HOUR), "lower_wh": 5_000, "upper_wh": 15_000}
        ],
    }
    answer = operator.done(f"/zones/{ZONE}/constraints", body)
    assert answer["stream"] == f"zone-{ZONE}"
    body["upper_w"] = -1
    operator.refused(422, "refused", f"/zones/{ZONE}/constraints", body)


@pytest.mark.requirement("7.3.1")
def test_only_the_resource_manager_of_a_zone_sets_its_pre(
    manager: Caller, caller_for: CallerFor, served: Served
) -> None:
    """The one way in of a PRE; no other party has one, nor has it that of others."""
    for other in (
        caller_for("station", stations=("s1",)),
        caller_for("operator", zones=("*",)),
        caller_for("admin", zones=("*",)),
        caller_for("cso", party="fleet", zones=(ZONE,)),
        caller_for("parking-operator", party="park-co"),
    ):
        other.refused(403, "forbidden", PRE, ranges(served))
        other.refused(403, "forbidden", f"{PRE}/p1/revocation")
    for path in (f"/evses/{EVSES[0]}/plugs", f"/evses/{EVSES[0]}/pauses"):
        manager.refused(403, "forbidden", path, {"paused": True})
    assert "p-9" not in str(manager.get(PRE))
    manager.done(PRE, ranges(served))


def test_the_zone_of_another_is_as_one_that_is_not_there(
    manager: Caller, caller_for: CallerFor, served: Served
) -> None:
    yard = {"zone_id": "yard", "name": "", "limit_w": 5, "safe_upper_w": 1}
    caller_for("operator", zones=("*",)).done("/zones", yard)
    hidden = manager.refused(404, "unknown-zone", "/zones/yard/pre", ranges(served))
    missing = manager.refused(404, "unknown-zone", "/zones/lawn/pre", ranges(served))
    assert hidden["detail"].replace("yard", "lawn") == missing["detail"]
    manager.refused(404, "unknown-zone", "/zones/yard/pre/p1/revocation")
