"""Upkeep of stations over HTTP: what becomes of each call, and what is refused."""

from typing import Any

import pytest

from api.ocpp.activity_calls import call_of
from api.ocpp.asking import Asking
from domain.model import session_events as s
from domain.model.activity_events import ActivityKind
from domain.model.values import HOUR, iso_of
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.clause_7_3_activities import load_activity, open_activities
from domain.use_cases.clause_7_3_passwords import PASSWORD_CONTEXT
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES, ZONE

FREE, _, _ = EVSES


@pytest.fixture
def operator(caller_for: CallerFor) -> Caller:
    caller = caller_for("operator", zones=("*",))
    registration = {"identity": "CS-1", "security_profile": 1}
    caller.done("/stations/s1/registration", registration)
    return caller


LOCATION = "https://files.example/thing"
NETWORK = {
    "slot": 1,
    "url": "wss://csms.example/ocpp",
    "security_profile": 2,
    "interface": "Any",
}
ASKED: list[tuple[str, Any, str]] = [
    ("firmware", {"location": LOCATION}, "UpdateFirmware"),
    ("log-upload", {"location": LOCATION, "log": "security"}, "GetLog"),
    ("cache/clear", {}, "ClearCache"),
    ("local-list", {"update": "full"}, "SendLocalList"),
    ("local-list/version", {}, "GetLocalListVersion"),
    ("data-transfer", {"vendor_id": "com.example"}, "DataTransfer"),
    ("network-profile", NETWORK, "SetNetworkProfile"),
    ("charging-schedule", {"duration_s": 600}, "GetCompositeSchedule"),
    ("charging-profile/clear", {"profile_id": 77}, "ClearChargingProfile"),
    ("reservation-cancel", {"number": 99_999}, "CancelReservation"),
    ("credentials/rotation", {}, "SetVariables"),
    ("unlock", {"evse_number": 99}, "UnlockConnector"),
]
SENSELESS: list[tuple[str, Any]] = [
    ("firmware", {"location": "https://user:secret@files.example/thing"}),
    ("firmware", {"location": "no URL"}),
    ("log-upload", {"location": LOCATION, "log": "other"}),
    ("local-list", {"update": "differential"}),
    ("local-list", {"update": "differential", "contract_ids": ["c-9"]}),
    ("data-transfer", {"vendor_id": ""}),
    ("network-profile", {**NETWORK, "url": "https://csms.example"}),
    ("charging-schedule", {"duration_s": 0}),
    ("unlock", {}),
    ("unlock", {"evse_id": FREE, "evse_number": 1}),
]


def test_each_call_is_an_activity_that_a_message_carries(
    operator: Caller, served: Served
) -> None:
    for path, body, action in ASKED:
        answer = operator.done(f"/stations/s1/{path}", {**body, "due_within_s": 60})
        asked = load_activity(served.system, answer["activity_id"]).asked
        assert asked is not None
        assert call_of(Asking(asked, "2.1"))[0] == action


def test_what_makes_no_sense_is_refused(operator: Caller, served: Served) -> None:
    for path, body in SENSELESS:
        assert operator.post(f"/stations/s1/{path}", body).status_code == 422, path
    assert open_activities(served.system, "s1") == []


def test_who_reaches_a_part_of_the_tenant_sends_no_list_of_its_contracts(
    operator: Caller, caller_for: CallerFor
) -> None:
    part = caller_for("operator", zones=(ZONE,))
    part.refused(403, "forbidden", "/stations/s1/local-list", {"update": "full"})


def test_a_new_password_is_not_shown_and_is_not_the_same_twice(
    operator: Caller, served: Served
) -> None:
    path = "/stations/s1/credentials/rotation"
    first = operator.done(path, {}, key="once")
    assert "password" not in first
    assert operator.done(path, {}, key="once")["repeated"]
    operator.refused(422, "refused", path, {})
    (asked,) = open_activities(served.system, "s1")
    assert asked.kind == ActivityKind.CHANGE_PASSWORD
    assert asked.credential is not None
    opened = served.system.vault.open(asked.credential, PASSWORD_CONTEXT)
    assert opened is not None
    assert len(opened) == 40


def test_a_station_that_has_a_certificate_gets_no_password(operator: Caller) -> None:
    body = {"security_profile": 3, "certificate_name": "cs-1.example"}
    operator.done("/stations/s1/credentials", body)
    operator.refused(422, "refused", "/stations/s1/credentials/rotation", {})


@pytest.mark.requirement("S1.Req2")
def test_a_reservation_has_the_token_of_whom_it_is_for_sealed(
    operator: Caller, served: Served, caller_for: CallerFor
) -> None:
    cso = caller_for("cso", party="fleet", zones=(ZONE,))
    now = served.clock.now()
    body = {
        "reference": {"kind": "booking", "text": "B-77"},
        "evse_id": FREE,
        "from_at": iso_of(now + HOUR),
        "until_at": iso_of(now + 3 * HOUR),
        "token": {"kind": "rfid", "text": "CAFE0042"},
    }
    answer = cso.done("/reservations", body, key="once")
    assert cso.done("/reservations", body, key="once")["repeated"]
    rows = served.system.log.read_stream(f"session-{answer['session_id']}")
    (made,) = [r.event for r in rows if isinstance(r.event, s.ReservationMade)]
    assert made.credential is not None
    assert made.token_kind == "rfid"
    opened = served.system.vault.open(made.credential, credential_context(FREE))
    assert opened == b"CAFE0042"
    other = {**body, "token": {"kind": "rfid", "text": "CAFE0043"}}
    refused = cso.post("/reservations", other, key="once")
    assert refused.json()["code"] == "idempotency-key-reused"
