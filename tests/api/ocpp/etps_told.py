"""ETPs of EVSEs of station S1: how they are sent, and what the station was told."""

from datetime import UTC, datetime, timedelta
from typing import Any

from api.ocpp.open_transactions import began, runs
from api.ocpp.violations import Version
from domain.model import ids
from domain.model import station_events as t
from domain.model.plan_events import EtpAccepted, EtpRefused, EtpSent
from domain.model.profile import PowerProfile
from domain.model.values import Event
from domain.ports import Append, Batch
from domain.use_cases.e1_smart_charging import PlugEv, plug_ev
from tests.api.ocpp.office import (
    ONE,
    Office,
    Wire,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record(office: Office, stream: str, *events: Event) -> None:
    batch = Batch(actor="test", appends=(Append(stream, events, office.clock.at),))
    office.system.log.append(batch)
    office.follow()


def able(office: Office, version: Version, **abilities: Any) -> None:
    told: dict[str, Any] = {"unit": "W", "max_periods": 24, "max_stack_level": 8}
    event = t.StationCapabilities(
        station_id="S1", version=version, **{**told, **abilities}
    )
    record(office, ids.station_stream("S1"), event)


def connected(office: Office, version: Version, **abilities: Any) -> Wire:
    """Connect a station that knows the time, and has told what it can do."""
    able(office, version, **abilities)
    wire = office.connect("S1", version)
    status = {"timestamp": time_of(office), "connectorId": 1}
    if version == "1.6":
        status |= {"status": "Available", "errorCode": "NoError"}
    else:
        status |= {"connectorStatus": "Available", "evseId": 1}
    wire.ask("StatusNotification", status)
    return wire


def time_of(office: Office) -> str:
    at = EPOCH + timedelta(microseconds=office.clock.at)
    return at.isoformat().replace("+00:00", "Z")


def plug(office: Office, evse_id: str = ONE) -> None:
    plug_ev(office.system, PlugEv(evse_id=evse_id), office.by())
    office.follow()


def begin(office: Office, wire: Wire, number: int = 1, name: str = "tx-1") -> Any:
    """Let a transaction begin; return the id that the station knows it by."""
    assert wire.connection is not None
    peer = office.gateway.peers.by_id["S1"]
    of_version = 41 if wire.connection.version == "1.6" else name
    runs(office.gateway, peer, began(peer, of_version, number, office.clock.at))
    return of_version


def send(
    office: Office,
    number: int,
    *changes: tuple[int, int],
    evse_id: str = ONE,
    mandatory: bool = False,
) -> EtpSent:
    """Let the loop send an ETP."""
    profile = PowerProfile(office.clock.at, changes)
    event = EtpSent(
        evse_id=evse_id, number=number, profile=profile, mandatory=mandatory
    )
    record(office, ids.delivery_stream("S1", office.clock.at), event)
    return event


def told(
    wire: Wire, answer: dict[str, Any] | None = None, *, compares: bool = False
) -> Any:
    """Return the last ETP's call, and answer it and what is asked then."""
    call = etps(wire)[-1]
    wire.answer(call, {"status": "Accepted"} if answer is None else answer)
    for other in wire.calls()[-1:]:
        if other[2] == "GetCompositeSchedule" and not compares:
            wire.answer(other, {"status": "Rejected"})
    return call


def etps(wire: Wire) -> list[Any]:
    return [
        call
        for call in wire.calls("SetChargingProfile")
        if purpose(call) == "TxProfile"
    ]


def purpose(call: Any) -> str:
    return str(profile_of(call)["chargingProfilePurpose"])


def profile_of(call: Any) -> Any:
    payload = call[3]
    return payload.get("csChargingProfiles") or payload["chargingProfile"]


def schedule_of(call: Any) -> Any:
    schedule = profile_of(call)["chargingSchedule"]
    return schedule if isinstance(schedule, dict) else schedule[0]


def limits(call: Any) -> list[tuple[int, float]]:
    periods = schedule_of(call)["chargingSchedulePeriod"]
    return [(p["startPeriod"], p["limit"]) for p in periods]


def deliveries(office: Office) -> list[Event]:
    return office.events(EtpAccepted, EtpRefused, t.EtpSuperseded)
