"""Activities as calls to a station, and what its answers come to; by version.

Pure: an activity and what is known of the station in, a call out. What no message of a
version carries is refused with the reason, before anything is sent.
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, get_args

from msgspec import UNSET

from api.ocpp import token_calls, upkeep_calls
from api.ocpp.asking import (
    LONGEST,
    Asking,
    Verdict,
    id_token_of,
    reason_of,
)
from api.ocpp.charging_profiles import Request as ProfileRequest
from api.ocpp.v2 import V2_TYPES
from api.ocpp.v16 import datatypes as d16
from api.ocpp.v16 import messages as m16
from api.ocpp.variables import name_of, named
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from domain.errors import InvalidValue
from domain.model.activity_events import ActivityKind, Outcome
from domain.model.values import datetime_of
from domain.use_cases.clause_7_3_activities import (
    ACCEPTED,
    EVSE_NUMBER,
    SCHEDULED,
    is_secret,
)
from domain.use_cases.s3_remote_start import NUMBER, TOKEN_KIND

# One message of ours a display: the next one takes its place.
_DISPLAY_MESSAGE: Final = 1
DISPLAY_MESSAGES: Final = 2
# Of all variables of a station as many are kept, and no secret one.
_MOST_KEYS: Final = 200
NOT_KEPT: Final = "(not kept)"


def call_of(asking: Asking) -> tuple[str, Wire]:
    """Return action and request.

    Raises
    ------
    InvalidValue
        for what the station's version does not carry.
    """
    build = _CALLS.get(asking.activity.kind)
    if build is None:
        raise InvalidValue(f"no message carries {asking.activity.kind!r}")
    return build(asking)


def verdict_of(asking: Asking, answer: Any) -> Verdict:
    """Return what the station's answer comes to."""
    kind = asking.activity.kind
    if (judge := _JUDGES.get(kind)) is not None:
        return judge(asking, answer)
    found = _VERDICTS[kind].get(answer.status, Outcome.REFUSED)
    if found == ACCEPTED and getattr(answer, "transaction_id", None):
        return Verdict(Outcome.DONE, detail="its transaction had begun")
    if kind == ActivityKind.RESET and asking.evse_number and found == ACCEPTED:
        found = Outcome.DONE  # only a station that boots says so
    if isinstance(found, Outcome):
        return Verdict(found, detail=reason_of(answer))
    return Verdict(None, found, reason_of(answer))


# By status; any other is a refusal.
_VERDICTS: Final[Mapping[str, Mapping[str, Outcome | str]]] = {
    ActivityKind.REMOTE_START: {"Accepted": ACCEPTED},
    ActivityKind.REMOTE_STOP: {"Accepted": ACCEPTED},
    ActivityKind.RESET: {"Accepted": ACCEPTED, "Scheduled": SCHEDULED},
    ActivityKind.UNLOCK: {"Unlocked": Outcome.DONE, "UnlockFailed": Outcome.FAILED},
    ActivityKind.TRIGGER: {"Accepted": Outcome.DONE},
    ActivityKind.DISPLAY_MESSAGE: {"Accepted": Outcome.DONE},
    **token_calls.VERDICTS,
    **upkeep_calls.VERDICTS,
}


def _remote_start(asking: Asking) -> tuple[str, Wire]:
    profile = asking.profile
    if asking.version == "1.6":
        return "RemoteStartTransaction", m16.RemoteStartTransactionRequest(
            id_tag=id_token_of("1.6", "", asking.token),
            connector_id=asking.evse_number,
            charging_profile=UNSET if profile is None else _profile_1_6(profile),
        )
    messages, _ = V2_TYPES[asking.version]
    kind, group = asking.parameters.get(TOKEN_KIND, ""), UNSET
    if asking.group_id:
        group = id_token_of(asking.version, "", asking.group_id)
    return "RequestStartTransaction", messages.RequestStartTransactionRequest(
        id_token=id_token_of(asking.version, kind, asking.token),
        remote_start_id=int(asking.parameters[NUMBER]),
        evse_id=asking.evse_number,
        group_id_token=group,
        charging_profile=getattr(profile, "charging_profile", UNSET),
    )


