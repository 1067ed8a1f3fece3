"""What operators ask of a station for its upkeep, as calls: firmware, logs, profiles.

Instants among an activity's parameters are texts of microseconds.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import UNSET

from api.ocpp.asking import LONGEST, Asking, Verdict, reason_of
from api.ocpp.availability import availability_request
from api.ocpp.v2 import V2_TYPES
from api.ocpp.v16 import datatypes as d16
from api.ocpp.v16 import messages as m16
from api.ocpp.variables import named, status_of
from api.ocpp.wire import Opaque, Wire
from domain.errors import InvalidValue
from domain.model.activity_events import ActivityKind, Outcome
from domain.model.values import datetime_of, instant_of, iso_of
from domain.use_cases.clause_7_3_activities import (
    ACCEPTED,
    SCHEDULED,
    request_number,
)
from domain.use_cases.clause_7_3_availability import OPERATIVE, YES

SECURITY_LOG: Final = "security"
_PASSWORD: Final = "SecurityCtrlr.BasicAuthPassword"
_PASSWORD_1_6: Final = "AuthorizationKey"
_MAXIMUM_1_6: Final = "ChargePointMaxProfile"
# As many periods of a schedule are kept.
_MOST_PERIODS: Final = 100


def _clear_cache(asking: Asking) -> tuple[str, Wire]:
    messages = m16 if asking.version == "1.6" else V2_TYPES[asking.version][0]
    return "ClearCache", messages.ClearCacheRequest()


def _update_firmware(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    signed: dict[str, Any] = {
        name: told[name]
        for name in ("signing_certificate", "signature")
        if name in told
    }
    retrieve_at = datetime_of(int(told["retrieve_at"]))
    tries: dict[str, Any] = {
        name: int(told[name]) for name in ("retries", "retry_interval") if name in told
    }
    if asking.version == "1.6" and not signed:
        if "install_at" in told:
            raise InvalidValue("OCPP 1.6 installs unsigned firmware once it has it")
        return "UpdateFirmware", m16.UpdateFirmwareRequest(
            location=told["location"], retrieve_date=retrieve_at, **tries
        )
    install = (
        {"install_date_time": datetime_of(int(told["install_at"]))}
        if "install_at" in told
        else {}
    )
    firmware: dict[str, Any] = {
        "location": told["location"],
        "retrieve_date_time": retrieve_at,
        **install,
        **signed,
    }
    number = request_number(asking.activity.activity_id)
    if asking.version == "1.6":
        return "SignedUpdateFirmware", m16.SignedUpdateFirmwareRequest(
            request_id=number, firmware=d16.Firmware(**firmware), **tries
        )
    messages, types = V2_TYPES[asking.version]
    return "UpdateFirmware", messages.UpdateFirmwareRequest(
        request_id=number, firmware=types.Firmware(**firmware), **tries
    )


def _firmware_asked(asking: Asking, answer: Any) -> Verdict:
    if isinstance(answer, m16.UpdateFirmwareResponse):
        return Verdict(None, ACCEPTED)  # 1.6 only says that it heard
    return _begun(answer)


def _begun(answer: Any, *, name: str = "") -> Verdict:
    """Return what an answer comes to after which the station tells of its progress."""
    if answer.status in ("Accepted", "AcceptedCanceled"):
        return Verdict(None, ACCEPTED, name or reason_of(answer))
    return Verdict(Outcome.REFUSED, detail=reason_of(answer))


def _get_log(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    is_security = told["log"] == SECURITY_LOG
    tries: dict[str, Any] = {
        name: int(told[name]) for name in ("retries", "retry_interval") if name in told
    }
    from_at, until_at = (
        datetime_of(int(told[name])) if name in told else UNSET
        for name in ("from_at", "until_at")
    )
    if asking.version == "1.6" and not is_security:
        return "GetDiagnostics", m16.GetDiagnosticsRequest(
            location=told["location"],
            start_time=from_at,
            stop_time=until_at,
            **tries,
        )
    messages: Any = m16
    types: Any = d16
    if asking.version != "1.6":
        messages, types = V2_TYPES[asking.version]
    return "GetLog", messages.GetLogRequest(
        log=types.LogParameters(
            remote_location=told["location"],
            oldest_timestamp=from_at,
            latest_timestamp=until_at,
        ),
        log_type="SecurityLog" if is_security else "DiagnosticsLog",
        request_id=request_number(asking.activity.activity_id),
        **tries,
    )


def _log_asked(asking: Asking, answer: Any) -> Verdict:
    if not isinstance(answer, m16.GetDiagnosticsResponse):
        return _begun(answer, name=(answer.filename or "")[:LONGEST])
    if not answer.file_name:
        return Verdict(Outcome.REFUSED, detail="the station has nothing to upload")
    return Verdict(None, ACCEPTED, answer.file_name[:LONGEST])


def _data_transfer(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    data: Any = told.get("data", UNSET)
    messages: Any = m16
    if asking.version != "1.6":
        messages, _ = V2_TYPES[asking.version]
        data = UNSET if data is UNSET else Opaque(data)
    return "DataTransfer", messages.DataTransferRequest(
        vendor_id=told["vendor_id"],
        message_id=told.get("message_id", UNSET),
        data=data,
    )


def _data_transferred(asking: Asking, answer: Any) -> Verdict:
    outcome = Outcome.DONE if answer.status == "Accepted" else Outcome.REFUSED
    data = getattr(answer.data, "value", answer.data)
    found = () if data is UNSET else (("data", str(data)[:LONGEST]),)
    return Verdict(outcome, detail=reason_of(answer), results=found)


def _network_profile(asking: Asking) -> tuple[str, Wire]:
    if asking.version == "1.6":
        raise InvalidValue("OCPP 1.6 has no message for network profiles")
    told = asking.parameters
    messages, types = V2_TYPES[asking.version]
    profile = types.NetworkConnectionProfile(
        # 2.0.1 calls itself and every other 2.0 the same.
        ocpp_version="OCPP20" if asking.version == "2.0.1" else told["ocpp_version"],
        ocpp_transport="JSON",
        ocpp_csms_url=told["url"],
        message_timeout=int(told["message_timeout_s"]),
        security_profile=int(told["security_profile"]),
        ocpp_interface=told["interface"],
    )
    return "SetNetworkProfile", messages.SetNetworkProfileRequest(
        configuration_slot=int(told["slot"]), connection_data=profile
    )


def _composite_schedule(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    duration = int(told["duration_s"])
    unit: Any = told.get("unit", UNSET)
    action = "GetCompositeSchedule"
    if asking.version == "1.6":
        return action, m16.GetCompositeScheduleRequest(
            connector_id=asking.evse_number, duration=duration, charging_rate_unit=unit
        )
    messages, _ = V2_TYPES[asking.version]
    return action, messages.GetCompositeScheduleRequest(
        evse_id=asking.evse_number, duration=duration, charging_rate_unit=unit
    )


def _scheduled(asking: Asking, answer: Any) -> Verdict:
    if answer.status != "Accepted":
        return Verdict(Outcome.REFUSED, detail=reason_of(answer))
    if isinstance(answer, m16.GetCompositeScheduleResponse):
        schedule: Any = answer.charging_schedule
        start = answer.schedule_start
    else:
        schedule = answer.schedule
        start = schedule.schedule_start if schedule else UNSET
    if not schedule:
        return Verdict(Outcome.DONE, detail="it has no schedule")
    found = [] if start is UNSET else [("from_at", iso_of(instant_of(start)))]
    unit = schedule.charging_rate_unit
    for period in schedule.charging_schedule_period[:_MOST_PERIODS]:
        found.append((f"{period.start_period} s", f"{period.limit:g} {unit}"))
    return Verdict(Outcome.DONE, results=tuple(found))


def _clear_profile(asking: Asking) -> tuple[str, Wire]:
    told = asking.parameters
    messages: Any = m16
    is_by_id = "profile_id" in told
    if asking.version == "1.6":
        purpose = told.get("purpose", UNSET)
        if purpose == "ChargingStationMaxProfile":
            purpose = _MAXIMUM_1_6
        criteria: dict[str, Any] = {
            "connector_id": asking.evse_number if asking.activity.evse_id else UNSET,
            "charging_profile_purpose": purpose,
            "stack_level": int(told["level"]) if "level" in told else UNSET,
        }
        if is_by_id:
            criteria = {"id": int(told["profile_id"])}
        return "ClearChargingProfile", m16.ClearChargingProfileRequest(**criteria)
    messages, types = V2_TYPES[asking.version]
    if is_by_id:
        criteria = {"charging_profile_id": int(told["profile_id"])}
    else:
        criteria = {
            "charging_profile_criteria": types.ClearChargingProfile(
                evse_id=asking.evse_number if asking.activity.evse_id else UNSET,
                charging_profile_purpose=told["purpose"],
                stack_level=int(told["level"]) if "level" in told else UNSET,
            )
        }
    return "ClearChargingProfile", messages.ClearChargingProfileRequest(**criteria)


def _change_password(asking: Asking) -> tuple[str, Wire]:
    if asking.version == "1.6":
        return "ChangeConfiguration", m16.ChangeConfigurationRequest(
            key=_PASSWORD_1_6, value=asking.token
        )
    messages, types = V2_TYPES[asking.version]
    data = types.SetVariableData(
        attribute_value=asking.token, **named(types, _PASSWORD)
    )
    return "SetVariables", messages.SetVariablesRequest(set_variable_data=(data,))


def _password_changed(asking: Asking, answer: Any) -> Verdict:
    status = status_of(answer)
    is_taken = status in ("Accepted", "RebootRequired")
    return Verdict(Outcome.DONE if is_taken else Outcome.REFUSED, detail=status)


def _change_availability(asking: Asking) -> tuple[str, Wire]:
    is_operative = asking.parameters[OPERATIVE] == YES
    request = availability_request(asking.version, asking.evse_number, is_operative)
    return "ChangeAvailability", request


CALLS: Final[Mapping[str, Callable[[Asking], tuple[str, Wire]]]] = {
    ActivityKind.CLEAR_CACHE: _clear_cache,
    ActivityKind.UPDATE_FIRMWARE: _update_firmware,
    ActivityKind.GET_LOG: _get_log,
    ActivityKind.DATA_TRANSFER: _data_transfer,
    ActivityKind.NETWORK_PROFILE: _network_profile,
    ActivityKind.COMPOSITE_SCHEDULE: _composite_schedule,
    ActivityKind.CLEAR_PROFILE: _clear_profile,
    ActivityKind.CHANGE_PASSWORD: _change_password,
    ActivityKind.CHANGE_AVAILABILITY: _change_availability,
}

VERDICTS: Final[Mapping[str, Mapping[str, Outcome | str]]] = {
    ActivityKind.CLEAR_CACHE: {"Accepted": Outcome.DONE},
    ActivityKind.NETWORK_PROFILE: {
        "Accepted": Outcome.DONE,
        "Failed": Outcome.FAILED,
    },
    ActivityKind.CLEAR_PROFILE: {"Accepted": Outcome.DONE},
    ActivityKind.CHANGE_AVAILABILITY: {
        "Accepted": Outcome.DONE,
        "Scheduled": SCHEDULED,
    },
}

JUDGES: Final[Mapping[str, Callable[[Asking, Any], Verdict]]] = {
    ActivityKind.UPDATE_FIRMWARE: _firmware_asked,
    ActivityKind.GET_LOG: _log_asked,
    ActivityKind.DATA_TRANSFER: _data_transferred,
    ActivityKind.COMPOSITE_SCHEDULE: _scheduled,
    ActivityKind.CHANGE_PASSWORD: _password_changed,
}
