"""Sessions over HTTP: needs and consent (7.4), corrections (7.5), closing, merging."""

from typing import Any

import pytest

from domain.model import session_events as s
from domain.model.values import HOUR, iso_of
from tests.api.caller import Caller, digest_of
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

AT = f"/evses/{EVSES[0]}"


@pytest.fixture
def cso(caller_for: CallerFor) -> Caller:
    return caller_for("cso", party="fleet", zones=(ZONE,))


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    return caller_for("operator", zones=("*",))


@pytest.fixture
def station(caller_for: CallerFor) -> Caller:
    return caller_for("station", stations=("s1",))


@pytest.fixture
def session(station: Caller, cso: Caller) -> str:
    """The path of a session that is plugged."""
    plugged = station.done(f"{AT}/plugs", {"register_wh": 500})
    path = f"/service-sessions/{plugged['session_id']}"
    cso.get(path, after=plugged["position"])
    return path


def needs(served: Served, **more: Any) -> dict[str, Any]:
    return {
        "departure_at": iso_of(served.clock.now() + 3 * HOUR),
        "energy_target_wh": 20_000,
        **more,
    }


@pytest.mark.requirement("7.4.1")
def test_what_an_ev_user_wants_reaches_the_secondary_actors(
    cso: Caller, operator: Caller, caller_for: CallerFor, served: Served, session: str
) -> None:
    """Departure, energies, limit of cost: stated by one CSO, shown to another."""
    wish = needs(
        served,
        energy_min_wh=5_000,
        energy_max_wh=30_000,
        cost_limit_minor=900,
        currency="EUR",
    )
    done = cso.done(f"{session}/needs", wish)
    other = caller_for("cso", party="roam", zones=(ZONE,))
    for actor in (cso, operator, other):
        shown = actor.get(session, after=done["position"])["session"]["needs"]
        assert {name: shown[name] for name in wish} == wish
        assert shown["source"] == "user"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"energy_min_wh": 20_001}, "refused"),
        ({"cost_limit_minor": 900}, "refused"),
        ({"currency": "EUR"}, "refused"),
        ({"departure_at": "2019-10-29T00:00:00Z"}, "refused"),
        ({"departure_at": "2019-12-29T00:00:00Z"}, "refused"),
        ({"currency": "eur"}, "invalid-parameter"),
        ({"energy_target_wh": 2e4}, "invalid-parameter"),
        ({"energy_target_wh": -1}, "invalid-parameter"),
        ({"departure_at": "at noon"}, "invalid-parameter"),
    ],
)
def test_needs_that_cannot_be_are_refused(
    cso: Caller, served: Served, session: str, changed: dict[str, Any], code: str
) -> None:
    cso.refused(422, code, f"{session}/needs", needs(served, **changed))


def test_a_consent_is_given_and_withdrawn(cso: Caller, session: str) -> None:
    path = f"{session}/v2g-consent"
    cso.done(path, {"contract": "c-1", "energy_min_wh": 9_000})
    done = cso.done(f"{path}/withdrawal")
    assert done["stream"].endswith(done["session_id"])
    cso.refused(422, "refused", f"{path}/withdrawal", {})
    cso.refused(422, "invalid-parameter", f"{path}/withdrawal", {"x": 1})


def test_a_session_is_bound_merged_and_closed(
    cso: Caller, station: Caller, caller_for: CallerFor, session: str
) -> None:
    cso.done(f"{session}/references", {"party": "fleet", "kind": "job", "text": "7"})
    parking = caller_for("parking-operator", party="park-co")
    ticket = {"kind": "ticket", "text": "P-1"}
    parked = parking.done("/parking/starts", {"reference": ticket})["session_id"]
    into = session.rpartition("/")[2]
    operator = caller_for("operator", zones=("*",))
    operator.done(f"/service-sessions/{parked}/merging", {"into_session_id": into})
    ended = parking.done("/parking/ends", {"reference": ticket})
    assert ended["session_id"] == into
    cso.done(
        f"{session}/references", {"party": "wash", "kind": "job", "text": "9" * 16}
    )
    gone = {"reason": "user gone"}
    problem = cso.refused(422, "refused", f"{session}/closing", gone)
    assert "plugged" in problem["detail"]
    station.done(f"{AT}/unplugs", {"energy_wh": 0})
    closed = cso.done(f"{session}/closing", gone)
    shown = cso.get(session, after=closed["position"])["session"]
    assert (shown["state"], shown["close_reason"]) == ("closed", "user gone")