def _profile_1_6(profile: ProfileRequest) -> d16.ChargingProfile:
    assert isinstance(profile, m16.SetChargingProfileRequest)
    of_set = profile.cs_charging_profiles
    return d16.ChargingProfile(
        charging_profile_id=of_set.charging_profile_id,
        stack_level=of_set.stack_level,
        charging_profile_purpose=of_set.charging_profile_purpose,
        charging_profile_kind=of_set.charging_profile_kind,
        charging_schedule=of_set.charging_schedule,
    )


def _remote_stop(asking: Asking) -> tuple[str, Wire]:
    transaction_id = asking.transaction_id
    if transaction_id is None:
        raise InvalidValue("the station has no transaction at the EVSE to stop")
    if asking.version == "1.6":
        return "RemoteStopTransaction", m16.RemoteStopTransactionRequest(
            transaction_id=int(transaction_id)
        )
    messages, _ = V2_TYPES[asking.version]
    return "RequestStopTransaction", messages.RequestStopTransactionRequest(
        transaction_id=str(transaction_id)
    )


def _reset(asking: Asking) -> tuple[str, Wire]:
    how = asking.parameters.get("how", "forced")
    if asking.version == "1.6":
        if asking.evse_number:
            raise InvalidValue("OCPP 1.6 resets whole stations only")
        return "Reset", m16.ResetRequest(type="Hard" if how == "forced" else "Soft")
    messages, _ = V2_TYPES[asking.version]
    return "Reset", messages.ResetRequest(
        type="OnIdle" if how == "on-idle" else "Immediate",
        evse_id=asking.evse_number or UNSET,
    )


def _unlock(asking: Asking) -> tuple[str, Wire]:
    number = int(asking.parameters.get(EVSE_NUMBER, asking.evse_number))
    if asking.version == "1.6":
        return "UnlockConnector", m16.UnlockConnectorRequest(connector_id=number)
    messages, _ = V2_TYPES[asking.version]
    return "UnlockConnector", messages.UnlockConnectorRequest(
        evse_id=number, connector_id=1
    )


def _trigger(asking: Asking) -> tuple[str, Wire]:
    message = asking.parameters["message"]
    messages: ModuleType
    if asking.version == "1.6":
        messages, known = m16, get_args(d16.TriggerMessageRequestedMessage)
    else:
        messages, datatypes = V2_TYPES[asking.version]
        known = get_args(datatypes.MessageTriggerEnum)
    if message not in known:
        raise InvalidValue(
            f"OCPP {asking.version} has no {message!r} to trigger, but "
            f"{', '.join(sorted(known))}"
        )
    place: dict[str, Any] = {}
    if asking.evse_number and asking.version == "1.6":
        place = {"connector_id": asking.evse_number}
    elif asking.evse_number:
        place = {"evse": datatypes.EVSE(id=asking.evse_number)}
    request = messages.TriggerMessageRequest(requested_message=message, **place)
    return "TriggerMessage", request


def _get_variables(asking: Asking) -> tuple[str, Wire]:
    names = list(asking.parameters)
    if asking.version == "1.6":
        request = m16.GetConfigurationRequest(key=tuple(names))
        return "GetConfiguration", request
    if not names:
        raise InvalidValue("only OCPP 1.6 tells all variables at once: name some")
    messages, datatypes = V2_TYPES[asking.version]
    return "GetVariables", messages.GetVariablesRequest(
        get_variable_data=tuple(
            datatypes.GetVariableData(**named(datatypes, name)) for name in names
        )
    )


def _set_variables(asking: Asking) -> tuple[str, Wire]:
    if asking.version == "1.6":
        if len(asking.parameters) != 1:
            raise InvalidValue("OCPP 1.6 changes one key at a time")
        ((key, value),) = asking.parameters.items()
        return "ChangeConfiguration", m16.ChangeConfigurationRequest(
            key=key, value=value
        )
    messages, datatypes = V2_TYPES[asking.version]
    return "SetVariables", messages.SetVariablesRequest(
        set_variable_data=tuple(
            datatypes.SetVariableData(attribute_value=value, **named(datatypes, name))
            for name, value in asking.parameters.items()
        )
    )


