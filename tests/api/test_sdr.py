"""S6 SDR information at a real socket: as it grows, final at closing, and receipts."""

from pathlib import Path
from typing import Any

import pytest

from domain.model import session_events as s
from domain.model.sdr import digest_of
from domain.model.values import HOUR, iso_of
from domain.use_cases.s6_sdr_information import increments_of
from tests.api.caller import Caller
from tests.api.caller import digest_of as digest_of_body
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

EVSE = EVSES[0]
BOOKING = {"kind": "booking", "text": "B-77"}
TICKET = {"party": "park-co", "kind": "ticket", "text": "P-77-5c0e91d7a2b4"}


@pytest.fixture
def cso(caller_for: CallerFor) -> Caller:
    return caller_for("cso", party="fleet", zones=(ZONE,))


@pytest.fixture
def stranger(caller_for: CallerFor) -> Caller:
    """Another CSO, at no place and in no session."""
    return caller_for("cso", party="elsewhere")


def booked(served: Served, cso: Caller) -> dict[str, Any]:
    """Reserve an EVSE; return the answer."""
    now = served.clock.now()
    place = {"evse_id": EVSE, "reference": BOOKING}
    time = {"from_at": iso_of(now + HOUR), "until_at": iso_of(now + 2 * HOUR)}
    found: dict[str, Any] = cso.done("/reservations", {**place, **time})
    return found


def information(caller: Caller, session_id: str, **asked: Any) -> dict[str, Any]:
    found: dict[str, Any] = caller.get(
        f"/service-sessions/{session_id}/sdr-information", **asked
    )
    return found


@pytest.mark.requirement("S6.Req1")
@pytest.mark.requirement("S6.Req2")
def test_the_information_grows_with_each_transaction(
    served: Served, cso: Caller
) -> None:
    made = booked(served, cso)
    session_id = made["session_id"]
    first = information(cso, session_id, after=made["position"])
    assert not first["information"]["is_final"]
    assert first["information"]["references"] == [
        {"party": "fleet", "kind": "booking", "reference": "B-77"}
    ]
    (reservation,) = first["information"]["parts"]
    assert (reservation["kind"], reservation["ended_at"]) == ("reservation", None)
    known = first["information"]["last_sequence"]
    ended = cso.done("/reservations/ends", {"reference": BOOKING, "reason": "used"})
    more = information(cso, session_id, since=known, after=ended["position"])
    assert [i["sequence"] for i in more["increments"]] == [known + 1]
    (increment,) = more["increments"]
    assert (increment["type"], increment["event"]["reason"]) == (
        "reservation.ended",
        "used",
    )
    assert more["information"]["parts"][0]["outcome"] == "used"


@pytest.mark.requirement("7.5.2")
@pytest.mark.requirement("S6.Req2")
def test_final_information_is_in_the_log_before_anybody_is_sent_it(
    served: Served, cso: Caller
) -> None:
    session_id = booked(served, cso)["session_id"]
    cso.done("/reservations/ends", {"reference": BOOKING, "reason": "used"})
    closed = cso.done(f"/service-sessions/{session_id}/closing", {"reason": "gone"})
    sent = information(cso, session_id, after=closed["position"])
    told = sent["information"]
    assert (told["is_final"], told["close_reason"]) == (True, "gone")
    rows = served.system.log.read_stream(f"session-{session_id}")
    record = rows[-1]
    assert isinstance(record.event, s.SdrCollected)
    known = increments_of(served.system, session_id)
    assert sent["collected"] == {
        "session_id": session_id,
        "increments": len(sent["increments"]),
        "digest": digest_of(known).hex(),
    }
    assert [i["position"] for i in sent["increments"]] == [i.position for i in known]
    assert all(i["position"] < record.position for i in sent["increments"])


@pytest.mark.requirement("7.4.1")
def test_needs_and_their_limits_are_carried_to_the_cso(
    served: Served, cso: Caller
) -> None:
    session_id = booked(served, cso)["session_id"]
    departure_at = iso_of(served.clock.now() + 8 * HOUR)
    needs = {
        "departure_at": departure_at,
        "energy_target_wh": 20_000,
        "energy_min_wh": 5_000,
        "energy_max_wh": 30_000,
        "cost_limit_minor": 900,
        "currency": "EUR",
    }
    stated = cso.done(f"/service-sessions/{session_id}/needs", needs)
    told = information(cso, session_id, after=stated["position"])["information"]
    (increment,) = told["needs"]
    carried = increment["event"]
    assert {name: carried[name] for name in needs} == needs


