from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET

from api.ocpp import v16
from api.ocpp.codec import CODECS, encode
from api.ocpp.v201.messages import DataTransferRequest, TransactionEventRequest
from api.ocpp.violations import Rule, Violation
from api.ocpp.wire import OPAQUE_DEPTH, CustomData, Opaque

START_1_6 = {
    "connectorId": "1",
    "idTag": '"T"',
    "meterStart": "0",
    "timestamp": '"2026-11-20T16:50:28Z"',
}
VARIABLES = (
    b'{"getVariableData":[{"component":{"name":"C"},"variable":{"name":"V"}%s}]%s}'
)


def start(**changed: str) -> bytes:
    """Return a StartTransaction.req of 1.6 with members changed, or gone if empty."""
    members = {**START_1_6, **changed}
    return (
        "{" + ",".join(f'"{n}":{v}' for n, v in members.items() if v) + "}"
    ).encode()


@pytest.mark.parametrize(
    ("payload", "rule", "code"),
    [
        (start(connectorId=""), Rule.MISSING_MEMBER, "OccurenceConstraintViolation"),
        (start(strange="1"), Rule.UNKNOWN_MEMBER, "FormationViolation"),
        (start(customData='{"vendorId":"us"}'), Rule.UNKNOWN_MEMBER, None),
        (start(connectorId='"1"'), Rule.TYPE, "TypeConstraintViolation"),
        (start(connectorId="null"), Rule.TYPE, "TypeConstraintViolation"),
        (start(connectorId="1.5"), Rule.TYPE, "TypeConstraintViolation"),
        (start(connectorId="true"), Rule.TYPE, "TypeConstraintViolation"),
        (start(idTag='"%s"' % ("x" * 21)), Rule.LENGTH, "PropertyConstraintViolation"),
        (start(timestamp='"yesterday"'), Rule.INSTANT, "TypeConstraintViolation"),
        (start(timestamp='"2026-11-20T16:50:28"'), Rule.INSTANT, None),
        (start(timestamp='"2026-02-30T16:50:28Z"'), Rule.INSTANT, None),
        (start(timestamp="5"), Rule.TYPE, None),
        (b'{"idTag":"A","idTag":"B"}', Rule.MISSING_MEMBER, None),
        (b"[]", Rule.OBJECT, "FormationViolation"),
        (b'"x"', Rule.OBJECT, "FormationViolation"),
        (b"null", Rule.OBJECT, "FormationViolation"),
        (b'{"idTag":"A"', Rule.JSON, "FormationViolation"),
        (start(idTag='"\x01"'), Rule.JSON, "FormationViolation"),
    ],
)
def test_1_6_refuses_with_the_rule_and_its_code(
    payload: bytes, rule: Rule, code: str | None
) -> None:
    _refuses("1.6", "StartTransaction", payload, rule, code)


def test_1_6_refuses_a_name_twice_an_unknown_value_and_hundredths() -> None:
    twice = b'{"idTag":"A","idTag":"B"}'
    spaced = b'{ "idTag" : "A" , "idTag" : "B" }'
    hidden = b'{"idTag":"A\\u0022:","\\u0069dTag":"B"}'
    for payload in (twice, spaced, hidden):
        occurs = "OccurenceConstraintViolation"
        _refuses("1.6", "Authorize", payload, Rule.REPEATED_MEMBER, occurs)
    value = "PropertyConstraintViolation"
    _refuses("1.6", "Reset", b'{"type":"Mild"}', Rule.CHOICE, value)
    profile = (
        b'{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1,"stackLevel":0,'
        b'"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Absolute",'
        b'"chargingSchedule":{"chargingRateUnit":"A","chargingSchedulePeriod":'
        b'[{"startPeriod":0,"limit":%s}]}}}'
    )
    assert CODECS["1.6"].request("SetChargingProfile", profile % b"21.4")
    _refuses("1.6", "SetChargingProfile", profile % b"21.43", Rule.STEP, value)


@pytest.mark.parametrize(
    ("payload", "rule", "code"),
    [
        (b"{}", Rule.MISSING_MEMBER, "OccurrenceConstraintViolation"),
        (b'{"getVariableData":[]}', Rule.ITEMS, "OccurrenceConstraintViolation"),
        (VARIABLES % (b',"strange":1', b""), Rule.UNKNOWN_MEMBER, "FormatViolation"),
        (VARIABLES % (b"", b',"customData":{}'), Rule.MISSING_MEMBER, None),
        (VARIABLES % (b"", b',"customData":[]'), Rule.TYPE, None),
        (VARIABLES % (b"", b',"customData":{"vendorId":1}'), Rule.TYPE, None),
        (
            VARIABLES % (b"", b',"customData":{"vendorId":"%s"}' % (b"x" * 256)),
            Rule.LENGTH,
            "PropertyConstraintViolation",
        ),
        (
            VARIABLES % (b"", b',"customData":{"vendorId":"us","n":1e999}'),
            Rule.RANGE,
            "PropertyConstraintViolation",
        ),
        (
            VARIABLES % (b',"attributeType":"Real"', b""),
            Rule.CHOICE,
            "PropertyConstraintViolation",
        ),
        (b"[]", Rule.OBJECT, "FormatViolation"),
        (b"{", Rule.JSON, "FormatViolation"),
        (b'{"customData":{"vendorId":"\xff"}}', Rule.JSON, "FormatViolation"),
    ],
)
@pytest.mark.parametrize("version", ["2.0.1", "2.1"])
def test_2_x_refuses_with_the_rule_and_its_code(
    version: Any, payload: bytes, rule: Rule, code: str | None
) -> None:
    _refuses(version, "GetVariables", payload, rule, code)


