"""Variables of stations as the versions read and set them, by one name.

A name is a key of 1.6, or ``Component.Variable`` of 2.x, ``EVSE@2.Variable`` where the
component is of one EVSE and ``Component.Variable[x]`` for its instance x.
"""

import re
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
from domain.errors import InvalidValue

# So many variables are asked for in a message: a station says only when asked how many
# it takes, and all take some.
_A_MESSAGE: Final = 4
_NAME: Final = re.compile(
    r"(?P<component>[^.@\[\]]{1,50})(@(?P<evse>[1-9]\d{0,4}))?"
    r"\.(?P<variable>[^.\[\]]{1,50})(\[(?P<instance>[^\[\]]{1,50})\])?"
)

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
            types.GetVariableData(**named(types, name))
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
        name_of(result): result.attribute_value
        for result in results
        if result.attribute_status == ACCEPTED and result.attribute_value is not UNSET
    }


def setting(version: Version, name: str, value: str) -> Call:
    """Return the call that sets a variable."""
    if version == "1.6":
        change = m16.ChangeConfigurationRequest(key=name, value=value)
        return Call("ChangeConfiguration", change, urgency=Urgency.REPORT)
    messages, types = _modules(version)
    data = types.SetVariableData(attribute_value=value, **named(types, name))
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


def named(types: Any, name: str) -> dict[str, Any]:
    """Return component and variable of a name of 2.x; raise InvalidValue for none."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise InvalidValue(
            f"{name!r} is no variable of OCPP 2: Component.Variable, with @2 behind "
            "the component for EVSE 2 and [x] behind the variable for its instance x"
        )
    evse = types.EVSE(id=int(found["evse"])) if found["evse"] else UNSET
    instance = found["instance"] or UNSET
    return {
        "component": types.Component(name=found["component"], evse=evse),
        "variable": types.Variable(name=found["variable"], instance=instance),
    }


def name_of(result: Any) -> str:
    """Return the name of what a result of 2.x is of."""
    component, variable = result.component, result.variable
    evse = f"@{component.evse.id}" if component.evse else ""
    instance = f"[{variable.instance}]" if variable.instance else ""
    return f"{component.name}{evse}.{variable.name}{instance}"