def test_a_correction_counts_and_the_first_value_is_told(
    caller_for: CallerFor,
) -> None:
    admin = caller_for("admin", zones=("*",))
    known = information(admin, "a")
    metered = next(
        i for i in known["increments"] if i["type"] == "transfer.interval_metered"
    )
    correction = {
        "position": metered["position"],
        "field": "energy_wh",
        "value": 2_500,
        "reason": "read again",
    }
    path, signed = "/service-sessions/a/corrections", digest_of_body(correction)
    corrected = admin.done(path, correction, Content_Digest=signed)
    told = information(admin, "a", after=corrected["position"])
    (correction,) = told["information"]["corrections"]
    assert (correction["first_value"], correction["value"]) == ("3000", "2500")
    (interval,) = told["information"]["energy"]["intervals"]
    assert interval["to_ev_wh"] == 2_500
    assert told["information"]["energy"]["reactive_to_ev_varh"] is None
    assert told["increments"][-1]["after_closing"] is True
    (first,) = [i for i in told["increments"] if i["sequence"] == metered["sequence"]]
    assert first == metered


def test_when_it_happened_is_corrected_by_an_instant_as_text(
    caller_for: CallerFor,
) -> None:
    admin = caller_for("admin", zones=("*",))
    told = information(admin, "a")["information"]
    (transfer,) = [part for part in told["parts"] if part["kind"] == "transfer"]
    begun = information(admin, "a")["increments"][transfer["begun_in"] - 1]
    correction = {
        "position": begun["position"],
        "field": "occurred_at",
        "value": begun["occurred_at"].replace(":00Z", ":01Z"),
        "reason": "the clock was slow",
    }
    path, signed = "/service-sessions/a/corrections", digest_of_body(correction)
    corrected = admin.done(path, correction, Content_Digest=signed)
    told = information(admin, "a", after=corrected["position"])["information"]
    (transfer,) = [part for part in told["parts"] if part["kind"] == "transfer"]
    assert transfer["begun_at"] == correction["value"] != begun["occurred_at"]


