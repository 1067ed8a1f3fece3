"""M5 and operators' commands: variables, messages that are triggered, displays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.ocpp.violations import Version
from domain.model.activity_events import ActivityKind
from domain.model.values import MINUTE
from tests.api.ocpp.activities import ask, connected, ended
from tests.api.ocpp.office import (
    NOW,
    TWO,
    VERSIONS,
    Office,
    open_with_station,
)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with open_with_station(tmp_path, is_asked=False) as office:
        yield office


@pytest.mark.parametrize("version", VERSIONS)
def test_variables_are_read(office: Office, version: Version) -> None:
    wire = connected(office, version)
    name = "HeartbeatInterval" if version == "1.6" else "AlignedDataCtrlr@2.Interval[x]"
    ask(office, ActivityKind.GET_VARIABLES, parameters={name: ""})
    call = wire.calls()[-1]
    variable = {
        "component": {"name": "AlignedDataCtrlr", "evse": {"id": 2}},
        "variable": {"name": "Interval", "instance": "x"},
    }
    if version == "1.6":
        assert call[2:] == ["GetConfiguration", {"key": [name]}]
        known = {"key": name, "readonly": False, "value": "300"}
        beyond = {"key": "AuthorizationKey", "readonly": False, "value": "secret"}
        wire.answer(call, {"configurationKey": [known, beyond]})
    else:
        assert call[2:] == ["GetVariables", {"getVariableData": [variable]}]
        found = {"attributeStatus": "Accepted", "attributeValue": "300", **variable}
        wire.answer(call, {"getVariableResult": [found]})
    assert ended(office).results == ((name, "300"),)
    assert ended(office).outcome == "done"


def test_all_variables_are_read_of_1_6_and_no_secret_is_kept(office: Office) -> None:
    wire = connected(office, "1.6")
    ask(office, ActivityKind.GET_VARIABLES)
    (call,) = wire.calls("GetConfiguration")
    assert call[3] == {"key": []}
    told = [("HeartbeatInterval", "300"), ("AuthorizationKey", "secret")]
    keys = [{"key": key, "readonly": False, "value": value} for key, value in told]
    wire.answer(call, {"configurationKey": keys})
    shown = (("HeartbeatInterval", "300"), ("AuthorizationKey", "(not kept)"))
    assert ended(office).results == shown
    connected(office, "2.1")
    ask(office, ActivityKind.GET_VARIABLES)
    assert ended(office).outcome == "refused"


@pytest.mark.parametrize("version", VERSIONS)
def test_variables_are_set(office: Office, version: Version) -> None:
    wire = connected(office, version)
    name = (
        "HeartbeatInterval" if version == "1.6" else "OCPPCommCtrlr.HeartbeatInterval"
    )
    ask(office, ActivityKind.SET_VARIABLES, parameters={name: "60"})
    call = wire.calls()[-1]
    if version == "1.6":
        assert call[2:] == ["ChangeConfiguration", {"key": name, "value": "60"}]
        wire.answer(call, {"status": "RebootRequired"})
        assert ended(office).outcome == "done"
        assert ended(office).detail == "RebootRequired"
        return
    (data,) = call[3]["setVariableData"]
    assert data.pop("attributeValue") == "60"
    told = {"attributeStatus": "Rejected", **data}
    wire.answer(call, {"setVariableResult": [told]})
    assert ended(office).outcome == "refused"
    assert ended(office).results == ((name, "Rejected"),)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_is_triggered_for_one_evse(office: Office, version: Version) -> None:
    wire = connected(office, version)
    message = {"message": "StatusNotification"}
    ask(office, ActivityKind.TRIGGER, evse_id=TWO, parameters=message)
    (call,) = wire.calls("TriggerMessage")
    place = {"connectorId": 2} if version == "1.6" else {"evse": {"id": 2}}
    assert call[3] == {"requestedMessage": "StatusNotification", **place}
    wire.answer(call, {"status": "NotImplemented"})
    assert ended(office).outcome == "refused"
    ask(office, ActivityKind.TRIGGER, parameters={"message": "Nonsense"})
    assert ended(office).detail.startswith(f"OCPP {version} has no 'Nonsense'")


def test_a_message_is_shown_where_the_version_can(office: Office) -> None:
    wire = connected(office, "2.1")
    until = str(NOW + MINUTE)
    parameters = {"text": "Closed at ten", "until_at": until}
    ask(office, ActivityKind.DISPLAY_MESSAGE, parameters=parameters)
    (call,) = wire.calls("SetDisplayMessage")
    assert call[3]["message"]["message"]["content"] == "Closed at ten"
    wire.answer(call, {"status": "Accepted"})
    assert ended(office).outcome == "done"
    connected(office, "1.6")
    ask(office, ActivityKind.DISPLAY_MESSAGE, parameters=parameters)
    assert ended(office).outcome == "refused"
