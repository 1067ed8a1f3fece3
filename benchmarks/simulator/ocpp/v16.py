"""A virtual station that speaks OCPP 1.6."""

from collections.abc import Callable
from functools import partial

from benchmarks.simulator.ocpp import answering
from benchmarks.simulator.ocpp.evse import Transaction, VirtualEvse
from benchmarks.simulator.ocpp.profiles import Json
from benchmarks.simulator.ocpp.speech import Afterwards, Message, NoSuchAction
from benchmarks.simulator.ocpp.station import Station
from domain.model.values import SECOND

VERSION = "1.6"
_REASONS = {
    "EVDisconnected": "EVDisconnected",
    "Remote": "Remote",
    "DeAuthorized": "DeAuthorized",
    "ImmediateReset": "HardReset",
}
_READ_ONLY = {
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "MaxChargingProfilesInstalled",
    "NumberOfConnectors",
    "SupportedFeatureProfiles",
    "ConnectorSwitch3to1PhaseSupported",
}
_MEASURANDS = {
    "Energy.Active.Import.Register": "Wh",
    "Energy.Active.Export.Register": "Wh",
    "Power.Active.Import": "W",
    "Voltage": "V",
    "Current.Import": "A",
}


class Station16(Station):
    """OCPP 1.6J."""

    def prepare(self) -> None:
        """Have the configuration that it leaves the factory with."""
        self.configuration = {
            "ChargeProfileMaxStackLevel": str(self.profiles.max_level),
            "ChargingScheduleAllowedChargingRateUnit": ",".join(
                {"A": "Current", "W": "Power"}[unit] for unit in self.profiles.unit
            ),
            "ChargingScheduleMaxPeriods": str(self.profiles.max_periods),
            "MaxChargingProfilesInstalled": "20",
            "NumberOfConnectors": str(len(self.evses)),
            "SupportedFeatureProfiles": "Core,SmartCharging,RemoteTrigger",
            "ConnectorSwitch3to1PhaseSupported": "false",
            "HeartbeatInterval": "300",
            "MeterValueSampleInterval": str(self.reading_every // SECOND),
            "MeterValuesSampledData": "Energy.Active.Import.Register",
            "StopTxnSampledData": "",
            "MeterValuesAlignedData": "Energy.Active.Import.Register",
            "ClockAlignedDataInterval": "0",
            "AuthorizeRemoteTxRequests": "false",
            "StopTransactionOnEVSideDisconnect": "true",
            "WebSocketPingInterval": "60",
            "TransactionMessageAttempts": "5",
        }

    def boot_request(self, reason: str) -> Json:
        """Return a BootNotification."""
        return {
            "chargePointVendor": "Virtual",
            "chargePointModel": "One six",
            "chargePointSerialNumber": self.identity[:25],
            "firmwareVersion": "1.0",
        }

    def first_id(self, count: int) -> None:
        """Return no id: the CSMS gives it."""

    def complete(self, message: Message) -> None:
        """Fill in the id of the transaction, -1 where the CSMS has not told it yet."""
        if message.of is not None and message.action != "StartTransaction":
            known = message.of.id
            message.payload["transactionId"] = -1 if known is None else known

    def plugged(self, evse: VirtualEvse, token: str) -> None:
        """Tell of the car; offline, whoever shows a token may charge."""
        self.tell_status(evse)
        car = evse.car
        if not self.is_accepted:
            self._start(evse, token)
            return

        def answered(answer: Json) -> None:
            is_accepted = answer["idTagInfo"]["status"] == "Accepted"
            if is_accepted and evse.car is car and evse.transaction is None:
                self._start(evse, token)

        self.tell("Authorize", {"idTag": token}, answered)

    def _start(self, evse: VirtualEvse, token: str) -> None:
        transaction = self.new_transaction(evse, token)
        payload = {
            "connectorId": evse.number,
            "idTag": token,
            "meterStart": evse.told_register_wh,
            "timestamp": self.timestamp(),
        }
        started = partial(self._started, evse, transaction)
        self.tell("StartTransaction", payload, started, of=transaction)
        self.authorized(evse, transaction)

    def _started(
        self, evse: VirtualEvse, transaction: Transaction, answer: Json
    ) -> None:
        transaction.id = answer["transactionId"]
        status = answer["idTagInfo"]["status"]
        if status not in ("Accepted", "ConcurrentTx") and evse.transaction is (
            transaction
        ):
            self.end(evse, "DeAuthorized")

    def tell_status(self, evse: VirtualEvse) -> None:
        """Tell the state of a connector."""
        payload = {
            "connectorId": evse.number,
            "errorCode": "NoError",
            "status": self._status(evse),
            "timestamp": self.timestamp(),
        }
        self.tell("StatusNotification", payload)

    def _status(self, evse: VirtualEvse) -> str:
        transaction = evse.transaction
        if not evse.is_operative:
            return "Unavailable"
        if evse.car is None:
            return "Available"
        if transaction is None:
            return "Preparing"
        if transaction.ended:
            return "Finishing"
        return "SuspendedEVSE" if evse.state == "EVConnected" else evse.state

    def tell_state(self, evse: VirtualEvse, transaction: Transaction) -> None:
        """Tell it by the connector's status."""
        self.tell_status(evse)

    def tell_reading(
        self, evse: VirtualEvse, transaction: Transaction, context: str
    ) -> None:
        """Tell what the meter shows."""
        payload = {
            "connectorId": evse.number,
            "meterValue": [self._meter(evse, context)],
        }
        self.tell("MeterValues", payload, of=transaction)

    def _meter(self, evse: VirtualEvse, context: str) -> Json:
        values = {
            "Energy.Active.Import.Register": evse.told_register_wh,
            "Energy.Active.Export.Register": 0,
            "Power.Active.Import": evse.told_power_w,
            "Voltage": round(evse.wiring.voltage_v, 1),
            "Current.Import": round(
                evse.told_power_w / evse.wiring.voltage_v / evse.wiring.phases, 1
            ),
        }
        is_aligned = context == "Sample.Clock"
        key = "MeterValuesAlignedData" if is_aligned else "MeterValuesSampledData"
        asked = self.configuration[key].split(",")
        return {
            "timestamp": self.timestamp(),
            "sampledValue": [
                {
                    "value": str(values[name]),
                    "context": context,
                    "measurand": name,
                    "location": "Outlet",
                    "unit": _MEASURANDS[name],
                }
                for name in asked
                if name in values
            ],
        }

    def tell_ended(
        self, evse: VirtualEvse, transaction: Transaction, reason: str
    ) -> None:
        """Tell the end, with the register."""
        payload = {
            "idTag": transaction.token,
            "meterStop": evse.told_register_wh,
            "timestamp": self.timestamp(),
            "reason": _REASONS.get(reason, "Other"),
        }
        self.tell("StopTransaction", payload, of=transaction)

    # -- answers

    def answered(self, action: str, payload: Json, afterwards: Afterwards) -> Json:
        """Return the answer to a call."""
        answer = _ANSWERS.get(action)
        if answer is None:
            raise NoSuchAction
        return answer(self, payload, afterwards)

    def _evse(self, payload: Json) -> VirtualEvse | None:
        return answering.evse_of(self, payload.get("connectorId", 0))


def _get_configuration(
    station: Station16, payload: Json, afterwards: Afterwards
) -> Json:
    known = station.configuration
    asked = payload.get("key", list(known))
    return {
        "configurationKey": [
            {"key": key, "readonly": key in _READ_ONLY, "value": known[key]}
            for key in asked
            if key in known
        ],
        "unknownKey": [key for key in asked if key not in known],
    }


def _change_configuration(
    station: Station16, payload: Json, afterwards: Afterwards
) -> Json:
    key, value = payload["key"], payload["value"]
    if key not in station.configuration:
        return {"status": "NotSupported"}
    if key in _READ_ONLY:
        return {"status": "Rejected"}
    if key.endswith("Data") and any(
        name not in _MEASURANDS for name in value.split(",") if name
    ):
        return {"status": "Rejected"}
    station.configuration[key] = value
    if key == "MeterValueSampleInterval":
        station.read_every(int(value) * SECOND)
    elif key == "ClockAlignedDataInterval":
        station.read_aligned(int(value) * SECOND)
    return {"status": "Accepted"}


def _set_profile(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    number = payload["connectorId"]
    refusal = answering.store(station, number, payload["csChargingProfiles"])
    afterwards.append(partial(answering.apply, station, number))
    return {"status": "Rejected" if refusal else "Accepted"}


def _clear_profile(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    found = station.profiles.clear(
        payload.get("id"),
        payload.get("chargingProfilePurpose"),
        payload.get("connectorId"),
        payload.get("stackLevel"),
    )
    afterwards.append(partial(answering.apply, station, 0))
    return {"status": "Accepted" if found else "Unknown"}


def _composite(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    evse = station._evse(payload)
    if evse is None:
        return {"status": "Rejected"}
    unit = payload.get("chargingRateUnit", station.profiles.unit[0])
    duration = payload["duration"]
    start_at, periods = answering.composite(station, evse, duration, unit)
    start = answering.start_text(start_at)
    return {
        "status": "Accepted",
        "connectorId": evse.number,
        "scheduleStart": start,
        "chargingSchedule": {
            "duration": duration,
            "startSchedule": start,
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": periods,
        },
    }


def _trigger(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    chosen = station._evse(payload)
    evses = station.evses if chosen is None else (chosen,)
    read = {"MeterValues": partial(_read_now, station)}
    asked = payload["requestedMessage"]
    return answering.trigger(station, asked, evses, read, afterwards)


def _read_now(station: Station16, evse: VirtualEvse) -> None:
    evse.advance(station.world.now())
    if (transaction := evse.open_transaction) is not None:
        station.tell_reading(evse, transaction, "Trigger")
        return
    meter = station._meter(evse, "Trigger")
    station.tell("MeterValues", {"connectorId": evse.number, "meterValue": [meter]})


def _remote_start(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of(station, payload.get("connectorId", 1))
    if evse is None or evse.car is None or evse.transaction is not None:
        return {"status": "Rejected"}

    def start() -> None:
        station._start(evse, payload["idTag"])
        if profile := payload.get("chargingProfile"):
            answering.store(station, evse.number, profile)
            station.apply(evse)

    afterwards.append(start)
    return {"status": "Accepted"}


def _remote_stop(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    evse = answering.evse_of_transaction(station, payload["transactionId"])
    if evse is None:
        return {"status": "Rejected"}
    afterwards.append(partial(station.end, evse, "Remote"))
    return {"status": "Accepted"}


def _availability(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    chosen = station._evse(payload)
    evses = station.evses if chosen is None else (chosen,)
    for evse in evses:
        evse.is_operative = payload["type"] == "Operative"
        afterwards.append(partial(station.tell_status, evse))
    is_charging = any(evse.transaction is not None for evse in evses)
    return {"status": "Scheduled" if is_charging else "Accepted"}


def _reset(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    afterwards.append(station.restart)
    return {"status": "Accepted"}


def _unlock(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    return {"status": "NotSupported"}


def _data_transfer(station: Station16, payload: Json, afterwards: Afterwards) -> Json:
    return {"status": "UnknownVendorId"}


_ANSWERS: dict[str, Callable[[Station16, Json, Afterwards], Json]] = {
    "GetConfiguration": _get_configuration,
    "ChangeConfiguration": _change_configuration,
    "SetChargingProfile": _set_profile,
    "ClearChargingProfile": _clear_profile,
    "GetCompositeSchedule": _composite,
    "TriggerMessage": _trigger,
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "ChangeAvailability": _availability,
    "Reset": _reset,
    "UnlockConnector": _unlock,
    "DataTransfer": _data_transfer,
}
