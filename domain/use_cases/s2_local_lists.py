"""S2 Local authorization lists: whom a station lets charge while we are not there.

A list is of contracts of the embedded back office; which tokens they are is opened from
the vault when the list is sent, and nowhere kept. Each list that a station is sent has
the next version, so that none is taken for another. By `shared_path`.
"""

from collections.abc import Sequence

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import contract_events as c
from domain.model import ids
from domain.model.activity_events import ActivityKind
from domain.model.values import Instant
from domain.ports import Answer, Batch, Claim, System, Vault
from domain.use_cases.clause_7_3_activities import AskActivity, asked
from domain.use_cases.s2_back_office import holder_context, why_invalid
from domain.use_cases.shared_path import By, record

# Names of the activity's parameters, and what an update is.
VERSION, UPDATE, CONTRACTS = "version", "update", "contracts"
FULL, DIFFERENTIAL = "full", "differential"
# As many contracts a message: it is one frame, which stations bound.
MOST_CONTRACTS = 500
_CLAIM = "local-list"


class ListedContract(msgspec.Struct, frozen=True):
    """A contract that a list is of; ``until_at`` 0: no end is agreed."""

    registered: c.ContractRegistered
    is_valid: bool

    @property
    def until_at(self) -> Instant:
        """When it ends."""
        return self.registered.valid_until_at


class SendLocalList(msgspec.Struct, frozen=True, kw_only=True):
    """A station is to get a list.

    ``is_full``: it replaces what the station has, by these contracts or, if none is
    named, by all. Else those named are put on its list, or taken off if they no longer
    hold.
    """

    station_id: str
    is_full: bool
    contract_ids: tuple[str, ...] = ()
    due_after: Instant = 0


def send_local_list(system: System, command: SendLocalList, by: By) -> Answer:
    """Ask for the list under the station's next version."""

    def decide() -> Batch:
        contract_ids = command.contract_ids
        if command.is_full and not contract_ids:
            contract_ids = _all_valid(system, by.at)
        _check(system, command, contract_ids, by.at)
        number = len(system.log.claims(_CLAIM, f"{command.station_id}/")) + 1
        asking = AskActivity(
            kind=ActivityKind.LOCAL_LIST,
            station_id=command.station_id,
            due_after=command.due_after,
            parameters=(
                (UPDATE, FULL if command.is_full else DIFFERENTIAL),
                (VERSION, str(number)),
                (CONTRACTS, " ".join(contract_ids)),
            ),
        )
        batch = asked(system, asking, by)
        # Never released: no version is given twice.
        claim = Claim(_CLAIM, f"{command.station_id}/{number:09d}", str(number))
        return msgspec.structs.replace(batch, claims=(*batch.claims, claim))

    return record(system, by, command, decide)


def _check(
    system: System, command: SendLocalList, contract_ids: Sequence[str], at: Instant
) -> None:
    if len(contract_ids) > MOST_CONTRACTS:
        raise Refused(
            f"{len(contract_ids)} contracts are more than the {MOST_CONTRACTS} of one "
            "list: send the first as full, the others as differential ones"
        )
    if not command.is_full and not contract_ids:
        raise InvalidValue("a differential list is of the contracts it names, not of 0")
    known = {
        each.registered.contract_id for each in contracts_of(system, contract_ids, at)
    }
    unknown = sorted(set(contract_ids) - known)
    if unknown:
        raise InvalidValue(f"contract {unknown[0]!r} was never registered")


def _all_valid(system: System, at: Instant) -> tuple[str, ...]:
    owners = sorted({claim.owner for claim in system.log.claims("contract")})
    return tuple(
        each.registered.contract_id
        for each in contracts_of(system, owners, at)
        if each.is_valid
    )


def contracts_of(
    system: System, contract_ids: Sequence[str], at: Instant
) -> list[ListedContract]:
    """Return those of some contracts that were registered, and whether they hold."""
    found = []
    for contract_id in contract_ids:
        rows = list(system.log.read_stream(ids.contract_stream(contract_id)))
        if rows and isinstance(rows[0].event, c.ContractRegistered):
            registered = rows[0].event
            is_valid = not why_invalid(registered, rows, at)
            found.append(ListedContract(registered, is_valid))
    return found


def token_of(vault: Vault, contract: ListedContract) -> tuple[str, str]:
    """Return kind and text of a contract's token; empty where it was erased."""
    registered = contract.registered
    if registered.holder is None:
        return "", ""
    opened = vault.open(registered.holder, holder_context(registered.contract_id))
    if opened is None:
        return "", ""
    kind, text, _ = msgspec.msgpack.decode(opened, type=tuple[str, str, str])
    return kind, text