def test_a_cso_with_the_zone_commands_no_session_of_another(
    cso: Caller, caller_for: CallerFor, served: Served
) -> None:
    """It reads what happens there; to its commands it is as one that is not there."""
    rival = caller_for("cso", party="rival", zones=(ZONE,))
    span = {
        "from_at": iso_of(served.clock.now()),
        "until_at": iso_of(served.clock.now() + HOUR),
    }
    booked = cso.done("/reservations", {"evse_id": EVSES[0], **span})
    session_id = booked["session_id"]
    path = f"/service-sessions/{session_id}"
    rival.get(path, after=booked["position"])
    unknown = (404, "unknown-session")
    rival.refused(*unknown, f"{path}/closing", {"reason": "x"})
    rival.refused(*unknown, f"{path}/needs", needs(served))
    own = {"party": "rival", "kind": "job", "text": "8"}
    rival.refused(*unknown, f"{path}/references", own)
    ended = {"session_id": session_id, "reason": "x"}
    rival.refused(*unknown, "/reservations/ends", ended)
    answer = {"session_id": session_id, "accepted": False, "reason": "x"}
    rival.refused(*unknown, "/authorizations/answers", answer)
    body = {"position": booked["position"], "field": "reason", "value": "x"}
    body = {**body, "reason": "x"}
    digest = digest_of(body)
    rival.refused(*unknown, f"{path}/corrections", body, Content_Digest=digest)
    staff = caller_for("cso", "operator", party="rival", zones=("*",))
    staff.done(f"{path}/references", own)
    rival.done("/reservations/ends", ended)


def test_what_another_party_calls_its_sessions_is_neither_found_nor_taken(
    cso: Caller, operator: Caller, caller_for: CallerFor
) -> None:
    """By binding references for it; the site's operator may."""
    rival = caller_for("cso", party="rival", zones=(ZONE,))
    taken = {"kind": "booking", "text": "R-1"}
    rival.done("/other-services/starts", {"service": "wash", "reference": taken})
    own = cso.done("/other-services/starts", {"service": "wash"})["session_id"]
    path = f"/service-sessions/{own}/references"
    free = {**taken, "text": "R-2", "party": "rival"}
    said = {
        cso.refused(422, "refused", path, body)["detail"].replace(body["text"], "")
        for body in ({**taken, "party": "rival"}, free)
    }
    assert len(said) == 1
    operator.done(path, free)


@pytest.mark.parametrize("way", ["answers", "reference"])
def test_an_unclaimed_session_is_who_claims_it_first(
    cso: Caller, caller_for: CallerFor, served: Served, session: str, way: str
) -> None:
    """A station opens for nobody; a refusal of credentials claims nothing."""
    rival = caller_for("cso", party="rival", zones=(ZONE,))
    answer = {"session_id": session.rpartition("/")[2], "accepted": True}
    no = {**answer, "accepted": False, "reason": "not ours"}
    rival.done("/authorizations/answers", no)
    if way == "answers":
        cso.done("/authorizations/answers", answer)
    else:
        own = {"party": "fleet", "kind": "job", "text": "8"}
        cso.done(f"{session}/references", own)
    rival.refused(404, "unknown-session", "/authorizations/answers", no)
    rival.refused(404, "unknown-session", f"{session}/needs", needs(served))
    cso.done(f"{session}/needs", needs(served))


