"""Contracts of the embedded back office over HTTP (S2): who may charge, from when on.

A contract is the tenant's, at all of its zones: who reaches only a part of them neither
sees contracts nor keeps them.
"""

import hashlib
from typing import Annotated

import msgspec
from fastapi import Query, Response
from pydantic import Field

from api.errors import forbidden, unknown
from api.rest.command_bodies import Moment, Name, PathId, Reason, TokenBody, example
from api.rest.commanding import Body, Commanding, Commands, Secret, commanded
from api.rest.presentation import json_response
from api.rest.reading import (
    After,
    Caller,
    Cursor,
    Limit,
    Reading,
    caught_up,
    documented,
    key_of,
    needs,
    new_routes,
    next_of,
)
from api.security.permissions import Permission
from api.security.principal import Principal
from domain.model.ids import contract_stream
from domain.use_cases.s2_back_office import (
    EndContract,
    RegisterContract,
    end_contract,
    holder_context,
    register_contract,
)
from projections.contracts import Contract

router = new_routes()

_CONTRACTS = "contracts"


class ContractPage(msgspec.Struct):
    """A page of contracts, by id."""

    items: list[Contract]
    next: str | None


class ContractBody(Body):
    """Whose credentials may charge, and when; without an id the contract gets one."""

    model_config = example(
        token={"kind": "rfid", "text": "04A2B3C4D5E6F7"},
        holder="Fleet car 12",
        contract_id="c-2026-17",
        valid_from_at="2026-06-01T00:00:00Z",
    )

    token: TokenBody
    holder: Annotated[
        str, Field(max_length=200, description="Whose it is; kept sealed.")
    ] = ""
    contract_id: Name | None = None
    valid_from_at: Moment
    valid_until_at: Moment | None = None
    v2g: bool = False
    group_id: Annotated[
        str,
        Field(
            max_length=20,
            description="Its contracts may end each other's charges and use each "
            "other's reservations; stations are told it as it is.",
        ),
    ] = ""


class ContractEndBody(Body):
    """Why the contract no longer holds."""

    model_config = example(reason="moved away")

    reason: Reason


@router.post(
    "/contracts",
    openapi_extra=needs(Permission.CONTRACTS_KEEP),
    tags=["contracts", "S2"],
    responses=commanded(),
)
async def post_contract(commands: Commanding, body: ContractBody) -> Response:
    """Register a contract: from its beginning on, the credentials are accepted."""
    _check_reaches_all(commands.caller, Permission.CONTRACTS_KEEP)
    token = body.token
    command = RegisterContract(
        contract_id=body.contract_id or _drawn_id(commands),
        subject_id=await commands.subject_of(token.kind, token.text, lambda: None),
        valid_from_at=body.valid_from_at,
        valid_until_at=body.valid_until_at or 0,
        v2g=body.v2g,
        group_id=body.group_id,
    )

    group = msgspec.msgpack.encode([token.kind, token.text, body.holder])
    context = holder_context(command.contract_id)
    secret = Secret("holder", command.subject_id, context, group)
    return await commands.run(register_contract, command, secret=secret)


def _drawn_id(commands: Commands) -> str:
    """Return an id that a repeat of the command gets again."""
    named = f"{commands.caller.actor}\n{commands.key}".encode()
    return hashlib.sha256(named).hexdigest()[:20]


@router.post(
    "/contracts/{contract_id}/ending",
    openapi_extra=needs(Permission.CONTRACTS_KEEP),
    tags=["contracts", "S2"],
    responses=commanded(),
)
async def post_contract_end(
    commands: Commanding, contract_id: PathId, body: ContractEndBody
) -> Response:
    """End a contract: from now on its credentials are refused."""
    _check_reaches_all(commands.caller, Permission.CONTRACTS_KEEP)

    def reach() -> None:
        if not commands.system.log.read_stream(contract_stream(contract_id)):
            raise unknown("contract", contract_id)

    command = EndContract(contract_id=contract_id, reason=body.reason)
    return await commands.run(end_contract, command, reach=reach)


@router.get(
    "/contracts",
    openapi_extra=needs(Permission.CONTRACTS_READ),
    tags=["contracts"],
    responses=documented(ContractPage, 400),
)
async def list_contracts(
    context: Reading,
    caller: Caller,
    subject_id: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 100,
    cursor: Cursor = "",
    after: After = None,
) -> Response:
    """List contracts by id, of one subject if asked."""
    _check_reaches_all(caller, Permission.CONTRACTS_READ)
    await caught_up(context, _CONTRACTS, after)
    (behind,) = key_of(_CONTRACTS, cursor, tuple[str], ("",))
    items = context.models.contracts.page(
        after=behind, limit=limit, subject_id=subject_id
    )
    more = next_of(_CONTRACTS, items, limit, lambda contract: (contract.contract_id,))
    return json_response(ContractPage(items, more))


@router.get(
    "/contracts/{contract_id}",
    openapi_extra=needs(Permission.CONTRACTS_READ),
    tags=["contracts"],
    responses=documented(Contract, 404),
)
async def get_contract(
    context: Reading, caller: Caller, contract_id: PathId, after: After = None
) -> Response:
    """Show a contract; its holder stays sealed."""
    _check_reaches_all(caller, Permission.CONTRACTS_READ)
    await caught_up(context, _CONTRACTS, after)
    contract = context.models.contracts.contract(contract_id)
    if contract is None:
        raise unknown("contract", contract_id)
    return json_response(contract)


def _check_reaches_all(caller: Principal, permission: Permission) -> None:
    if not caller.reaches_all:
        raise forbidden(permission)
