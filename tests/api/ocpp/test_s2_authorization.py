from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.ocpp.violations import Version
from domain.model import session_events as s
from domain.model.values import DAY, iso_of
from domain.ports import CsoElsewhere
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.clause_6_2_service_sessions import (
    AddTransaction,
    add_transaction,
    credential_context,
)
from domain.use_cases.s2_back_office import (
    EndContract,
    RegisterContract,
    end_contract,
    register_contract,
)
from tests.api.ocpp.office import NOW, VERSIONS, Office, Wire, evse_data, open_office

CARD = "04A2B3C4D5"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_office(tmp_path) as office:
        office.register("S1")
        office.commission("S1", evse_data("DE*VLT*E1"), evse_data("DE*VLT*E2"))
        yield office


def contract(office: Office, text: str = CARD, kind: str = "rfid") -> None:
    command = RegisterContract(
        contract_id=f"c-{kind}",
        subject_id=office.system.vault.subject_of(kind, text),
        valid_from_at=NOW - DAY,
        valid_until_at=NOW + DAY,
    )
    register_contract(office.system, command, office.by())


def ask(wire: Wire, version: Version, text: str, token_type: str = "ISO14443") -> Any:
    if version == "1.6":
        return wire.ask("Authorize", {"idTag": text})["idTagInfo"]
    token = {"idToken": text, "type": token_type}
    return wire.ask("Authorize", {"idToken": token})["idTokenInfo"]


@pytest.mark.requirement("S2.Req1")
@pytest.mark.requirement("S2.Req3")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_token_with_a_contract_is_accepted_and_its_session_waits(
    office: Office, version: Version
) -> None:
    contract(office)
    wire = office.connect("S1", version)
    info = ask(wire, version, CARD)
    assert info["status"] == "Accepted"
    (opened,) = office.events(s.SessionOpened)
    (asked,) = office.events(s.AuthorizationRequested)
    assert isinstance(opened, s.SessionOpened)
    assert isinstance(asked, s.AuthorizationRequested)
    assert (asked.station_id, asked.zone_id, asked.evse_id) == ("S1", "site", "")
    given = info.get("customData", {}).get("sessionId", opened.session_id)
    assert asked.session_id == opened.session_id == given
    assert ("customData" in info) == (version != "1.6")
    assert len(office.events(s.AuthorizationAccepted)) == 1


@pytest.mark.requirement("S2.Req2")
def test_a_token_stands_nowhere_in_the_clear(office: Office, tmp_path: Path) -> None:
    contract(office)
    ask(office.connect("S1", "1.6"), "1.6", CARD)
    (asked,) = office.events(s.AuthorizationRequested)
    assert isinstance(asked, s.AuthorizationRequested)
    assert asked.credential is not None
    opened = office.system.vault.open(asked.credential, credential_context(""))
    assert opened == CARD.encode()
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or CARD.encode() not in path.read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_who_is_refused_is_told_why(office: Office, version: Version) -> None:
    wire = office.connect("S1", version)
    unknown = "Invalid" if version == "1.6" else "Unknown"
    assert ask(wire, version, CARD)["status"] == unknown
    contract(office)
    assert ask(wire, version, CARD)["status"] == "Accepted"
    office.pass_time(2 * DAY)
    assert ask(wire, version, CARD)["status"] == "Expired"
    end = EndContract(contract_id="c-rfid", reason="moved away")
    end_contract(office.system, end, office.by())
    assert ask(wire, version, CARD)["status"] == "Blocked"
    refused = office.events(s.AuthorizationRefused)
    assert [r.reason for r in refused if isinstance(r, s.AuthorizationRefused)] == [
        "no contract is known",
        "the contract expired",
        "the contract was ended",
    ]


def test_a_card_is_the_same_in_small_letters(office: Office) -> None:
    contract(office)
    wire = office.connect("S1", "2.0.1")
    assert ask(wire, "2.0.1", CARD.lower())["status"] == "Accepted"


def test_a_contract_of_a_car_is_found_by_its_kind(office: Office) -> None:
    contract(office, "DEABCC12345678", "emaid")
    wire = office.connect("S1", "2.1")
    assert ask(wire, "2.1", "DEABCC12345678", "eMAID")["status"] == "Accepted"
    assert ask(wire, "2.1", "DEABCC12345678", "ISO14443")["status"] == "Unknown"


def test_nobody_is_authorized_by_no_token(office: Office) -> None:
    wire = office.connect("S1", "2.0.1")
    assert ask(wire, "2.0.1", "", "NoAuthorization")["status"] == "Invalid"
    assert office.events(s.SessionOpened) == []


def test_shown_again_at_the_station_it_is_the_same_session(office: Office) -> None:
    contract(office)
    wire = office.connect("S1", "1.6")
    ask(wire, "1.6", CARD)
    ask(wire, "1.6", CARD)
    assert len(office.events(s.SessionOpened)) == 1
    assert len(office.events(s.AuthorizationRequested)) == 2


def test_a_back_office_elsewhere_is_heard_when_the_token_is_shown_again(
    office: Office,
) -> None:
    desk = office.desk.desk
    desk.system = msgspec.structs.replace(desk.system, cso=CsoElsewhere())
    wire = office.connect("S1", "2.1")
    assert ask(wire, "2.1", CARD)["status"] == "Invalid"
    (asked,) = office.events(s.AuthorizationRequested)
    assert isinstance(asked, s.AuthorizationRequested)
    accepted = s.AuthorizationAccepted(session_id="", by="emsp")
    adding = AddTransaction(transaction=accepted, session_id=asked.session_id)
    add_transaction(office.system, adding, office.by("emsp"))
    assert ask(wire, "2.1", CARD)["status"] == "Accepted"


def say(wire: Wire, status: str) -> None:
    told = {"connectorId": 1, "status": status, "errorCode": "NoError"}
    wire.ask("StatusNotification", told)


@pytest.mark.parametrize("plugs_first", [False, True])
def test_what_waited_at_the_station_goes_on_where_its_token_is_told(
    office: Office, plugs_first: bool
) -> None:
    """Given a card that is shown before or after the cable is in, and then started."""
    contract(office)
    wire = office.connect("S1", "1.6")
    if plugs_first:
        say(wire, "Preparing")
    ask(wire, "1.6", CARD)
    say(wire, "Preparing")
    office.follow()
    assert len(office.events(s.SessionOpened)) == 2
    start = {
        "connectorId": 1,
        "idTag": CARD,
        "meterStart": 1_000,
        "timestamp": iso_of(NOW),
    }
    assert wire.ask("StartTransaction", start)["idTagInfo"]["status"] == "Accepted"
    office.follow()
    (merged,) = office.events(s.MergedInto)
    assert isinstance(merged, s.MergedInto)
    kept = resolve(office.system, merged.session_id)
    assert (kept.evse_id, kept.authorized) == ("DE*VLT*E1", True)


def test_what_another_driver_waits_with_stays(office: Office) -> None:
    contract(office)
    wire = office.connect("S1", "1.6")
    ask(wire, "1.6", "04FFFFFF")
    start = {
        "connectorId": 1,
        "idTag": CARD,
        "meterStart": 1_000,
        "timestamp": iso_of(NOW),
    }
    wire.ask("StartTransaction", start)
    office.follow()
    assert office.events(s.MergedInto) == []
