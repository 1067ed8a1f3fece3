"""Remote start and stop, reset and variables over HTTP: activities, and who may."""

from typing import Any

import pytest

from api.ocpp.activity_calls import call_of
from api.ocpp.asking import Asking
from domain.model import activity_events as y
from domain.model.activity_events import Outcome
from domain.model.values import MINUTE
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.clause_7_3_activities import (
    EndActivity,
    end_activity,
    load_activity,
    open_activities,
)
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from domain.use_cases.shared_path import By
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

FREE, SUSPENDED, _ = EVSES
TOKEN = {"token": {"kind": "rfid", "text": "CAFE0042"}}
START = f"/evses/{FREE}/remote-start"


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    caller = caller_for("operator", zones=("*",))
    registration = {"identity": "CS-1", "security_profile": 1}
    caller.done("/stations/s1/registration", registration)
    zone = {"zone_id": "elsewhere", "name": "Elsewhere"}
    caller.done("/zones", {**zone, "limit_w": 50_000, "safe_upper_w": 9_000})
    return caller


@pytest.fixture
def cso(operator: Caller, caller_for: CallerFor) -> Caller:
    return caller_for("cso", party="fleet", zones=(ZONE,))


def shown(caller: Caller, answer: Any) -> Any:
    path = f"/activities/{answer['activity_id']}"
    return caller.get(path, after=answer["position"])


@pytest.mark.requirement("S3.Req4")
def test_a_cso_starts_an_ev_user_it_knows_and_reads_what_came_of_it(
    cso: Caller, served: Served
) -> None:
    answer = cso.done(START, TOKEN)
    assert answer["session_id"]
    activity = shown(cso, answer)
    assert (activity["state"], activity["kind"]) == ("waiting", "remote-start")
    assert (activity["station_id"], activity["evse_id"]) == ("s1", FREE)
    ended = EndActivity(
        activity_id=answer["activity_id"], outcome=Outcome.DONE, results=(("a", "b"),)
    )
    end_activity(served.system, ended, By(actor="s1", at=served.clock.now()))
    position = served.system.log.last_position()
    path = f"/activities/{answer['activity_id']}"
    activity = cso.get(path, after=position)
    assert (activity["state"], activity["results"]) == ("done", {"a": "b"})


def test_a_cso_commands_what_a_stations_own_exchange_began(
    cso: Caller, served: Served
) -> None:
    by = By(actor="s1", at=served.clock.now())
    answer = plug_ev(served.system, PlugEv(evse_id=FREE), by)
    (row,) = served.system.log.read(after=answer.first - 1, limit=1)
    session_id = row.stream.removeprefix("session-")
    stopped = cso.done(f"/service-sessions/{session_id}/remote-stop", {})
    assert stopped["session_id"] == session_id


def test_a_repeated_start_is_one_and_its_token_is_sealed(
    cso: Caller, served: Served
) -> None:
    first = cso.done(START, TOKEN, key="once")
    again = cso.done(START, TOKEN, key="once")
    assert again["repeated"]
    assert again["activity_id"] == first["activity_id"]
    (asked,) = open_activities(served.system, "s1")
    assert asked.credential is not None
    opened = served.system.vault.open(asked.credential, credential_context(FREE))
    assert opened == b"CAFE0042"
    other = {"token": {"kind": "rfid", "text": "CAFE0043"}}
    answer = cso.post(START, other, key="once")
    assert answer.json()["code"] == "idempotency-key-reused"


def test_an_evse_that_is_blocked_taken_or_out_of_reach_is_not_started(
    cso: Caller, caller_for: CallerFor
) -> None:
    cso.refused(422, "refused", f"/evses/{SUSPENDED}/remote-start", TOKEN)
    station = caller_for("station", stations=("s1",))
    station.done(f"/evses/{FREE}/plugs", {"token": {"kind": "rfid", "text": "B"}})
    cso.refused(409, "occupied", START, TOKEN)
    cso.refused(404, "unknown-evse", "/evses/DE*ABC*E9/remote-start", TOKEN)
    elsewhere = caller_for("cso", party="fleet", zones=("elsewhere",))
    elsewhere.refused(404, "unknown-evse", START, TOKEN)