def test_no_partner_closes_over_what_another_still_has_to_end(
    cso: Caller, operator: Caller, caller_for: CallerFor
) -> None:
    parking = caller_for("parking-operator", party="park-co")
    ticket = {"kind": "ticket", "text": "P-1"}
    parked = parking.done("/parking/starts", {"reference": ticket})
    path = f"/service-sessions/{parked['session_id']}"
    own = {"party": "fleet", "kind": "job", "text": "7"}
    operator.done(f"{path}/references", own)
    started = {"service": "valet", "session_id": parked["session_id"]}
    cso.done("/other-services/starts", started)
    problem = cso.refused(422, "refused", f"{path}/closing", {"reason": "x"})
    assert problem["detail"].endswith("other parties and still open: parking, valet")
    parking.done("/parking/ends", {"reference": ticket})
    cso.refused(422, "refused", f"{path}/closing", {"reason": "x"})
    cso.done("/other-services/ends", started)
    cso.done(f"{path}/closing", {"reason": "x"})


def test_the_staff_closes_over_what_is_open(
    operator: Caller, caller_for: CallerFor
) -> None:
    parking = caller_for("parking-operator", party="park-co")
    parked = parking.done("/parking/starts", {})["session_id"]
    operator.done(f"/service-sessions/{parked}/closing", {"reason": "operator gone"})


def test_a_session_is_merged_only_into_one_within_reach(
    cso: Caller, caller_for: CallerFor, session: str
) -> None:
    parking = caller_for("parking-operator", party="park-co")
    hidden = parking.done("/parking/starts", {})["session_id"]
    for into in (hidden, "gone"):
        body = {"into_session_id": into}
        problem = cso.refused(404, "unknown-session", f"{session}/merging", body)
        assert problem["detail"] == f"there is no session {into!r}"
        path = f"/service-sessions/{into}/closing"
        cso.refused(404, "unknown-session", path, {"reason": "x"})


def correction(cso: Caller, session: str, kind: str, **body: Any) -> dict[str, Any]:
    """Return the body that corrects the first transfer of a kind."""
    rows = cso.get(session)["transfers"]
    position = next(row["position"] for row in rows if row["type"] == kind)
    return {"position": position, "reason": "meter read again", **body}


@pytest.mark.requirement("7.5.1")
def test_every_transaction_of_a_session_is_recorded_with_who_told_it(
    cso: Caller, station: Caller, served: Served
) -> None:
    token = {"kind": "token", "text": "CAFE0042"}
    asked = station.done("/authorizations", {"evse_id": EVSES[0], "token": token})
    named = {"session_id": asked["session_id"], "accepted": True}
    cso.done("/authorizations/answers", named)
    plugged = station.done(f"{AT}/plugs", {})
    assert plugged["session_id"] == asked["session_id"]
    station.done(f"{AT}/pauses", {"paused": True})
    station.done(f"{AT}/pauses", {"paused": False})
    left = station.done(f"{AT}/unplugs", {"energy_wh": 0})
    shown = cso.get(f"/service-sessions/{asked['session_id']}", after=left["position"])
    assert [each["type"] for each in shown["authorizations"]] == [
        "authorization.requested",
        "authorization.accepted",
    ]
    assert [each["type"] for each in shown["transfers"]] == [
        "transfer.started",
        "transfer.paused",
        "transfer.resumed",
        "transfer.ended",
    ]
    # Each in the chain of the log, and beside it who told it, under its own command.
    log, previous = served.system.log, b""
    for each in shown["authorizations"] + shown["transfers"]:
        told = log.read(after=each["position"] - 1, limit=1)[0]
        audit = log.read(after=told.position, limit=9, types=["command.audited"])[0]
        assert audit.event is not None
        assert (audit.actor, audit.command_id) == (told.actor, told.command_id)
        chained = log.hash_at(each["position"])
        assert chained not in (None, previous)
        previous = chained or b""


