"""What is asked of station S1, and what came of it."""

from typing import Any

import msgspec

from api.ocpp.violations import Version
from domain.model import activity_events as y
from domain.model.activity_events import ActivityKind
from domain.model.values import MINUTE
from domain.ports import CsoElsewhere, System
from domain.use_cases.clause_6_2_service_sessions import (
    credential_context,
)
from domain.use_cases.clause_7_3_activities import AskActivity, ask_activity
from domain.use_cases.s3_remote_start import (
    StartRemotely,
    start_remotely,
)
from domain.use_cases.shared_path import By
from tests.api.ocpp.office import (
    TWO,
    Office,
    Wire,
)


def connected(office: Office, version: Version) -> Wire:
    """Connect the station; it has been there for a while."""
    wire = office.connect("S1", version)
    office.pass_time(MINUTE)
    return wire


def ask(office: Office, kind: ActivityKind, **changes: Any) -> None:
    parameters = changes.pop("parameters", {})
    command = AskActivity(
        kind=kind, station_id="S1", parameters=tuple(parameters.items()), **changes
    )
    ask_activity(office.system, command, office.by())
    office.follow()


def start(office: Office, token: str = "04AABBCC", evse_id: str = TWO) -> None:
    vault = office.system.vault
    subject_id = vault.subject_of("rfid", token)
    credential = vault.seal(subject_id, credential_context(evse_id), token.encode())
    command = StartRemotely(
        evse_id=evse_id,
        subject_id=subject_id,
        token_kind="rfid",
        credential=credential,
    )
    by = By(actor="operator", at=office.clock.at)
    start_remotely(accepting(office), command, by)
    office.follow()


def accepting(office: Office) -> System:
    """Return the system of a site whose CSO has its back office elsewhere."""
    return msgspec.structs.replace(office.system, cso=CsoElsewhere())


def steps(office: Office) -> list[str]:
    told: list[str] = []
    for event in office.events(
        y.ActivityProgressed, y.ActivityEnded, y.ActivityTimedOut
    ):
        match event:
            case y.ActivityProgressed():
                told.append(event.step)
            case y.ActivityEnded():
                told.append(event.outcome)
            case y.ActivityTimedOut():
                told.append("timed out")
    return told


def ended(office: Office) -> y.ActivityEnded:
    found = office.events(y.ActivityEnded)[-1]
    assert isinstance(found, y.ActivityEnded)
    return found
