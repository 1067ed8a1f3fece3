"""Bad messages to ``voltledger serve``: nobody falls, and who behaves is served.

After each attack a well-behaved station boots, charges by its ETP and stops on the
same server, each answered within a second. In the end the store is intact, and the
server's log has no mistake of ours. More of it with VOLTLEDGER_FULL=1.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.ocpp.attacked import (
    BOOT,
    BOOT_2,
    FULL,
    TOKEN,
    VERSIONS,
    Policy,
    Site,
    Station,
    accepts,
    now,
    transaction,
)

FORM = {"1.6": "FormationViolation", "2.0.1": "FormatViolation"}
FORM["2.1"] = FORM["2.0.1"]
RPC = {"1.6": "FormationViolation", "2.0.1": "RpcFrameworkError"}
RPC["2.1"] = RPC["2.0.1"]
TYPE, PROPERTY = "TypeConstraintViolation", "PropertyConstraintViolation"


def frames(version: str) -> dict[str, tuple[str, str] | None]:
    """Return frames that are none, and what answers each; None: nothing does."""
    form, rpc, is_old = FORM[version], RPC[version], version == "1.6"
    unknown_type = None if is_old else ("t", "MessageTypeNotSupported")
    heartbeat = '"Heartbeat",{}]'
    return {
        '[2,"j","Heartbeat",{': ("j", form),
        "hello": ("-1", rpc),
        "null": ("-1", rpc),
        "[" * 50_000: ("-1", form),
        '[2,"d","DataTransfer",{"vendorId":"x","data":' + "[" * 20_000: ("d", form),
        '[2,"b","DataTransfer",{"vendorId":"' + "x" * 100_000 + '"}]': ("b", form),
        f"[{'9' * 5_000},{heartbeat}": ("-1", rpc),
        f'[2,"{"i" * 37}",{heartbeat}': ("-1", rpc),
        f'[2,"\\ud800",{heartbeat}': ("-1", rpc),
        f"[2,5,{heartbeat}": ("-1", rpc),
        '[2,"e","Heartbeat",{},1]': ("e", rpc),
        '[2,"u","Nope",{}]': ("u", "NotImplemented"),
        '[2,"p","Heartbeat",[]]': ("p", form),
        '[2,"o","ClearCache",{}]': ("o", "NotSupported"),
        '[7,"t",{}]': unknown_type,
        '[5,"t","A","b",{}]': None if version == "2.1" else unknown_type,
        '[6,"t","NotifyPeriodicEventStream",{}]': (
            None if version == "2.1" else unknown_type
        ),
        '[3,"nobody",{}]': None,
        '[4,"nobody","X","",{}]': None,
        '[3,"short"]': None,
        '[4,"odd",5,null,{}]': None,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_frames_that_are_none_are_answered_by_their_protocols_code(
    site: Site, version: str
) -> None:
    async def attack() -> None:
        async with Station.of(site, f"bad-{version}", version) as station:
            await station.ask("BootNotification", BOOT if version == "1.6" else BOOT_2)
            for frame, answer in frames(version).items():
                await station.socket.send(frame)
                if answer is None:
                    assert (await station.ask("Heartbeat", {}))[0] == 3, frame[:60]
                    assert not station.answers, frame[:60]
                else:
                    message_id, code = answer
                    said = await station.answer(message_id)
                    assert said[:3] == [4, message_id, code], frame[:60]

    asyncio.run(attack())
    site.check()


EPOCH, LAST, FIRST = (
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
)
STRANGE = (EPOCH, LAST, FIRST)
NOT_INSTANTS = ("2026-11-20T10:00:00", "", "now", "2026-13-45T99:99:99Z", 5, None)
HUGE = 10**30


def starts_1_6() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield what is changed of a start, and the code that refuses it, if one does."""
    for connector in (0, -1, 3, 99, 2**31, 2**63 - 1):
        yield {"connectorId": connector}, ""
    for meter in (-1, -(2**63), 2**31, 2**63 - 1):
        yield {"meterStart": meter}, ""
    for tag in ("", "\0", "ü€😀", "'; drop table t;--", "../../etc"):
        yield {"idTag": tag}, ""
    for at in STRANGE:
        yield {"timestamp": at}, ""
    for wrong_at in NOT_INSTANTS:
        yield {"timestamp": wrong_at}, TYPE
    for wrong in (1.5, "5", None):
        yield {"meterStart": wrong}, TYPE
    yield {"connectorId": HUGE}, PROPERTY
    yield {"idTag": "x" * 21}, PROPERTY


def events_2() -> Iterator[tuple[dict[str, Any], str]]:
    """Yield what is changed of an event, and the code that refuses it, if one does."""
    for number in (0, 3, 99, 2**31, 2**63 - 1):
        yield {"evse": {"id": number}}, ""
        yield {"evse": {"id": 1, "connectorId": number}}, ""
        yield {"seqNo": number}, ""
    for name in ("", "\0", "ü€😀", "../../etc/passwd", " "):
        yield {"transactionInfo": {"transactionId": name}}, ""
    for at in STRANGE:
        yield {"timestamp": at}, ""
        yield {"eventType": "Ended", "timestamp": at}, ""
        yield {"meterValue": values(1_000, at=at)}, ""
    for wrong_at in NOT_INSTANTS:
        yield {"timestamp": wrong_at}, TYPE
    for value in (-1, -1e300, 1.7e308, 1e19, HUGE):
        for what in ("Energy.Active.Import.Register", "Power.Active.Import", "SoC"):
            yield {"meterValue": values(value, measurand=what)}, ""
    for scale in (-400, 400, 2**31):
        unit = {"unit": "Wh", "multiplier": scale}
        yield {"meterValue": values(5, unitOfMeasure=unit)}, ""
    for wrong in ("5", None, True):
        yield {"meterValue": values(wrong)}, TYPE
    yield {"seqNo": HUGE}, PROPERTY
    yield {"transactionInfo": {"transactionId": "x" * 37}}, PROPERTY