def test_what_a_caller_does_not_reach_is_as_what_is_not_there(
    cso: Caller, caller_for: CallerFor
) -> None:
    answer = cso.done(START, TOKEN)
    elsewhere = caller_for("cso", party="fleet", zones=("elsewhere",))
    for activity_id in (answer["activity_id"], "nothing-there"):
        got = elsewhere.client.get(
            f"/activities/{activity_id}",
            headers=elsewhere.headers,
            params={"after": answer["position"]},
        )
        assert (got.status_code, got.json()["code"]) == (404, "unknown-activity")


def test_a_session_that_is_plugged_is_stopped(
    operator: Caller, served: Served, caller_for: CallerFor
) -> None:
    station = caller_for("station", stations=("s1",))
    session_id = station.done(f"/evses/{FREE}/plugs", {})["session_id"]
    answer = operator.done(f"/service-sessions/{session_id}/remote-stop", {})
    (asked,) = open_activities(served.system, "s1")
    assert (asked.activity_id, asked.evse_id) == (answer["activity_id"], FREE)
    assert answer["session_id"] == session_id


ASKED: list[tuple[str, Any, str]] = [
    ("reset", {"how": "forced"}, "Reset"),
    ("reset", {"how": "on-idle", "evse_id": FREE}, "Reset"),
    ("unlock", {"evse_id": FREE}, "UnlockConnector"),
    ("trigger", {"message": "Heartbeat"}, "TriggerMessage"),
    ("variables/read", {"names": ["A.B"]}, "GetVariables"),
    ("variables/change", {"values": {"A.B": "1"}}, "SetVariables"),
    (
        "display-message",
        {"text": "Closed at ten", "until_at": "2030-01-01T00:00:00Z"},
        "SetDisplayMessage",
    ),
]
SENSELESS: list[tuple[str, Any]] = [
    ("reset", {"how": "gently"}),
    ("trigger", {"message": "Heart beat"}),
    ("variables/read", {"names": ["A.B"] * 5}),
    ("variables/change", {"values": {"A.B": 1}}),
    ("unlock", {"evse_id": FREE, "due_within_s": 4}),
]


def test_an_operator_asks_a_station_what_a_message_of_it_carries(
    operator: Caller, served: Served
) -> None:
    for path, body, action in ASKED:
        answer = operator.done(f"/stations/s1/{path}", {**body, "due_within_s": 60})
        assert shown(operator, answer)["state"] == "waiting"
        asked = load_activity(served.system, answer["activity_id"]).asked
        assert asked is not None
        assert asked.due_at == served.clock.now() + MINUTE
        number = 1 if asked.evse_id else 0
        assert call_of(Asking(asked, "2.1", evse_number=number))[0] == action


def test_what_makes_no_sense_is_refused(operator: Caller) -> None:
    for path, body in SENSELESS:
        operator.refused(422, "invalid-parameter", f"/stations/s1/{path}", body)


def test_a_stations_password_is_no_variable_that_is_read_or_set(
    operator: Caller, served: Served
) -> None:
    for name in ("SecurityCtrlr.BasicAuthPassword", "AuthorizationKey"):
        body = {"values": {name: "a secret of 20 letters"}}
        operator.refused(422, "refused", "/stations/s1/variables/change", body)
        read = {"names": [name]}
        operator.refused(422, "refused", "/stations/s1/variables/read", read)
    rows = served.system.log.read(after=0, limit=10_000)
    assert not any(isinstance(row.event, y.ActivityAsked) for row in rows)


def test_an_evse_of_another_station_is_not_asked_of(operator: Caller) -> None:
    evse = {"evse_id": "DE*ABC*E7", "current": "AC", "phases": 1, "voltage_v": 230}
    evse |= {"max_w": 3_680, "floor_w": 1_380}
    station = {"station_id": "s7", "zone_id": ZONE, "evses": [evse]}
    operator.done("/stations", station)
    body = {"evse_id": "DE*ABC*E7"}
    operator.refused(404, "unknown-thing", "/stations/s1/unlock", body)
