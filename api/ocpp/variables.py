"""Variables of stations as the versions read and set them, by one name.

A name is a key of 1.6, or ``Component.Variable`` of 2.x, ``EVSE@2.Variable`` where the
component is of one EVSE.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from msgspec import UNSET

from api.ocpp.calls import Answered, Call, Urgency
from api.ocpp.v16 import messages as m16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as m201
from api.ocpp.violations import Version

# So many variables are asked for in a message: a station says only when asked how many
# it takes, and all take some.
_A_MESSAGE: Final = 4

ACCEPTED: Final = "Accepted"
REBOOT_REQUIRED: Final = "RebootRequired"

_V2: Final[Mapping[str, tuple[ModuleType, ModuleType]]] = {
    "2.0.1": (m201, d201),
    "2.1": (m21, d21),
}


def reads(version: Version, names: Sequence[str]) -> Iterator[Call]:
    """Yield the calls that ask for some variables; 1.6 answers for all at once."""
    if version == "1.6":
        keys = m16.GetConfigurationRequest(key=tuple(names))
        yield Call("GetConfiguration", keys, urgency=Urgency.REPORT)
        return
    messages, types = _modules(version)
    for i in range(0, len(names), _A_MESSAGE):
        data = tuple(
            types.GetVariableData(**_named(types, name))
            for name in names[i : i + _A_MESSAGE]
        )
        request = messages.GetVariablesRequest(get_variable_data=data)
        yield Call("GetVariables", request, urgency=Urgency.REPORT)


def values_of(answered: Answered) -> dict[str, str]:
    """Return the values that an answer to one of `reads` has, by name."""
    if isinstance(answered, m16.GetConfigurationResponse):
        keys = answered.configuration_key or ()
        return {key.key: key.value for key in keys if key.value is not UNSET}
    results: Sequence[Any] = getattr(answered, "get_variable_result", ())
    return {
        _name_of(result): result.attribute_value
        for result in results
        if result.attribute_status == ACCEPTED and result.attribute_value is not UNSET
    }


def setting(version: Version, name: str, value: str) -> Call:
    """Return the call that sets a variable."""
    if version == "1.6":
        change = m16.ChangeConfigurationRequest(key=name, value=value)
        return Call("ChangeConfiguration", change, urgency=Urgency.REPORT)
    messages, types = _modules(version)
    data = types.SetVariableData(attribute_value=value, **_named(types, name))
    request = messages.SetVariablesRequest(set_variable_data=(data,))
    return Call("SetVariables", request, urgency=Urgency.REPORT)


def status_of(answered: Answered) -> str:
    """Return what came of a `setting`; empty where it was not understood."""
    if isinstance(answered, m16.ChangeConfigurationResponse):
        return answered.status
    results: Sequence[Any] = getattr(answered, "set_variable_result", ())
    return str(results[0].attribute_status) if results else ""


def _modules(version: Version) -> tuple[Any, Any]:
    return _V2[version]


def _named(types: Any, name: str) -> dict[str, Any]:
    component, _, variable = name.partition(".")
    component, _, number = component.partition("@")
    evse = types.EVSE(id=int(number)) if number else UNSET
    return {
        "component": types.Component(name=component, evse=evse),
        "variable": types.Variable(name=variable),
    }


def _name_of(result: Any) -> str:
    evse = result.component.evse
    number = f"@{evse.id}" if evse else ""
    return f"{result.component.name}{number}.{result.variable.name}"
