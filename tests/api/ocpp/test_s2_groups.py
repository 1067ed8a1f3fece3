"""S2 Contracts of one group may end each other's charges, and use their places."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.ocpp.violations import Version
from domain.errors import InvalidValue, Refused
from domain.model import session_events as s
from domain.model.values import DAY, MINUTE
from domain.use_cases.clause_6_2_service_sessions import credential_context
from domain.use_cases.s2_back_office import EndContract, end_contract
from domain.use_cases.s3_remote_start import StartRemotely, start_remotely
from tests.api.ocpp.activities import connected
from tests.api.ocpp.office import (
    NOW,
    ONE,
    TWO,
    VERSIONS,
    Office,
    Wire,
    evse_data,
    iso,
    open_with_station,
)
from tests.api.ocpp.sockets import ask, open_yard
from tests.api.ocpp.test_s1_reservations import reserve
from tests.api.ocpp.test_token_lists_and_passwords import contract, send
from tests.api.ocpp.transactions import event, meter, running

ANNA, BEN, CARL = "04AABBCC", "04DDEEFF", "04112233"
FLEET = "FLEET-7"


def settle(office: Office) -> None:
    """Register contracts: Anna and Ben are of one fleet."""
    contract(office, "c-1", ANNA, group_id=FLEET)
    contract(office, "c-2", BEN, group_id=FLEET)
    contract(office, "c-3", CARL)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        settle(office)
        yield office


def group_of(version: Version, info: Any) -> Any:
    """Return the group in what is said of a token."""
    if version == "1.6":
        return info.get("parentIdTag")
    return (info.get("groupIdToken") or {}).get("idToken")


def authorized(version: Version, token: str) -> dict[str, Any]:
    if version == "1.6":
        return {"idTag": token}
    return {"idToken": {"idToken": token, "type": "ISO14443"}}


def begin(office: Office, wire: Wire, version: Version, token: str) -> Any:
    """Begin a transaction at EVSE 2; return its answer."""
    if version == "1.6":
        told = {"connectorId": 2, "idTag": token, "meterStart": 0}
        return wire.ask("StartTransaction", {**told, "timestamp": iso(office.clock.at)})
    told = event(
        office,
        "Started",
        0,
        "Authorized",
        evse={"id": 2, "connectorId": 1},
        chargingState="Charging",
        meterValue=[meter(office.clock.at, 0)],
        **authorized(version, token),
    )
    return wire.ask("TransactionEvent", told)


def subjects(office: Office) -> list[str]:
    """Return who charged, by session, in the order in which they came."""
    find = office.system.vault.find_subject
    names = {find("rfid", token): token for token in (ANNA, BEN, CARL)}
    return [
        names[e.subject_id]
        for e in office.events(s.AuthorizationRequested)
        if isinstance(e, s.AuthorizationRequested)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_over_a_socket_the_answer_to_a_token_has_its_group(
    tmp_path: Path, version: Version
) -> None:
    async def check() -> None:
        async with open_yard(tmp_path, "S1") as yard:
            yard.office.commission("S1", evse_data(ONE), evse_data(TWO))
            settle(yard.office)
            async with yard.connect("S1", f"ocpp{version}") as client:
                for number, token in enumerate((ANNA, CARL)):
                    request = authorized(version, token)
                    answer = await ask(client, 2, f"a{number}", "Authorize", request)
                    name = "idTagInfo" if version == "1.6" else "idTokenInfo"
                    info = answer[2][name]
                    assert info["status"] == "Accepted"
                    group = FLEET if token == ANNA else None
                    assert group_of(version, info) == group, json.dumps(info)

    asyncio.run(check())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transaction_and_a_list_tell_the_group_too(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    answer = begin(office, wire, version, ANNA)
    info = answer["idTagInfo" if version == "1.6" else "idTokenInfo"]
    assert group_of(version, info) == FLEET
    send(office, True)
    (call,) = wire.calls("SendLocalList")
    name = "idTagInfo" if version == "1.6" else "idTokenInfo"
    told = [group_of(version, e[name]) for e in call[3]["localAuthorizationList"]]
    assert told == [FLEET, FLEET, None]


def test_who_has_left_the_group_is_of_none(office: Office) -> None:
    end_contract(
        office.system, EndContract(contract_id="c-1", reason="left"), office.by()
    )
    wire = connected(office, "1.6")
    office.pass_time(MINUTE)
    answer = wire.ask("Authorize", {"idTag": ANNA})
    assert answer["idTagInfo"] == {"status": "Blocked"}


@pytest.mark.parametrize("group_id", ["a" * 21, "two words", "DE-ABC-C12345678-X"])
def test_a_group_that_no_station_takes_or_that_names_a_person_is_refused(
    office: Office, group_id: str
) -> None:
    with pytest.raises(InvalidValue, match="group id"):
        contract(office, "c-9", "04998877", group_id=group_id)


@pytest.mark.parametrize(("token", "is_ended"), [(BEN, True), (CARL, False)])
def test_an_end_without_its_number_is_taken_of_one_group_and_of_no_other(
    office: Office, token: str, is_ended: bool
) -> None:
    wire = connected(office, "1.6")
    begin(office, wire, "1.6", ANNA)
    office.pass_time(10 * MINUTE)
    stop = {"transactionId": -1, "idTag": token, "meterStop": 900}
    wire.ask("StopTransaction", {**stop, "timestamp": iso(office.clock.at)})
    assert bool(office.events(s.TransferEnded)) == is_ended


@pytest.mark.parametrize("version", VERSIONS)
def test_a_charge_that_another_of_the_group_ends_stays_its_own(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    number = begin(office, wire, version, ANNA).get("transactionId")
    office.pass_time(10 * MINUTE)
    if version == "1.6":
        stop = {"transactionId": number, "idTag": BEN, "meterStop": 900}
        wire.ask("StopTransaction", {**stop, "timestamp": iso(office.clock.at)})
    else:
        more = authorized(version, BEN)
        told = event(office, "Updated", 1, "StopAuthorized", **more)
        info = wire.ask("TransactionEvent", told)["idTokenInfo"]
        assert (info["status"], group_of(version, info)) == ("Accepted", FLEET)
        assert running(office, 2) is not None
        last = [meter(office.clock.at, 900)]
        told = event(office, "Ended", 2, "StopAuthorized", meterValue=last, **more)
        wire.ask("TransactionEvent", told)
    (ended,) = office.events(s.TransferEnded)
    assert isinstance(ended, s.TransferEnded)
    assert ended.energy_wh == 900
    assert subjects(office) == [ANNA]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_place_kept_for_one_is_for_all_of_the_group(
    office: Office, version: Version
) -> None:
    wire = connected(office, version)
    session_id = reserve(office, token=ANNA)
    (call,) = wire.calls("ReserveNow")
    if version == "1.6":
        assert call[3]["parentIdTag"] == FLEET
    else:
        assert call[3]["groupIdToken"] == {"idToken": FLEET, "type": "Central"}
    wire.answer(call, {"status": "Accepted"})
    # It does not name the reservation: the place and the group tell.
    begin(office, wire, version, BEN)
    assert running(office, 2).session_id == session_id
    assert subjects(office) == [BEN]


@pytest.mark.parametrize(("token", "is_theirs"), [(BEN, True), (CARL, False)])
def test_a_reserved_place_is_started_remotely_by_one_of_the_group(
    office: Office, token: str, is_theirs: bool
) -> None:
    wire = connected(office, "2.1")
    reserve(office, token=ANNA, until_at=NOW + DAY)
    wire.answer(wire.calls("ReserveNow")[0], {"status": "Accepted"})
    subject_id = office.system.vault.subject_of("rfid", token)
    command = StartRemotely(
        evse_id=TWO,
        subject_id=subject_id,
        token_kind="rfid",
        credential=office.system.vault.seal(
            subject_id, credential_context(TWO), token.encode()
        ),
    )
    if not is_theirs:
        with pytest.raises(Refused, match="reserved for another"):
            start_remotely(office.system, command, office.by())
        return
    start_remotely(office.system, command, office.by())
    office.follow()
    (call,) = wire.calls("RequestStartTransaction")
    assert call[3]["groupIdToken"]["idToken"] == FLEET
