"""S2 Contracts of the embedded back office at a real socket, and what it answers."""

from typing import Any

import msgspec
import pytest

from domain.model.values import DAY, HOUR, iso_of
from domain.use_cases.s2_back_office import EmbeddedBackOffice, holder_context
from tests.api.caller import Caller
from tests.api.conftest import CallerFor, Served
from tests.projections.small_site import EVSES

TOKEN = {"kind": "rfid", "text": "CAFE0042"}
EVSE = EVSES[0]


@pytest.fixture
def embedded(served: Served) -> Served:
    """The served site with the embedded back office."""
    context = served.app.state.tenants["main"]
    cso = EmbeddedBackOffice(served.system.log, served.clock)
    system = msgspec.structs.replace(served.system, cso=cso)
    served.app.state.tenants = {"main": msgspec.structs.replace(context, system=system)}
    return served


@pytest.fixture
def operator(embedded: Served, caller_for: CallerFor) -> Caller:
    return caller_for("operator", zones=("*",))


def contract(served: Served, **more: Any) -> dict[str, Any]:
    now = served.clock.now()
    return {
        "token": TOKEN,
        "holder": "Anna Example",
        "contract_id": "c-1",
        "valid_from_at": iso_of(now - HOUR),
        **more,
    }


def answered(served: Served, station: Caller, **more: str) -> str:
    """Present the credentials at an EVSE; return what was answered."""
    told = station.done("/authorizations", {"token": TOKEN, "evse_id": EVSE, **more})
    rows = served.system.log.read(after=0, limit=10_000)
    mine = [row for row in rows if row.stream == told["stream"]]
    answers = [r for r in mine if r.type.startswith("authorization.")]
    return " ".join([answers[-1].type, getattr(answers[-1].event, "reason", "")])


def test_an_ended_contract_opens_for_nothing_told_late(
    embedded: Served, operator: Caller, caller_for: CallerFor
) -> None:
    station = caller_for("station", stations=("s1",))
    operator.done("/contracts", contract(embedded))
    before = iso_of(embedded.clock.now())
    embedded.clock.at += HOUR
    operator.done("/contracts/c-1/ending", {"reason": "stolen"})
    embedded.clock.at += HOUR
    said = answered(embedded, station, occurred_at=before)
    assert said == "authorization.refused the contract was ended"


def test_credentials_are_accepted_while_their_contract_holds(
    embedded: Served, operator: Caller, caller_for: CallerFor
) -> None:
    station = caller_for("station", stations=("s1",))
    assert answered(embedded, station) == ("authorization.refused no contract is known")
    operator.done("/contracts", contract(embedded))
    assert answered(embedded, station) == "authorization.accepted "
    operator.done("/contracts/c-1/ending", {"reason": "moved away"})
    assert answered(embedded, station) == (
        "authorization.refused the contract was ended"
    )


def test_contracts_are_listed_with_their_holder_sealed(
    embedded: Served, operator: Caller
) -> None:
    until = embedded.clock.now() + 30 * DAY
    body = contract(embedded, v2g=True, valid_until_at=iso_of(until))
    registered = operator.done("/contracts", body)
    assert registered["stream"] == "contract-c-1"
    shown = operator.get("/contracts/c-1", after=registered["position"])
    assert shown["holder"] == {"sealed": True}
    assert (shown["v2g"], shown["valid_until_at"]) == (True, iso_of(until))
    assert shown["ended_at"] is None
    operator.done("/contracts", {**body, "contract_id": "c-2"})
    ended = operator.done("/contracts/c-2/ending", {"reason": "moved"})
    page = operator.get("/contracts", limit=1, after=ended["position"])
    assert [item["contract_id"] for item in page["items"]] == ["c-1"]
    rest = operator.get("/contracts", limit=9, cursor=page["next"])
    assert [item["end_reason"] for item in rest["items"]] == ["moved"]
    assert rest["next"] is None
    mine = operator.get("/contracts", subject_id=shown["subject_id"])
    assert len(mine["items"]) == 2
    assert operator.get("/contracts", subject_id="nobody")["items"] == []


def test_no_credential_stands_anywhere_in_plain_text(
    embedded: Served, operator: Caller
) -> None:
    told = operator.done("/contracts", contract(embedded))
    shown = operator.get("/contracts/c-1", after=told["position"])
    assert "CAFE0042" not in str(shown)
    (row,) = embedded.system.log.read_stream("contract-c-1")
    assert "CAFE0042" not in str(row)
    holder = row.event.holder  # type: ignore[union-attr]
    opened = embedded.system.vault.open(holder, holder_context("c-1"))
    assert msgspec.msgpack.decode(opened or b"") == ["rfid", "CAFE0042", "Anna Example"]


def test_a_contract_without_an_id_gets_one_and_a_repeat_the_same(
    embedded: Served, operator: Caller
) -> None:
    body = contract(embedded)
    del body["contract_id"]
    first = operator.done("/contracts", body, key="k1")
    again = operator.done("/contracts", body, key="k1")
    assert again == {**first, "repeated": True}
    other = operator.done("/contracts", body, key="k2")
    assert other["stream"] != first["stream"]


def test_what_makes_no_sense_is_refused(embedded: Served, operator: Caller) -> None:
    operator.done("/contracts", contract(embedded))
    operator.refused(422, "refused", "/contracts", contract(embedded))
    never = {"contract_id": "c-3", "valid_until_at": iso_of(embedded.clock.now() - DAY)}
    operator.refused(422, "refused", "/contracts", contract(embedded, **never))
    emaid = contract(embedded, contract_id="DE-8AA-C12345678-9")
    operator.refused(422, "refused", "/contracts", emaid)
    gone = "/contracts/nothing/ending"
    operator.refused(404, "unknown-contract", gone, {"reason": "x"})
    operator.done("/contracts/c-1/ending", {"reason": "x"})
    operator.refused(422, "refused", "/contracts/c-1/ending", {"reason": "x"})


def test_contracts_are_kept_by_who_reaches_the_whole_tenant(
    embedded: Served, operator: Caller, caller_for: CallerFor
) -> None:
    operator.done("/contracts", contract(embedded))
    partial = caller_for("operator", zones=("garage",))
    partial.refused(403, "forbidden", "/contracts", contract(embedded))
    for path in ("/contracts", "/contracts/c-1", "/contracts/c-9"):
        answer = partial.client.get(path, headers=partial.headers)
        assert answer.status_code == 403, path
    for contract_id in ("c-1", "c-9"):
        path = f"/contracts/{contract_id}/ending"
        partial.refused(403, "forbidden", path, {"reason": "x"})