def values(value: Any, at: str = "", **more: Any) -> list[dict[str, Any]]:
    sampled = [{"value": value, **more}]
    return [{"timestamp": at or now(), "sampledValue": sampled}]


@pytest.mark.parametrize("version", VERSIONS)
def test_values_that_make_no_sense_are_taken_or_refused_by_name(
    site: Site, version: str
) -> None:
    async def attack() -> None:
        async with Station.of(site, f"bad-{version}", version) as station:
            await station.ask("BootNotification", BOOT if version == "1.6" else BOOT_2)
            is_old = version == "1.6"
            for n, (changes, code) in enumerate(starts_1_6() if is_old else events_2()):
                start = {
                    "connectorId": 1,
                    "idTag": TOKEN,
                    "meterStart": n,
                    "timestamp": now(),
                }
                if is_old:
                    said = await station.ask("StartTransaction", {**start, **changes})
                else:
                    told = transaction(f"bad-{n}", **changes)
                    said = await station.ask("TransactionEvent", told)
                assert said[0] == (4 if code else 3), (changes, said)
                assert said[0] == 3 or said[2] == code, (changes, said)

    asyncio.run(attack())
    site.check()


def test_numbers_may_jump_and_messages_come_in_any_order_and_again(site: Site) -> None:
    async def attack() -> None:
        async with Station.of(site, "bad-2.1", "2.1") as station:
            await station.ask("BootNotification", BOOT_2)
            for seq_no in (0, 2**31 - 1, 5, 2**31 - 1, 2**62):
                kind = "Updated" if seq_no else "Started"
                told = transaction("jumps", eventType=kind, seqNo=seq_no)
                assert (await station.ask("TransactionEvent", told))[0] == 3
            for seq_no in (3, 2, 3, 1, 0, 2):
                kind = {0: "Started", 3: "Ended"}.get(seq_no, "Updated")
                told = transaction("upside-down", eventType=kind, seqNo=seq_no)
                assert (await station.ask("TransactionEvent", told))[0] == 3

    asyncio.run(attack())
    site.check()


def wrong_id(call: Any) -> list[Any]:
    return [[3, call[1] + "x", {"status": "Accepted"}], *accepts(call)]


def twice(call: Any) -> list[Any]:
    return accepts(call) * 2


def broken(call: Any) -> list[Any]:
    return [[3, call[1], {"status": 5, "nope": []}]]


def errors(call: Any) -> list[Any]:
    return [[4, call[1], "InternalError", "x" * 3_000, {"a": [1] * 100}]]


def nulls(call: Any) -> list[Any]:
    return [[3, call[1], None]]


def junk_first(call: Any) -> list[Any]:
    return ["junk", call, *accepts(call)]


def contradicts(call: Any) -> list[Any]:
    return [[3, call[1], {}], [4, call[1], "GenericError", "", {}], *accepts(call)]


def nothing_but_profiles(call: Any) -> list[Any]:
    return accepts(call) if call[2] == "SetChargingProfile" else []


ANSWERS = (wrong_id, twice, broken, errors, nulls, junk_first, contradicts)


@pytest.mark.parametrize("version", VERSIONS)
def test_who_answers_wrongly_still_gets_its_etp(site: Site, version: str) -> None:
    """Also the one that answers nothing else, once the first call has waited."""
    policies = (*ANSWERS, nothing_but_profiles) if FULL else ANSWERS

    async def attack(policy: Policy) -> None:
        async with Station.of(site, f"bad-{version}", version, policy) as station:
            if version == "1.6":
                await station.ask("BootNotification", BOOT)
                start = {
                    "connectorId": 2,
                    "idTag": TOKEN,
                    "meterStart": 0,
                    "timestamp": now(),
                }
                answer = await station.ask("StartTransaction", start)
                name = answer[2]["transactionId"]
            else:
                await station.ask("BootNotification", BOOT_2)
                name = f"{policy.__name__}-{version}"
                told = transaction(name, evse={"id": 2, "connectorId": 1})
                await station.ask("TransactionEvent", told)

            patience_s = 30 if policy is nothing_but_profiles else 8
            await station.until(lambda: station.is_told_etp, patience_s)
            end = {"transactionId": name, "meterStop": 0, "timestamp": now()}
            if version == "1.6":
                await station.ask("StopTransaction", end)
            else:
                told = transaction(
                    name, eventType="Ended", seqNo=1, triggerReason="EVDeparted"
                )
                await station.ask("TransactionEvent", told)

    for policy in policies:
        asyncio.run(attack(policy))
    site.check()