def test_the_feed_goes_on_from_a_cursor(served: Served, cso: Caller) -> None:
    items: list[dict[str, Any]] = []
    cursor, is_last = "", False
    while not is_last:
        page = cso.get("/sdr-information", limit=7, cursor=cursor)
        items += page["items"]
        cursor, is_last = page["next"], page["is_last"]
    numbers = [i["increment"]["sequence"] for i in items if i["session_id"] == "b"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert cso.get("/sdr-information", cursor=cursor)["items"] == []
    made = booked(served, cso)
    page = cso.get("/sdr-information", cursor=cursor, after=made["position"])
    assert {i["session_id"] for i in page["items"]} == {made["session_id"]}
    answer = cso.client.get(
        "/sdr-information", params={"cursor": "no"}, headers=cso.headers
    )
    assert answer.json()["code"] == "bad-cursor"


@pytest.mark.requirement("S6.Req3")
def test_personal_data_stays_sealed_and_the_information_outlives_its_erasure(
    served: Served, cso: Caller, tmp_path: Path
) -> None:
    session_id = booked(served, cso)["session_id"]
    token = {"kind": "rfid", "text": "04B7CAFE0042"}
    asked = {"session_id": session_id, "token": token}
    last = cso.done("/authorizations", asked)["position"]
    before = information(cso, session_id, after=last)
    fed = cso.get("/sdr-information", limit=1_000)
    assert "authorization.requested" in [i["type"] for i in before["increments"]]
    shown = f"{before} {fed}"
    assert token["text"] not in shown
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(token["text"].encode() in path.read_bytes() for path in files)
    subject_id = served.system.vault.find_subject(token["kind"], token["text"])
    assert subject_id is not None
    served.system.vault.destroy(subject_id)
    assert served.system.vault.find_subject(token["kind"], token["text"]) is None
    assert information(cso, session_id) == before


def test_credentials_are_heard_of_before_any_plug_by_who_answers_there(
    cso: Caller, stranger: Caller, caller_for: CallerFor
) -> None:
    station = caller_for("station", stations=("s1",))
    token = {"kind": "rfid", "text": "04B7"}
    asked = station.done("/authorizations", {"evse_id": EVSE, "token": token})
    session_id, position = asked["session_id"], asked["position"]

    def heard(caller: Caller) -> list[str]:
        page = caller.get("/sdr-information", limit=1_000, after=position)
        items = [i for i in page["items"] if i["session_id"] == session_id]
        return [item["increment"]["type"] for item in items]

    assert heard(cso) == ["session.opened", "authorization.requested"]
    assert heard(stranger) == []
    assert not information(cso, session_id)["information"]["is_final"]
    cso.done("/authorizations/answers", {"session_id": session_id, "accepted": True})


def test_what_is_out_of_reach_is_not_there(
    served: Served, cso: Caller, stranger: Caller
) -> None:
    session_id = booked(served, cso)["session_id"]
    texts = []
    for caller, name in ((stranger, session_id), (stranger, "nothing")):
        path = f"/service-sessions/{name}/sdr-information"
        answer = caller.client.get(path, headers=caller.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-session")
        texts.append(answer.json()["detail"].replace(name, "it"))
        path = f"/service-sessions/{name}/sdr-receipts"
        caller.refused(404, "unknown-session", path, {"sequence": 1})
    assert texts[0] == texts[1]
    assert stranger.get("/sdr-information")["items"] == []


def test_a_partner_is_not_told_what_another_calls_the_session(
    served: Served, cso: Caller, caller_for: CallerFor
) -> None:
    session_id = booked(served, cso)["session_id"]
    bound = cso.done(f"/service-sessions/{session_id}/references", TICKET)
    told = information(cso, session_id, after=bound["position"])
    assert "P-77" not in str(told)
    assert "P-77" not in str(cso.get("/sdr-information", limit=1_000))
    assert told["increments"][-1]["type"] == "session.reference_bound"
    staff = caller_for("operator", zones=("*",))
    assert "P-77" in str(information(staff, session_id))


def test_a_partner_is_not_told_who_else_answered_or_received(
    served: Served, cso: Caller, caller_for: CallerFor
) -> None:
    other = caller_for("cso", party="elsewhere", zones=(ZONE,))
    session_id = booked(served, cso)["session_id"]
    of_it = f"/service-sessions/{session_id}"
    token = {"kind": "rfid", "text": "04B7"}
    cso.done("/authorizations", {"session_id": session_id, "token": token})
    answer = {"session_id": session_id, "accepted": True}
    cso.done("/authorizations/answers", answer)
    last = cso.done(f"{of_it}/sdr-receipts", {"sequence": 1})["position"]
    paths = (of_it, f"{of_it}/sdr-information", "/sdr-information", "/service-sessions")
    for path in paths:
        shown = str(other.get(path, after=last))
        assert session_id in shown, path
        assert "fleet" not in shown, path
    assert "accepted by fleet" in str(information(cso, session_id))
    assert "'accepted'" in str(information(other, session_id))


def test_a_merge_tells_a_partner_of_no_other_that_took_part(
    served: Served, cso: Caller, stranger: Caller, caller_for: CallerFor
) -> None:
    began = stranger.done("/other-services/starts", {"service": "wash"})
    gone, kept = began["session_id"], booked(served, cso)["session_id"]
    staff = caller_for("operator", zones=("*",))
    into = {"into_session_id": kept}
    last = staff.done(f"/service-sessions/{gone}/merging", into)["position"]
    for caller, own in ((cso, []), (stranger, ["elsewhere"])):
        told = information(caller, gone, after=last)["increments"]
        (merged,) = (i for i in told if i["type"] == "session.merged_from")
        assert merged["event"]["parties"] == own
    fed = stranger.get("/sdr-information")["items"]
    assert len(told) == sum(item["session_id"] == kept for item in fed)


def test_the_cso_says_up_to_where_it_has_it(served: Served, cso: Caller) -> None:
    made = booked(served, cso)
    path = f"/service-sessions/{made['session_id']}/sdr-receipts"
    cso.done(path, {"sequence": 3}, key="r1")
    assert cso.done(path, {"sequence": 3}, key="r1")["repeated"]
    last = cso.done(path, {"sequence": 2})
    told = information(cso, made["session_id"], after=last["position"])
    assert told["received"] == {"fleet": 3}
    cso.refused(422, "refused", path, {"sequence": 4})
    cso.refused(422, "invalid-parameter", path, {"sequence": 0})


def test_a_merged_session_is_read_under_both_ids(cso: Caller) -> None:
    one, other = information(cso, "b"), information(cso, "cso-1")
    assert one == other
    assert one["information"]["session_ids"] == ["b", "cso-1"]
    place = one["information"]["places"][0]
    assert (place["evse_id"], place["current"], place["phases"]) == (EVSES[1], "AC", 1)
