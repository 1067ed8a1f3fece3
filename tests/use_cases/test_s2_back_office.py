"""S2 Authorization with locally presented credentials, by the embedded back office."""

from typing import Any, cast

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, RequestMismatch, Unknown
from domain.model import contract_events as c
from domain.model import session_events as s
from domain.model.values import DAY, HOUR, MINUTE, Instant
from domain.ports import Answer, Authorization, Batch, System
from domain.use_cases.s2_back_office import (
    AskAuthorization,
    EmbeddedBackOffice,
    EndContract,
    RegisterContract,
    authorize,
    end_contract,
    holder_context,
    register_contract,
)
from tests.store.fakes import FakeClock
from tests.use_cases.small_site import ANNA, BEN, E1, E2, E3, NINE, Site, by

REGISTER = RegisterContract(
    contract_id="c-1",
    subject_id=ANNA,
    valid_from_at=NINE,
    valid_until_at=NINE + 30 * DAY,
)
ASK = AskAuthorization(evse_id=E1, subject_id=ANNA)


@pytest.fixture
def office(site: Site) -> EmbeddedBackOffice:
    return EmbeddedBackOffice(site.log, site.system.clock)


@pytest.fixture
def embedded(site: Site, office: EmbeddedBackOffice) -> System:
    """A system whose back office is the embedded one."""
    return msgspec.structs.replace(site.system, cso=office)


def reason_of(office: EmbeddedBackOffice, at: Instant, subject_id: str = ANNA) -> str:
    said = office.answer(subject_id, E1, at)
    assert said.accepted == (said.reason == "")
    return said.reason


def test_the_back_office_accepts_while_a_contract_is_valid(
    site: Site, office: EmbeddedBackOffice
) -> None:
    assert reason_of(office, NINE) == "no contract is known"
    register_contract(site.system, REGISTER, by(NINE - DAY))
    assert reason_of(office, NINE - 1) == "the contract is not yet valid"
    assert office.answer(ANNA, E1, NINE) == Authorization(True, "back-office/c-1")
    assert reason_of(office, NINE + 30 * DAY - 1) == ""
    assert reason_of(office, NINE + 30 * DAY) == "the contract expired"
    for other in (BEN, "", ANNA[:-1]):
        assert reason_of(office, NINE, other) == "no contract is known"


def test_an_ended_contract_is_refused_from_its_end_on(
    site: Site, office: EmbeddedBackOffice
) -> None:
    register_contract(site.system, REGISTER, by(NINE))
    end = EndContract(contract_id="c-1", reason="moved away")
    end_contract(site.system, end, by(NINE + DAY))
    assert reason_of(office, NINE + DAY - 1) == ""
    assert reason_of(office, NINE + DAY) == "the contract was ended"
    with pytest.raises(Refused, match="ended before"):
        end_contract(site.system, end, by(NINE + DAY))


def test_what_is_told_late_is_not_accepted_under_an_ended_contract(
    site: Site, office: EmbeddedBackOffice
) -> None:
    """Given a contract that ended after what happened, and before it is told."""
    register_contract(site.system, REGISTER, by(NINE))
    end = EndContract(contract_id="c-1", reason="stolen")
    end_contract(site.system, end, by(NINE + DAY))
    clock = cast(FakeClock, site.system.clock)
    clock.at = NINE + DAY - 1
    assert reason_of(office, NINE + HOUR) == ""
    clock.at = NINE + DAY
    assert reason_of(office, NINE + HOUR) == "the contract was ended"


def test_any_of_a_subjects_contracts_will_do(
    site: Site, office: EmbeddedBackOffice
) -> None:
    register_contract(site.system, REGISTER, by(NINE))
    second = msgspec.structs.replace(
        REGISTER, contract_id="a-2", valid_from_at=NINE + 40 * DAY, valid_until_at=0
    )
    register_contract(site.system, second, by(NINE))
    assert reason_of(office, NINE) == ""
    assert reason_of(office, NINE + 35 * DAY) == "the contract is not yet valid"
    assert office.answer(ANNA, E1, NINE + 41 * DAY).by == "back-office/a-2"


