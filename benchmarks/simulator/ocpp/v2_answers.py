"""A virtual station that speaks OCPP 2.0.1 or 2.1: what it answers."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.simulator.ocpp import answering
from benchmarks.simulator.ocpp.evse import VirtualEvse
from benchmarks.simulator.ocpp.profiles import MAXIMUM, Json, Profile
from benchmarks.simulator.ocpp.speech import Afterwards
from benchmarks.simulator.ocpp.variables import ALIGNED_EVERY, READING_EVERY
from domain.model.values import SECOND

if TYPE_CHECKING:
    from benchmarks.simulator.ocpp.v2 import Station2

_REPORTED_AT_ONCE = 20


def _evses(station: "Station2", payload: Json) -> tuple[VirtualEvse, ...]:
    """Return the EVSE that is meant, all where none is named."""
    number = payload.get("evse", {}).get("id", 0)
    evse = answering.evse_of(station, number)
    return station.evses if evse is None else (evse,)


def _refused(code: str) -> Json:
    return {"status": "Rejected", "statusInfo": {"reasonCode": code[:20]}}


def _get_variables(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    asked = payload["getVariableData"]
    return {"getVariableResult": [station.variables.get(one) for one in asked]}


def _set_variables(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    values = station.variables.values
    before = values[READING_EVERY], values[ALIGNED_EVERY]
    results = [station.variables.set(one) for one in payload["setVariableData"]]
    every, aligned = values[READING_EVERY], values[ALIGNED_EVERY]
    if every != before[0]:
        station.read_every(int(every) * SECOND)
    if aligned != before[1]:
        station.read_aligned(int(aligned) * SECOND)
    return {"setVariableResult": results}


def _base_report(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    data = station.variables.report()
    parts = range(0, len(data), _REPORTED_AT_ONCE)
    for seq_no, first in enumerate(parts):
        report = {
            "requestId": payload["requestId"],
            "generatedAt": station.timestamp(),
            "seqNo": seq_no,
            "tbc": seq_no < len(parts) - 1,
            "reportData": data[first : first + _REPORTED_AT_ONCE],
        }
        afterwards.append(partial(station.tell, "NotifyReport", report))
    return {"status": "Accepted"}


def _set_profile(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    number = payload["evseId"]
    refusal = answering.store(station, number, payload["chargingProfile"])
    afterwards.append(partial(answering.apply, station, number))
    return _refused(refusal) if refusal else {"status": "Accepted"}


def _clear_profile(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    criteria = payload.get("chargingProfileCriteria", {})
    found = station.profiles.clear(
        payload.get("chargingProfileId"),
        criteria.get("chargingProfilePurpose"),
        criteria.get("evseId"),
        criteria.get("stackLevel"),
    )
    afterwards.append(partial(answering.apply, station, 0))
    return {"status": "Accepted" if found else "Unknown"}


def _get_profiles(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    wanted = payload["chargingProfile"]
    found = [
        p
        for p in station.profiles.profiles
        if payload.get("evseId") in (None, p.evse) and _is_wanted(p, wanted)
    ]
    for i, profile in enumerate(found):
        report = {
            "requestId": payload["requestId"],
            "chargingLimitSource": "CSO",
            "evseId": profile.evse,
            "tbc": i < len(found) - 1,
            "chargingProfile": [profile.raw],
        }
        afterwards.append(partial(station.tell, "ReportChargingProfiles", report))
    return {"status": "Accepted" if found else "NoProfiles"}


def _is_wanted(profile: Profile, wanted: Json) -> bool:
    purpose = wanted.get("chargingProfilePurpose")
    if purpose is not None and purpose.endswith(("MaxProfile", "Constraints")):
        purpose = MAXIMUM
    return (
        purpose in (None, profile.purpose)
        and wanted.get("stackLevel") in (None, profile.level)
        and profile.id in wanted.get("chargingProfileId", (profile.id,))
    )


def _composite(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of(station, payload["evseId"])
    if evse is None:
        return _refused("UnknownEvse")
    unit = payload.get("chargingRateUnit", station.profiles.unit[0])
    duration = payload["duration"]
    start_at, periods = answering.composite(station, evse, duration, unit)
    schedule = {
        "evseId": evse.number,
        "duration": duration,
        "scheduleStart": answering.start_text(start_at),
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": periods,
    }
    return {"status": "Accepted", "schedule": schedule}


def _trigger(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    read = {
        "MeterValues": partial(_tell_meter, station),
        "TransactionEvent": partial(_tell_reading, station),
    }
    asked, evses = payload["requestedMessage"], _evses(station, payload)
    return answering.trigger(station, asked, evses, read, afterwards)


def _tell_meter(station: "Station2", evse: VirtualEvse) -> None:
    evse.advance(station.world.now())
    meter = station.meter(evse, "Trigger")
    station.tell("MeterValues", {"evseId": evse.number, "meterValue": [meter]})


def _tell_reading(station: "Station2", evse: VirtualEvse) -> None:
    evse.advance(station.world.now())
    if (transaction := evse.open_transaction) is not None:
        station.tell_reading(evse, transaction, "Trigger")


def _request_start(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of(station, payload.get("evseId", 1))
    transaction = None if evse is None else evse.transaction
    if evse is None or transaction is None or transaction.is_authorized:
        return _refused("NoEv")
    profile = payload.get("chargingProfile")
    if profile and (refusal := answering.store(station, evse.number, profile)):
        return _refused(refusal)

    def start() -> None:
        station.authorized(evse, transaction)
        station.tell_started_remotely(evse, transaction, payload["remoteStartId"])

    afterwards.append(start)
    return {"status": "Accepted", "transactionId": transaction.id}


def _request_stop(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of_transaction(station, payload["transactionId"])
    if evse is None:
        return _refused("TxNotFound")
    afterwards.append(partial(station.end, evse, "Remote"))
    return {"status": "Accepted"}


def _availability(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    evses = _evses(station, payload)
    for evse in evses:
        evse.is_operative = payload["operationalStatus"] == "Operative"
        afterwards.append(partial(station.tell_status, evse))
    is_charging = any(evse.transaction is not None for evse in evses)
    return {"status": "Scheduled" if is_charging else "Accepted"}


def _reset(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of(station, payload.get("evseId", 0))
    if evse is not None:
        afterwards.append(partial(station.end, evse, "ImmediateReset"))
    else:
        afterwards.append(station.restart)
    return {"status": "Accepted"}


def _transaction_status(
    station: "Station2", payload: Json, afterwards: Afterwards
) -> Json:
    answer: Json = {"messagesInQueue": station.has_more_to_say}
    if transaction_id := payload.get("transactionId"):
        evse = answering.evse_of_transaction(station, transaction_id)
        answer["ongoingIndicator"] = evse is not None
    return answer


def _accepted(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    return {"status": "Accepted"}


def _data_transfer(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    return {"status": "UnknownVendorId"}


def _unlock(station: "Station2", payload: Json, afterwards: Afterwards) -> Json:
    return {"status": "OngoingAuthorizedTransaction"}


Answer = Callable[["Station2", Json, Afterwards], Json]
ANSWERS: dict[str, Answer] = {
    "GetVariables": _get_variables,
    "SetVariables": _set_variables,
    "GetBaseReport": _base_report,
    "SetChargingProfile": _set_profile,
    "ClearChargingProfile": _clear_profile,
    "GetChargingProfiles": _get_profiles,
    "GetCompositeSchedule": _composite,
    "TriggerMessage": _trigger,
    "RequestStartTransaction": _request_start,
    "RequestStopTransaction": _request_stop,
    "ChangeAvailability": _availability,
    "Reset": _reset,
    "GetTransactionStatus": _transaction_status,
    "SetDisplayMessage": _accepted,
    "ClearDisplayMessage": _accepted,
    "UnlockConnector": _unlock,
    "DataTransfer": _data_transfer,
}
ANSWERS_2_1: dict[str, Answer] = {
    "NotifyAllowedEnergyTransfer": _accepted,
    "UsePriorityCharging": _accepted,
}
