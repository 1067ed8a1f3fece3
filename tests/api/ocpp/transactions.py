"""Transactions of station S1, one EV user of which has a contract."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from domain.model import station_events as t
from domain.model.values import DAY, Instant
from domain.use_cases.s2_back_office import RegisterContract, register_contract
from tests.api.ocpp.office import (
    NOW,
    Office,
    Wire,
    iso,
    open_with_station,
)

CARD = "04A2B3C4D5"


@contextmanager
def open_with_contract(folder: Path) -> Iterator[Office]:
    """Open an office with station S1; the user of a card may charge."""
    with open_with_station(folder) as office:
        contract = RegisterContract(
            contract_id="c1",
            subject_id=office.system.vault.subject_of("rfid", CARD),
            valid_from_at=NOW - DAY,
            valid_until_at=NOW + DAY,
        )
        register_contract(office.system, contract, office.by())
        yield office


def meter(at: Instant, register: float, power: float | None = None) -> dict[str, Any]:
    """Return a meter value of 2.x."""
    values: list[dict[str, Any]] = [{"value": register}]
    if power is not None:
        values.append({"value": power, "measurand": "Power.Active.Import"})
    return {"timestamp": iso(at), "sampledValue": values}


def event(
    office: Office, kind: str, seq_no: int, trigger: str, **changes: Any
) -> dict[str, Any]:
    """Return a TransactionEvent; ``state`` and what else belongs into its info."""
    info = {"transactionId": changes.pop("transaction_id", "tx-1")}
    for name in ("chargingState", "stoppedReason", "remoteStartId"):
        if name in changes:
            info[name] = changes.pop(name)
    return {
        "eventType": kind,
        "timestamp": iso(changes.pop("at", office.clock.at)),
        "triggerReason": trigger,
        "seqNo": seq_no,
        "transactionInfo": info,
        **changes,
    }


def started(office: Office, wire: Wire, **changes: Any) -> Any:
    values = {
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": CARD, "type": "ISO14443"},
        "chargingState": "EVConnected",
        "meterValue": [meter(office.clock.at, 1_000)],
        **changes,
    }
    told = event(office, "Started", 0, "CablePluggedIn", **values)
    return wire.ask("TransactionEvent", told)


def only(office: Office, kind: type[Any]) -> Any:
    (found,) = office.events(kind)
    return found


def kinds(office: Office) -> list[str]:
    found = office.events(t.StationTransactionReported)
    return [e.kind for e in found if isinstance(e, t.StationTransactionReported)]


def running(office: Office, number: int = 1) -> Any:
    return office.gateway.peers.by_id["S1"].transactions.get(number)
