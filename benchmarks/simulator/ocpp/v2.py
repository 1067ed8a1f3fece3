"""A virtual station that speaks OCPP 2.0.1 or 2.1: what it says."""

from functools import partial

from benchmarks.simulator.ocpp.evse import Transaction, VirtualEvse
from benchmarks.simulator.ocpp.profiles import Json
from benchmarks.simulator.ocpp.speech import Afterwards, Message, NoSuchAction
from benchmarks.simulator.ocpp.station import Station
from benchmarks.simulator.ocpp.v2_answers import ANSWERS, ANSWERS_2_1
from benchmarks.simulator.ocpp.variables import (
    ALIGNED_EVERY,
    MEASURANDS,
    MEASURED,
    MEASURED_AT,
    READING_EVERY,
    DeviceModel,
    Key,
)
from domain.model.values import SECOND

VERSIONS = ("2.0.1", "2.1")


class Station2(Station):
    """OCPP 2.0.1 or 2.1."""

    version: str
    variables: DeviceModel

    def prepare(self, version: str) -> None:
        """Speak a version, with the variables that it leaves the factory with."""
        self.version = version
        fixed: dict[Key, str] = {
            ("SmartChargingCtrlr", "Enabled", 0): "true",
            ("SmartChargingCtrlr", "Available", 0): "true",
            ("SmartChargingCtrlr", "RateUnit", 0): ",".join(self.profiles.unit),
            ("SmartChargingCtrlr", "ProfileStackLevel", 0): str(
                self.profiles.max_level
            ),
            ("SmartChargingCtrlr", "PeriodsPerSchedule", 0): str(
                self.profiles.max_periods
            ),
            ("SmartChargingCtrlr", "Phases3to1", 0): "false",
            ("DeviceDataCtrlr", "ItemsPerMessage", 0): "50",
            ("TxCtrlr", "TxStartPoint", 0): "EVConnected",
            ("TxCtrlr", "TxStopPoint", 0): "EVConnected",
        }
        for evse in self.evses:
            fixed["EVSE", "Power", evse.number] = str(int(evse.max_w))
            fixed["EVSE", "SupplyPhases", evse.number] = str(evse.wiring.phases)
        told = "Energy.Active.Import.Register"
        settable: dict[Key, str] = {
            READING_EVERY: str(self.reading_every // SECOND),
            MEASURED: told,
            **dict.fromkeys(MEASURED_AT.values(), told),
            ("SampledDataCtrlr", "TxEndedInterval", 0): "0",
            ALIGNED_EVERY: "0",
            ("OCPPCommCtrlr", "HeartbeatInterval", 0): "300",
            ("OCPPCommCtrlr", "OfflineThreshold", 0): "60",
            ("TxCtrlr", "EVConnectionTimeOut", 0): "300",
        }
        self.variables = DeviceModel({**fixed, **settable}, frozenset(fixed))

    def boot_request(self, reason: str) -> Json:
        """Return a BootNotification."""
        station = {
            "vendorName": "Virtual",
            "model": "Two",
            "serialNumber": self.identity[:25],
            "firmwareVersion": "1.0",
        }
        return {"reason": reason, "chargingStation": station}

    def first_id(self, count: int) -> str:
        """Return the id of the station's n-th transaction."""
        return f"{self.identity}-t{count}"

    def complete(self, message: Message) -> None:
        """Say as it is what was put into the queue."""

    def plugged(self, evse: VirtualEvse, token: str) -> None:
        """Begin a transaction with the cable; offline, any token is good."""
        self.tell_status(evse)
        transaction = self.new_transaction(evse, token)
        transaction.state = "EVConnected"
        self._tell(evse, transaction, "Started", "CablePluggedIn", "Transaction.Begin")
        if not self.is_accepted:
            self._tell_authorized(evse, transaction)
            return
        answered = partial(self._answered_token, evse, transaction)
        self.tell("Authorize", {"idToken": id_token(token)}, answered)

    def _answered_token(
        self, evse: VirtualEvse, transaction: Transaction, answer: Json
    ) -> None:
        is_accepted = answer["idTokenInfo"]["status"] == "Accepted"
        if is_accepted and evse.transaction is transaction and not transaction.ended:
            self._tell_authorized(evse, transaction)

    def _tell_authorized(self, evse: VirtualEvse, transaction: Transaction) -> None:
        self.authorized(evse, transaction)
        transaction.state = evse.state
        token = id_token(transaction.token)
        self._tell(evse, transaction, "Updated", "Authorized", "", idToken=token)

    def tell_started_remotely(
        self, evse: VirtualEvse, transaction: Transaction, start_id: int
    ) -> None:
        """Tell that the power flows because the CSMS asked for it."""
        self._tell(
            evse, transaction, "Updated", "RemoteStart", "", remote_start_id=start_id
        )

    def tell_status(self, evse: VirtualEvse) -> None:
        """Tell the state of a connector."""
        status = "Available" if evse.car is None else "Occupied"
        if not evse.is_operative:
            status = "Unavailable"
        payload = {
            "timestamp": self.timestamp(),
            "connectorStatus": status,
            "evseId": evse.number,
            "connectorId": 1,
        }
        self.tell("StatusNotification", payload)

    def tell_state(self, evse: VirtualEvse, transaction: Transaction) -> None:
        """Tell it by the transaction."""
        self._tell(evse, transaction, "Updated", "ChargingStateChanged", "")

    def tell_reading(
        self, evse: VirtualEvse, transaction: Transaction, context: str
    ) -> None:
        """Tell what the meter shows."""
        trigger = {"Trigger": "Trigger", "Sample.Clock": "MeterValueClock"}.get(
            context, "MeterValuePeriodic"
        )
        self._tell(evse, transaction, "Updated", trigger, context)

    def tell_ended(
        self, evse: VirtualEvse, transaction: Transaction, reason: str
    ) -> None:
        """Tell the end, with the register."""
        trigger = {
            "EVDisconnected": "EVCommunicationLost",
            "Remote": "RemoteStop",
            "ImmediateReset": "ResetCommand",
        }.get(reason, "StopAuthorized")
        transaction.state = "Idle"
        self._tell(
            evse, transaction, "Ended", trigger, "Transaction.End", stopped=reason
        )

    def _tell(
        self,
        evse: VirtualEvse,
        transaction: Transaction,
        kind: str,
        trigger: str,
        context: str,
        *,
        stopped: str = "",
        remote_start_id: int | None = None,
        **more: Json,
    ) -> None:
        info: Json = {
            "transactionId": transaction.id,
            "chargingState": transaction.state,
        }
        if stopped:
            info["stoppedReason"] = stopped
        if remote_start_id is not None:
            info["remoteStartId"] = remote_start_id
        payload: Json = {
            "eventType": kind,
            "timestamp": self.timestamp(),
            "triggerReason": trigger,
            "seqNo": transaction.seq_no,
            "transactionInfo": info,
            "evse": {"id": evse.number, "connectorId": 1},
            **more,
        }
        transaction.seq_no += 1
        if context:
            payload["meterValue"] = [self.meter(evse, context)]
        if not self.is_online:
            payload["offline"] = True
        self.tell("TransactionEvent", payload, of=transaction)

    def meter(self, evse: VirtualEvse, context: str) -> Json:
        """Return what the meter shows, as it was asked to tell it."""
        values: dict[str, float] = {
            "Energy.Active.Import.Register": evse.told_register_wh,
            "Energy.Active.Export.Register": 0,
            "Power.Active.Import": evse.told_power_w,
            "Voltage": round(evse.wiring.voltage_v, 1),
            "Current.Import": round(
                evse.told_power_w / evse.wiring.voltage_v / evse.wiring.phases, 1
            ),
        }
        asked = self.variables.values[MEASURED_AT.get(context, MEASURED)]
        return {
            "timestamp": self.timestamp(),
            "sampledValue": [
                {
                    "value": values[name],
                    "context": context,
                    "measurand": name,
                    "location": "Outlet",
                    "unitOfMeasure": {"unit": MEASURANDS[name]},
                }
                for name in asked.split(",")
                if name in values
            ],
        }

    def answered(self, action: str, payload: Json, afterwards: Afterwards) -> Json:
        """Return the answer to a call."""
        answer = ANSWERS.get(action)
        if answer is None and self.version == "2.1":
            answer = ANSWERS_2_1.get(action)
        if answer is None:
            raise NoSuchAction
        return answer(self, payload, afterwards)


def id_token(token: str) -> Json:
    """Return a token as 2.x has it."""
    return {"idToken": token, "type": "ISO14443"}
