"""The device model of a virtual 2.x station: what it has, and what may be set."""

from dataclasses import dataclass, field

from benchmarks.simulator.ocpp.profiles import Json

Key = tuple[str, str, int]
MEASURANDS = {
    "Energy.Active.Import.Register": "Wh",
    "Energy.Active.Export.Register": "Wh",
    "Power.Active.Import": "W",
    "Voltage": "V",
    "Current.Import": "A",
    "SoC": "Percent",
}
READING_EVERY: Key = ("SampledDataCtrlr", "TxUpdatedInterval", 0)
ALIGNED_EVERY: Key = ("AlignedDataCtrlr", "Interval", 0)
# By the context of a reading; else as for periodic ones.
MEASURED_AT: dict[str, Key] = {
    "Transaction.Begin": ("SampledDataCtrlr", "TxStartedMeasurands", 0),
    "Transaction.End": ("SampledDataCtrlr", "TxEndedMeasurands", 0),
    "Sample.Clock": ("AlignedDataCtrlr", "Measurands", 0),
}
MEASURED: Key = ("SampledDataCtrlr", "TxUpdatedMeasurands", 0)


@dataclass(slots=True)
class DeviceModel:
    """Values by (component, variable, EVSE; 0: the station's)."""

    values: dict[Key, str]
    fixed: frozenset[Key] = field(default_factory=frozenset)

    def get(self, asked: Json) -> Json:
        """Return the result for one variable of GetVariables."""
        key = _key(asked)
        result = _named(asked)
        if key in self.values:
            return {
                **result,
                "attributeStatus": "Accepted",
                "attributeValue": self.values[key],
            }
        return {**result, "attributeStatus": self._unknown(key)}

    def set(self, asked: Json) -> Json:
        """Set one variable of SetVariables; return its result."""
        key, value = _key(asked), asked["attributeValue"]
        result = _named(asked)
        if key not in self.values:
            return {**result, "attributeStatus": self._unknown(key)}
        is_measured = key[1].endswith("Measurands")
        if key in self.fixed or (is_measured and not _all_known(value)):
            return {**result, "attributeStatus": "Rejected"}
        self.values[key] = value
        return {**result, "attributeStatus": "Accepted"}

    def report(self) -> list[Json]:
        """Return the report data of all variables."""
        return [
            {
                "component": _component(name, evse),
                "variable": {"name": variable},
                "variableAttribute": [
                    {
                        "type": "Actual",
                        "value": value,
                        "mutability": "ReadOnly"
                        if (name, variable, evse) in self.fixed
                        else "ReadWrite",
                    }
                ],
                "variableCharacteristics": {
                    "dataType": _data_type(value),
                    "supportsMonitoring": False,
                },
            }
            for (name, variable, evse), value in self.values.items()
        ]

    def _unknown(self, key: Key) -> str:
        is_known = any(name == key[0] for name, _, _ in self.values)
        return "UnknownVariable" if is_known else "UnknownComponent"


def _key(asked: Json) -> Key:
    component = asked["component"]
    evse = component.get("evse", {}).get("id", 0)
    return component["name"], asked["variable"]["name"], evse


def _named(asked: Json) -> Json:
    return {"component": asked["component"], "variable": asked["variable"]}


def _component(name: str, evse: int) -> Json:
    return {"name": name, "evse": {"id": evse}} if evse else {"name": name}


def _data_type(value: str) -> str:
    if value in ("true", "false"):
        return "boolean"
    if value.lstrip("-").isdigit():
        return "integer"
    return "MemberList" if "," in value else "string"


def _all_known(value: str) -> bool:
    return all(name in MEASURANDS for name in value.split(",") if name)