def _results(asking: Asking, answer: Any) -> Verdict:
    match answer:
        case m16.GetConfigurationResponse():
            known = {
                each.key: NOT_KEPT if is_secret(each.key) else each.value or ""
                for each in answer.configuration_key or ()
            }
            # Of what the station tells beyond nothing is kept.
            asked = list(asking.parameters) or list(known)[:_MOST_KEYS]
            found = [(key, known.get(key, "unknown")) for key in asked]
            is_known = all(key in known for key in asked)
            outcome = Outcome.DONE if is_known else Outcome.REFUSED
            return Verdict(outcome, results=tuple(found))
        case m16.ChangeConfigurationResponse():
            return _all_of([answer.status], ())
    if asking.activity.kind == ActivityKind.GET_VARIABLES:
        told = answer.get_variable_result
        found = [(name_of(each), _value(each)) for each in told]
    else:
        told = answer.set_variable_result
        found = [(name_of(each), each.attribute_status) for each in told]
    return _all_of([each.attribute_status for each in told], tuple(found))


def _value(result: Any) -> str:
    if result.attribute_status != "Accepted":
        return str(result.attribute_status)
    return str(result.attribute_value or "")[:LONGEST]


def _all_of(statuses: list[str], results: tuple[tuple[str, str], ...]) -> Verdict:
    others = sorted(set(statuses) - {"Accepted"})
    is_done = set(others) <= {"RebootRequired"}
    outcome = Outcome.DONE if is_done else Outcome.REFUSED
    return Verdict(outcome, detail=", ".join(others), results=results)


def _display_message(asking: Asking) -> tuple[str, Wire]:
    if asking.version == "1.6":
        raise InvalidValue("OCPP 1.6 has no message for a station's display")
    until = asking.parameters.get("until_at")
    return "SetDisplayMessage", display_message(
        asking.version,
        asking.evse_number * DISPLAY_MESSAGES + _DISPLAY_MESSAGE,
        asking.evse_number,
        asking.parameters["text"],
        end_date_time=UNSET if until is None else datetime_of(int(until)),
    )


def display_message(
    version: Version, message_id: int, evse_number: int, text: str, **times: Any
) -> Wire:
    """Return the SetDisplayMessage of 2.x; of EVSE 0 it is the station's display."""
    messages, datatypes = V2_TYPES[version]
    at_evse = datatypes.Component(name="EVSE", evse=datatypes.EVSE(id=evse_number))
    request: Wire = messages.SetDisplayMessageRequest(
        message=datatypes.MessageInfo(
            id=message_id,
            priority="NormalCycle",
            message=datatypes.MessageContent(format="UTF8", content=text),
            display=at_evse if evse_number else UNSET,
            **times,
        )
    )
    return request


_CALLS: Final[Mapping[str, Callable[[Asking], tuple[str, Wire]]]] = {
    ActivityKind.REMOTE_START: _remote_start,
    ActivityKind.REMOTE_STOP: _remote_stop,
    ActivityKind.RESET: _reset,
    ActivityKind.UNLOCK: _unlock,
    ActivityKind.TRIGGER: _trigger,
    ActivityKind.GET_VARIABLES: _get_variables,
    ActivityKind.SET_VARIABLES: _set_variables,
    ActivityKind.DISPLAY_MESSAGE: _display_message,
    **token_calls.CALLS,
    **upkeep_calls.CALLS,
}

# Where more than a status tells what came of it.
_JUDGES: Final[Mapping[str, Callable[[Asking, Any], Verdict]]] = {
    ActivityKind.GET_VARIABLES: _results,
    ActivityKind.SET_VARIABLES: _results,
    **token_calls.JUDGES,
    **upkeep_calls.JUDGES,
}
