"""S2 local lists, and a station's new password by its own connection (7.3)."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.ocpp.proof import Proof, digests_of, refusal_of
from api.ocpp.violations import Version
from domain.errors import InvalidValue, Refused
from domain.model import activity_events as y
from domain.model import station_events as t
from domain.model.activity_events import ActivityKind
from domain.model.values import DAY, HOUR, SECOND
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.clause_7_3_passwords import (
    PASSWORD_CONTEXT,
    RotatePassword,
    rotate_password,
)
from domain.use_cases.clause_7_3_stations import digest_of
from domain.use_cases.s2_back_office import (
    EndContract,
    RegisterContract,
    end_contract,
    holder_context,
    register_contract,
)
from domain.use_cases.s2_local_lists import SendLocalList, send_local_list
from tests.api.ocpp.activities import ask, connected, ended, steps
from tests.api.ocpp.office import (
    NOW,
    ONE,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    open_office,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.ask_nothing()
        office.register("S1")
        office.commission("S1", evse_data(ONE))
        yield office


def contract(office: Office, contract_id: str, token: str, **changes: Any) -> str:
    vault = office.system.vault
    subject_id = vault.subject_of("rfid", token)
    group = msgspec.msgpack.encode(["rfid", token, "Fleet car"])
    command = RegisterContract(
        contract_id=contract_id,
        subject_id=subject_id,
        valid_from_at=NOW,
        holder=vault.seal(subject_id, holder_context(contract_id), group),
        **changes,
    )
    register_contract(office.system, command, office.by())
    return subject_id


def send(office: Office, is_full: bool, *contract_ids: str) -> None:
    command = SendLocalList(
        station_id="S1", is_full=is_full, contract_ids=tuple(contract_ids)
    )
    send_local_list(office.system, command, office.by())
    office.follow()


def listed(version: Version, call: Any) -> tuple[int, str, dict[str, bool]]:
    """Return version, kind and tokens of a list; false: to be taken off."""
    request = call[3]
    entries = request.get("localAuthorizationList", [])
    if version == "1.6":
        tokens = {each["idTag"]: "idTagInfo" in each for each in entries}
        return request["listVersion"], request["updateType"], tokens
    tokens = {each["idToken"]["idToken"]: "idTokenInfo" in each for each in entries}
    return request["versionNumber"], request["updateType"], tokens


@pytest.mark.parametrize("version", VERSIONS)
def test_a_list_has_the_contracts_that_hold_and_its_version_counts_up(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    contract(office, "c-1", "CERT-TAG-1")
    contract(office, "c-2", "CERT-TAG-2", valid_until_at=NOW + DAY)
    contract(office, "c-3", "CERT-TAG-3", valid_until_at=NOW + 1)
    send(office, True)
    send(office, False, "c-2", "c-3")
    first = wire.calls("SendLocalList")[0]
    tokens = {"CERT-TAG-1": True, "CERT-TAG-2": True}
    assert listed(version, first) == (1, "Full", tokens)
    wire.answer(first, {"status": "Accepted"})
    second = wire.calls("SendLocalList")[1]
    tokens = {"CERT-TAG-2": True, "CERT-TAG-3": False}
    assert listed(version, second) == (2, "Differential", tokens)
    wire.answer(second, {"status": "Failed"})
    assert steps(office) == ["sent", "sent", "done", "failed"]


def test_who_ended_or_was_erased_since_is_not_on_the_list_that_is_sent(
    office: Office,
) -> None:
    contract(office, "c-1", "CERT-TAG-1")
    contract(office, "c-2", "CERT-TAG-2")
    gone = contract(office, "c-3", "CERT-TAG-3")
    send(office, True)
    end = EndContract(contract_id="c-2", reason="moved away")
    end_contract(office.system, end, office.by())
    office.system.vault.destroy(gone)
    wire = connected(office, "1.6")
    (call,) = wire.calls("SendLocalList")
    assert listed("1.6", call)[2] == {"CERT-TAG-1": True}


def test_a_token_that_1_6_has_no_room_for_is_left_out_and_counted(
    office: Office,
) -> None:
    contract(office, "c-1", "CERT-TAG-1")
    contract(office, "c-2", "a token of more than 20 characters")
    wire = connected(office, "1.6")
    send(office, True)
    (call,) = wire.calls("SendLocalList")
    assert listed("1.6", call)[2] == {"CERT-TAG-1": True}
    wire.answer(call, {"status": "Accepted"})
    assert ended(office).results == (("tokens", "1"), ("too long", "1"))


def test_a_list_of_contracts_nobody_registered_is_refused(office: Office) -> None:
    with pytest.raises(InvalidValue, match="'c-9' was never registered"):
        send(office, False, "c-9")
    with pytest.raises(InvalidValue, match="differential"):
        send(office, False)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", [-1, 0, 7])
def test_the_version_of_a_stations_list_is_shown(
    office: Office, version: Version, number: int
) -> None:
    wire = connected(office, version)
    ask(office, ActivityKind.LOCAL_LIST_VERSION)
    (call,) = wire.calls("GetLocalListVersion")
    name = "listVersion" if version == "1.6" else "versionNumber"
    wire.answer(call, {name: number})
    assert ended(office).results == (("version", str(number)),)


def rotate(office: Office) -> None:
    rotate_password(office.system, RotatePassword(station_id="S1"), office.by())
    office.follow()


def told_password(version: Version, wire: Wire) -> str:
    call = wire.calls()[-1]
    if version == "1.6":
        assert call[2] == "ChangeConfiguration"
        assert call[3]["key"] == "AuthorizationKey"
        return str(call[3]["value"])
    assert call[2] == "SetVariables"
    (data,) = call[3]["setVariableData"]
    assert data["component"] == {"name": "SecurityCtrlr"}
    assert data["variable"] == {"name": "BasicAuthPassword"}
    return str(data["attributeValue"])


def answer_password(version: Version, wire: Wire, status: str) -> None:
    call = wire.calls()[-1]
    if version == "1.6":
        wire.answer(call, {"status": status})
        return
    (data,) = call[3]["setVariableData"]
    told = {"attributeStatus": status, "component": data["component"]}
    wire.answer(call, {"setVariableResult": [{**told, "variable": data["variable"]}]})


def opens(office: Office, password: bytes) -> bool:
    """Whether a station is let in by a password, as the handshake has it."""
    credentials = office.gateway.peers.by_id["S1"].credentials
    assert credentials is not None
    proof = Proof(is_tls=False, digests=digests_of(password))
    return refusal_of(credentials, proof) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_station_takes_a_new_password_and_the_old_one_opens_nothing(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    rotate(office)
    password = told_password(version, wire)
    assert len(bytes.fromhex(password)) == 20
    assert opens(office, b"secret")
    assert opens(office, password.encode())
    answer_password(version, wire, "Accepted")
    office.follow()
    assert not opens(office, b"secret")
    assert opens(office, password.encode())
    assert opens(office, bytes.fromhex(password))
    assert steps(office) == ["sent", "done"]
    changed = office.events(t.StationCredentialChanged)[-1]
    assert isinstance(changed, t.StationCredentialChanged)
    assert changed.password_digest == digest_of(password)


@pytest.mark.parametrize("version", VERSIONS)
def test_where_the_station_rejects_it_the_old_password_stays(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    rotate(office)
    password = told_password(version, wire)
    answer_password(version, wire, "Rejected")
    office.follow()
    assert opens(office, b"secret")
    assert not opens(office, password.encode())
    assert ended(office).outcome == "refused"


def test_a_station_whose_answer_was_lost_comes_in_by_either_and_is_told_again(
    office: Office,
) -> None:
    wire = connected(office, "2.1")
    rotate(office)
    password = told_password("2.1", wire)
    assert wire.connection is not None
    office.gateway.disconnect(wire.connection, "gone")
    again = Office(office.system, office.clock)
    again.ask_nothing()
    assert opens(again, b"secret")
    assert opens(again, password.encode())
    wire = again.connect("S1", "2.1")
    again.pass_time(15 * SECOND)
    assert told_password("2.1", wire) == password
    answer_password("2.1", wire, "Accepted")
    again.follow()
    assert not opens(again, b"secret")


@pytest.mark.parametrize("end", ["Accepted", "timed out"])
def test_a_password_is_nowhere_in_the_clear_and_its_key_goes_when_all_is_over(
    office: Office, tmp_path: Path, end: str
) -> None:
    wire = connected(office, "2.1")
    rotate(office)
    password = told_password("2.1", wire)
    if end == "Accepted":
        answer_password("2.1", wire, end)
    else:
        office.pass_time(2 * HOUR)
        run_due_timers(office.system, office.clock.at)
    office.follow()
    office.system.log.flush()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    told = (password.encode(), base64.b64encode(password.encode()))
    assert not any(text in path.read_bytes() for path in files for text in told)
    (asked,) = office.events(y.ActivityAsked)
    assert isinstance(asked, y.ActivityAsked)
    assert asked.credential is not None
    opened = office.system.vault.open(asked.credential, PASSWORD_CONTEXT)
    assert opened is None


def test_one_password_at_a_time(office: Office) -> None:
    connected(office, "2.1")
    rotate(office)
    with pytest.raises(Refused, match="is being told a new password"):
        rotate(office)