def test_2_1_refuses_a_number_out_of_range() -> None:
    payload = b'{"requestId":1,"idToken":{"idToken":"T","type":"Local"},"eventType":'
    payload += b'"BatteryIn","batteryData":[{"evseId":%s,"serialNumber":"S","soC":%s,'
    payload += b'"soH":99}]}'
    assert CODECS["2.1"].request("BatterySwap", payload % (b"1", b"100"))
    code = "PropertyConstraintViolation"
    for wrong in (payload % (b"1", b"100.5"), payload % (b"-1", b"50")):
        _refuses("2.1", "BatterySwap", wrong, Rule.RANGE, code)


@pytest.mark.parametrize("version", CODECS)
def test_an_unknown_action_is_not_implemented(version: Any) -> None:
    _refuses(version, "Fly", b"{}", Rule.ACTION, "NotImplemented")
    _refuses(version, "A" * 5_000, b"{}", Rule.ACTION, "NotImplemented")


def test_a_value_that_is_no_choice_is_not_repeated() -> None:
    payload = b'{"idToken":{"idToken":"T","type":"04A2B3"}}'
    with pytest.raises(Violation) as refused:
        CODECS["2.0.1"].request("Authorize", payload)
    assert refused.value.rule is Rule.CHOICE
    assert str(refused.value) == "Invalid enum value - at `$.idToken.type`"


def test_nothing_answers_a_send() -> None:
    with pytest.raises(Violation, match="Nothing answers"):
        CODECS["2.1"].response("NotifyPeriodicEventStream", b"{}")


def test_what_the_schemas_leave_open_is_followed_to_a_depth() -> None:
    deepest = b"[" * OPAQUE_DEPTH + b"]" * OPAQUE_DEPTH
    codec = CODECS["2.1"]
    message = codec.request("DataTransfer", b'{"vendorId":"us","data":%s}' % deepest)
    assert b'"data":' + deepest in encode(message)
    for levels in (OPAQUE_DEPTH + 1, 900, 30_000):
        data = b"[" * levels + b"]" * levels
        wrong = b'{"vendorId":"us","data":%s}' % data
        _refuses("2.1", "DataTransfer", wrong, Rule.DEPTH, "FormatViolation")
        wrong = b'{"customData":{"vendorId":"us","data":%s}}' % data
        _refuses("2.1", "Heartbeat", wrong, Rule.DEPTH, "FormatViolation")


def test_null_is_data_and_missing_data_is_none_at_all() -> None:
    codec = CODECS["2.0.1"]
    null = codec.request("DataTransfer", b'{"vendorId":"us","data":null}')
    none = codec.request("DataTransfer", b'{"vendorId":"us"}')
    assert isinstance(null, DataTransferRequest)
    assert isinstance(none, DataTransferRequest)
    assert null.data == Opaque(None)
    assert none.data is UNSET
    assert encode(null) == b'{"vendorId":"us","data":null}'
    assert encode(none) == b'{"vendorId":"us"}'


def test_a_vendors_members_are_kept() -> None:
    payload = b'{"customData":{"vendorId":"us","mandatory":[1.0,"\xc3\xa4",null]}}'
    message = CODECS["2.1"].request("Heartbeat", payload)
    assert encode(message) == payload
    custom: Any = message
    assert custom.custom_data.vendor_id == "us"
    assert custom.custom_data == CustomData(
        {"vendorId": "us", "mandatory": [1.0, "ä", None]}
    )
    assert hash(message) == hash(CODECS["2.1"].request("Heartbeat", payload))


def test_a_transaction_event_is_read_as_it_is_meant() -> None:
    event = CODECS["2.0.1"].request(
        "TransactionEvent",
        b'{"eventType":"Started","timestamp":"2026-11-20T17:50:28.250+01:00",'
        b'"triggerReason":"CablePluggedIn","seqNo":0,"offline":true,'
        b'"transactionInfo":{"transactionId":"t"},"evse":{"id":2}}',
    )
    assert isinstance(event, TransactionEventRequest)
    assert event.timestamp == datetime(2026, 11, 20, 16, 50, 28, 250_000, UTC)
    assert (event.seq_no, event.offline) == (0, True)
    assert event.evse is not UNSET
    assert (event.evse.id, event.evse.connector_id) == (2, UNSET)
    assert event.meter_value is UNSET


def test_a_struct_of_our_own_is_not_written_with_hundredths() -> None:
    with pytest.raises(ValueError, match=r"multiple of 0\.1"):
        v16.datatypes.ChargingSchedulePeriod(start_period=0, limit=6.66)


def _refuses(
    version: Any, action: str, payload: bytes, rule: Rule, code: str | None
) -> None:
    with pytest.raises(Violation) as caught:
        CODECS[version].request(action, payload)
    assert caught.value.rule is rule, caught.value
    if code is not None:
        assert caught.value.code(version) == code
