"""How long a message of a station takes from its bytes to what is worked with.

``python -m benchmarks.speed.ocpp_codec``: a TransactionEvent of OCPP 2.0.1 with two
readings, and MeterValues of 2.0.1 and 1.6 with eight. Ours is frame, payload, all rules
of the schema and the refusal of names that stand twice; *struct* is the payload alone,
by the generated structs. Theirs is what the ``ocpp`` package does with a message before
the handler of a request sees it: its JSON, its validation (in this thread, its faster
way), its names in snake case. All take turns; figures are medians of the rounds with
their quartiles, in microseconds of this thread's CPU.
"""

import argparse
import gc
import importlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec

AT: Final = "2026-11-20T16:50:28Z"
MEASURED: Final = (
    ("Energy.Active.Import.Register", "Wh", "123456.7"),
    ("Energy.Active.Export.Register", "Wh", "0.0"),
    ("Power.Active.Import", "W", "7360.5"),
    ("Current.Import", "A", "31.9"),
    ("Voltage", "V", "230.4"),
    ("Power.Offered", "W", "11000.0"),
    ("Current.Offered", "A", "32.0"),
    ("SoC", "Percent", "54.0"),
)


class Case(NamedTuple):
    """A message and the version that it is of."""

    name: str
    version: str
    frame: bytes


class Ways(NamedTuple):
    """How one message can be decoded."""

    ours: Callable[[], object]
    struct: Callable[[], object]
    theirs: Callable[[], object]


def cases() -> list[Case]:
    """Return the messages that are decoded."""
    event = {
        "eventType": "Updated",
        "timestamp": AT,
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 7,
        "transactionInfo": {"transactionId": "a1b2c3d4", "chargingState": "Charging"},
        "evse": {"id": 1, "connectorId": 1},
        "meterValue": [_reading_of_2(2)],
    }
    values = {"evseId": 1, "meterValue": [_reading_of_2(8)]}
    values_of_1_6 = {
        "connectorId": 1,
        "transactionId": 4711,
        "meterValue": [_reading_of_1_6()],
    }
    return [
        _case("TransactionEvent", "2.0.1", event),
        _case("MeterValues", "2.0.1", values),
        _case("MeterValues", "1.6", values_of_1_6),
    ]


def _case(action: str, of: str, payload: object) -> Case:
    message = [2, "5f1c9e2a-8d3b-4c6f-9a7e-1b2c3d4e5f60", action, payload]
    text = json.dumps(message, separators=(",", ":"))
    return Case(f"{action}, {of}", of, text.encode())


def _reading_of_2(n: int) -> object:
    return {
        "timestamp": AT,
        "sampledValue": [
            {
                "value": float(value),
                "context": "Sample.Periodic",
                "measurand": measurand,
                "location": "Outlet",
                "unitOfMeasure": {"unit": unit},
            }
            for measurand, unit, value in MEASURED[:n]
        ],
    }


def _reading_of_1_6() -> object:
    return {
        "timestamp": AT,
        "sampledValue": [
            {
                "value": value,
                "context": "Sample.Periodic",
                "measurand": measurand,
                "location": "Outlet",
                "unit": unit,
            }
            for measurand, unit, value in MEASURED
        ],
    }


def ways(case: Case) -> Ways:
    """Return the ways that are compared."""
    # By name: benchmarks are not bound to the API, and the package is no dependency.
    frames: Any = importlib.import_module("api.ocpp.frames")
    codec: Any = importlib.import_module("api.ocpp.codec").CODECS[case.version]
    opened: Any = importlib.import_module("api.ocpp.wire").opened
    package: Any = importlib.import_module("ocpp.messages")
    snake_case: Any = importlib.import_module("ocpp.charge_point").camel_to_snake_case
    call = frames.decode(case.frame, case.version)
    kind = codec.exchanges[call.action].request
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind, dec_hook=opened)

    def ours() -> object:
        frame = frames.decode(case.frame, case.version)
        return codec.request(frame.action, frame.payload)

    def theirs() -> object:
        message = package.unpack(case.frame)
        package._validate_payload(message, case.version)
        return snake_case(message.payload)

    return Ways(ours, lambda: decoder.decode(call.payload), theirs)


def timed_us(way: Callable[[], object], times: int) -> float:
    """Return the time of one call [µs], the mean of many."""
    began = time.thread_time_ns()
    for _ in range(times):
        way()
    return (time.thread_time_ns() - began) / times / 1e3


def measured(case: Case, rounds: int) -> tuple[list[float], ...]:
    """Return the times [µs] of each way, a round each."""
    compared = ways(case)
    times = (5_000, 10_000, 100)
    for way, n in zip(compared, times, strict=True):
        timed_us(way, n // 10)
    taken: tuple[list[float], ...] = ([], [], [])
    for _ in range(rounds):
        for way, n, kept in zip(compared, times, taken, strict=True):
            kept.append(timed_us(way, n))
    return taken


def _shown(taken: list[float]) -> str:
    low, middle, high = statistics.quantiles(taken, n=4)
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    gc.disable()
    print(
        f"Python {platform.python_version()}, msgspec {version('msgspec')}, "
        f"ocpp {version('ocpp')}; {rounds} rounds, medians (quartiles) in µs\n"
    )
    print("| message | bytes | ours | struct | ocpp package | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for case in cases():
        ours, struct, theirs = measured(case, rounds)
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(
            f"| {case.name} | {len(case.frame)} | {_shown(ours)} | {_shown(struct)} "
            f"| {_shown(theirs)} | {ratio:.0f} × |"
        )


if __name__ == "__main__":
    main()