def test_a_contract_is_registered_once(site: Site) -> None:
    register_contract(site.system, REGISTER, by(command_id="r"))
    again = register_contract(site.system, REGISTER, by(command_id="r"))
    assert again.repeated
    with pytest.raises(Refused, match="registered before"):
        register_contract(site.system, REGISTER, by())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contract_id": "DE-8AA-C12345678-9"}, "form of an EMAID"),
        ({"contract_id": "a/b"}, "contract id"),
        ({"subject_id": ""}, "subject id"),
        ({"valid_until_at": NINE}, "not after its beginning"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused(
    site: Site, changes: dict[str, Any], message: str
) -> None:
    command = msgspec.structs.replace(REGISTER, **changes)
    with pytest.raises(InvalidValue, match=message):
        register_contract(site.system, command, by())


def test_nobody_ends_a_contract_there_is_not(site: Site) -> None:
    with pytest.raises(Unknown, match="never registered"):
        end_contract(site.system, EndContract(contract_id="x", reason="y"), by())
    register_contract(site.system, REGISTER, by())
    with pytest.raises(InvalidValue, match="0 characters"):
        end_contract(site.system, EndContract(contract_id="c-1", reason=""), by())


def test_a_holder_is_sealed_and_a_repeat_is_still_the_same(site: Site) -> None:
    vault = site.system.vault
    subject_id = vault.subject_of("rfid", "04AABB")
    for _ in range(2):
        holder = vault.seal(subject_id, holder_context("c-1"), b"04AABB Anna")
        command = msgspec.structs.replace(
            REGISTER, subject_id=subject_id, holder=holder
        )
        register_contract(site.system, command, by(command_id="r"))
    (row,) = site.log.read_stream("contract-c-1")
    assert isinstance(row.event, c.ContractRegistered)
    assert row.event.holder is not None
    assert vault.open(row.event.holder, holder_context("c-1")) == b"04AABB Anna"
    assert b"04AABB" not in msgspec.msgpack.encode(row.event)


def answers(site: Site, answer: Answer) -> list[str]:
    rows = site.rows(answer.first - 1)[: answer.count]
    return [row.type for row in rows if row.type.startswith("authorization.")]


@pytest.mark.requirement("S2.Req1")
@pytest.mark.requirement("S2.Req3")
def test_the_answer_is_recorded_with_the_request(site: Site, embedded: System) -> None:
    refused = authorize(embedded, ASK, by(command_id="1"))
    assert answers(site, refused) == [
        "authorization.requested",
        "authorization.refused",
    ]
    register_contract(embedded, REGISTER, by())
    accepted = authorize(embedded, ASK, by(command_id="2"))
    assert answers(site, accepted) == [
        "authorization.requested",
        "authorization.accepted",
    ]
    assert site.session(site.session_of(accepted)).authorized
    assert site.plug(E1, NINE + MINUTE) == site.session_of(accepted)


def test_a_repeat_gets_the_first_answer_whatever_has_changed(
    site: Site, embedded: System
) -> None:
    first = authorize(embedded, ASK, by(command_id="1"))
    register_contract(embedded, REGISTER, by())
    again = authorize(embedded, ASK, by(NINE + HOUR, command_id="1"))
    assert (again.first, again.count, again.repeated) == (
        first.first,
        first.count,
        True,
    )
    other = msgspec.structs.replace(ASK, subject_id=BEN)
    with pytest.raises(RequestMismatch):
        authorize(embedded, other, by(command_id="1"))


class BrokenLog:
    """A log that breaks in the middle of an append."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def append(self, batch: Batch) -> Answer:
        raise OSError("power failed")


def test_no_crash_leaves_a_request_without_its_answer(
    site: Site, embedded: System
) -> None:
    register_contract(embedded, REGISTER, by())
    broken = msgspec.structs.replace(embedded, log=BrokenLog(site.log))
    with pytest.raises(OSError, match="power failed"):
        authorize(broken, ASK, by(command_id="1"))
    assert site.session(site.present(E1)).authorized is False
    completed = authorize(embedded, ASK, by(command_id="1"))
    assert "authorization.accepted" in answers(site, completed)


def test_a_back_office_elsewhere_answers_by_its_own_command(
    site: Site, system: System
) -> None:
    asked = authorize(system, ASK, by(command_id="1"))
    assert answers(site, asked) == ["authorization.requested"]
    session_id = site.session_of(asked)
    site.add(s.AuthorizationAccepted(session_id="", by="emsp"), session_id)
    assert site.session(session_id).authorized


@pytest.mark.requirement("S2.Req3")
def test_credentials_shown_before_an_evse_is_chosen_wait_at_their_station(
    site: Site, embedded: System
) -> None:
    register_contract(embedded, REGISTER, by())
    ask = AskAuthorization(evse_id="", station_id="s1", subject_id=ANNA)
    session_id = site.session_of(authorize(embedded, ask, by()))
    state = site.session(session_id)
    assert (state.expected_station_id, state.authorized) == ("s1", True)
    assert site.session_of(authorize(embedded, ask, by())) == session_id
    assert site.plug(E3, subject_id=ANNA) != session_id
    assert site.plug(E2, subject_id=BEN) != session_id
    assert site.plug(E1, subject_id=ANNA) == session_id


def test_credentials_shown_at_a_station_nobody_commissioned_are_refused(
    embedded: System,
) -> None:
    ask = AskAuthorization(evse_id="", station_id="s9", subject_id=ANNA)
    with pytest.raises(Unknown, match="s9"):
        authorize(embedded, ask, by())