@pytest.mark.requirement("7.5.3")
def test_only_trusted_entities_correct_a_transaction(
    cso: Caller, caller_for: CallerFor, session: str
) -> None:
    path = f"{session}/corrections"
    body = correction(cso, session, "transfer.started", field="register_wh", value=600)
    digest = digest_of(body)
    for other in (
        caller_for("station", stations=("s1",)),
        caller_for("operator", zones=("*",)),
        caller_for("analyst", zones=("*",)),
        caller_for("integrator", zones=("*",)),
        caller_for("auditor", zones=("*",)),
        caller_for("resource-manager", zones=(ZONE,)),
        caller_for("parking-operator", party="park-co"),
    ):
        other.refused(403, "forbidden", path, body, content_digest=digest)
    assert cso.get(session)["corrections"] == []
    done = cso.done(path, body, content_digest=digest)
    admin = caller_for("admin", zones=("*",))
    again = {**body, "value": 650}
    done = admin.done(path, again, content_digest=digest_of(again))
    shown = cso.get(session, after=done["position"])
    told = [(row["event"]["value"], row["event"]["by"]) for row in shown["corrections"]]
    assert [value for value, _ in told] == ["600", "650"]
    assert told[0][1] == "fleet"
    # What was recorded first stays readable.
    first = next(r for r in shown["transfers"] if r["position"] == body["position"])
    assert first["event"]["register_wh"] == 500


@pytest.mark.requirement("7.5.4")
@pytest.mark.parametrize(
    ("digest", "code"),
    [
        ("", "digest-missing"),
        ("sha-256=:AAAA:", "digest-mismatch"),
        ("sha-512=:AAAA:", "digest-mismatch"),
        ("nonsense", "digest-mismatch"),
        (digest_of({"position": 1}), "digest-mismatch"),
    ],
)
def test_a_correction_is_taken_only_as_it_was_sent(
    cso: Caller, session: str, digest: str, code: str
) -> None:
    path = f"{session}/corrections"
    body = correction(cso, session, "transfer.started", field="register_wh", value=600)
    more = {"content_digest": digest} if digest else {}
    cso.refused(400, code, path, body, **more)
    changed = {**body, "value": 60_000}
    cso.refused(400, "digest-mismatch", path, changed, content_digest=digest_of(body))
    assert cso.get(session)["corrections"] == []


def test_an_instant_is_corrected_as_text(
    cso: Caller, served: Served, session: str
) -> None:
    now = served.clock.now()
    times = {"from_at": iso_of(now), "until_at": iso_of(now + HOUR)}
    booked = cso.done("/reservations", {"evse_id": EVSES[0], **times})
    path = f"/service-sessions/{booked['session_id']}"
    shown = cso.get(path, after=booked["position"])
    position = shown["reservations"][0]["position"]
    body = {"position": position, "field": "until_at", "reason": "by phone"}
    later = {**body, "value": iso_of(now + 2 * HOUR)}
    done = cso.done(f"{path}/corrections", later, content_digest=digest_of(later))
    row = served.system.log.read(after=done["position"] - 2, limit=1)[0]
    assert isinstance(row.event, s.TransactionCorrected)
    assert row.event.value == str(now + 2 * HOUR)
    wrong = {**body, "value": "noon"}
    problem = cso.refused(
        422,
        "invalid-parameter",
        f"{path}/corrections",
        wrong,
        content_digest=digest_of(wrong),
    )
    assert problem["errors"][0]["where"] == "body.value"


def test_a_transaction_of_another_session_is_not_corrected(
    cso: Caller, session: str
) -> None:
    body = {"position": 1, "field": "register_wh", "value": 1, "reason": "x"}
    path = f"{session}/corrections"
    digest = digest_of(body)
    cso.refused(422, "refused", path, body, content_digest=digest)
