from datetime import UTC, datetime
from typing import get_args

import pytest

from api.ocpp import frames
from api.ocpp.codec import CODECS
from api.ocpp.frames import Call, CallError, CallResult, CallResultError, Send
from api.ocpp.v21.datatypes import StreamDataElement
from api.ocpp.v21.messages import NotifyPeriodicEventStreamRequest
from api.ocpp.v201.messages import HeartbeatRequest, ResetRequest
from api.ocpp.violations import CODES, UNREAD_ID, Rule, Version, Violation

VERSIONS: tuple[Version, ...] = get_args(Version)


def refused(frame: bytes, version: Version = "2.0.1") -> Violation:
    with pytest.raises(Violation) as caught:
        frames.decode(frame, version)
    return caught.value


@pytest.mark.parametrize("version", VERSIONS)
def test_calls_and_their_answers_are_read(version: Version) -> None:
    call = frames.decode(b'[2,"a-1","Heartbeat",{ "x": 1 }]', version)
    assert isinstance(call, Call)
    assert (call.message_id, call.action) == ("a-1", "Heartbeat")
    assert bytes(call.payload) == b'{ "x": 1 }'
    result = frames.decode(b' [ 3 , "a-1" , {} ] ', version)
    assert isinstance(result, CallResult)
    assert bytes(result.payload) == b"{}"
    error = frames.decode(b'[4,"a-1","GenericError","why",{"a":1}]', version)
    assert isinstance(error, CallError)
    assert (error.code, error.description) == ("GenericError", "why")
    assert bytes(error.details) == b'{"a":1}'


def test_only_2_1_has_sends_and_errors_of_results() -> None:
    send = b'[6,"a-1","NotifyPeriodicEventStream",{}]'
    result_error = b'[5,"a-1","TypeConstraintViolation","why",{}]'
    assert isinstance(frames.decode(send, "2.1"), Send)
    assert isinstance(frames.decode(result_error, "2.1"), CallResultError)
    for frame in (send, result_error):
        assert refused(frame, "2.0.1").code("2.0.1") == "MessageTypeNotSupported"
        assert refused(frame, "1.6").code("1.6") is None


def test_frames_are_written_without_spaces() -> None:
    reset = ResetRequest(type="Immediate", evse_id=1)
    assert (
        frames.encode_call("a-1", "Reset", reset)
        == b'[2,"a-1","Reset",{"type":"Immediate","evseId":1}]'
    )
    assert frames.encode_result("a-1", HeartbeatRequest()) == b'[3,"a-1",{}]'
    assert (
        frames.encode_error("a-1", "GenericError", "why")
        == b'[4,"a-1","GenericError","why",{}]'
    )
    assert (
        frames.encode_result_error("a-1", "FormatViolation")
        == b'[5,"a-1","FormatViolation","",{}]'
    )


def test_a_message_that_nothing_answers_is_read() -> None:
    request = NotifyPeriodicEventStreamRequest(
        id=1,
        pending=0,
        basetime=datetime(2026, 11, 20, tzinfo=UTC),
        data=(StreamDataElement(t=0.5, v="50.01"),),
    )
    payload = (
        b'{"id":1,"pending":0,"basetime":"2026-11-20T00:00:00Z",'
        b'"data":[{"t":0.5,"v":"50.01"}]}'
    )
    frame = b'[6,"a-1","NotifyPeriodicEventStream",%s]' % payload
    send = frames.decode(frame, "2.1")
    assert isinstance(send, Send)
    assert CODECS["2.1"].request(send.action, send.payload) == request


@pytest.mark.parametrize(
    ("frame", "rule", "message_id"),
    [
        (b"", Rule.FRAME, UNREAD_ID),
        (b"hello", Rule.FRAME, UNREAD_ID),
        (b"{}", Rule.FRAME, UNREAD_ID),
        (b"[]", Rule.FRAME, UNREAD_ID),
        (b'["2","a","Reset",{}]', Rule.FRAME, UNREAD_ID),
        (b'[2.0,"a","Reset",{}]', Rule.FRAME, UNREAD_ID),
        (b'[2,"a","Reset"]', Rule.FRAME, "a"),
        (b'[2,"a","Reset",{},1]', Rule.FRAME, "a"),
        (b'[2,"a",5,{}]', Rule.FRAME, "a"),
        (b'[2,"a","Reset",{}] x', Rule.JSON, "a"),
        (b'[2,"a","Reset",{"x":}]', Rule.JSON, "a"),
        (b'[2,"a","Reset",{"x":NaN}]', Rule.JSON, "a"),
        (b'[2,"a","Reset",{"x":1', Rule.JSON, "a"),
        (b'[2,"a","\xff",{}]', Rule.JSON, "a"),
        (b'[2,"\xff","Reset",{}]', Rule.JSON, UNREAD_ID),
        (b'[2,5,"Reset",{}]', Rule.MESSAGE_ID, UNREAD_ID),
        (b'[2,null,"Reset",{}]', Rule.MESSAGE_ID, UNREAD_ID),
        (b'[2,"%s","Reset",{}]' % (b"i" * 37), Rule.MESSAGE_ID, UNREAD_ID),
        (b'[9,"a","Reset",{}]', Rule.MESSAGE_TYPE, "a"),
        (b'[-1,"a","Reset",{}]', Rule.MESSAGE_TYPE, UNREAD_ID),
        (b'[2,"a","Reset",%s]' % (b"[" * 30_000 + b"]" * 30_000), Rule.DEPTH, "a"),
        (b'[2,"a","Reset",%s]' % (b"[" * 60_000), Rule.DEPTH, "a"),
        (b'[2,"a","Reset",{"x":"%s"}]' % (b"x" * 65_536), Rule.SIZE, "a"),
        (b"[" * 10_000_000, Rule.SIZE, UNREAD_ID),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_frame_that_is_none_is_refused_with_its_rule(
    frame: bytes, rule: Rule, message_id: str, version: Version
) -> None:
    violation = refused(frame, version)
    assert (violation.rule, violation.message_id) == (rule, message_id)
    assert len(violation.description) <= 255


def test_an_id_of_36_characters_is_read() -> None:
    frame = '[2,"{}","Reset",{{}}]'.format("ä" * 36).encode()
    assert frames.decode(frame, "1.6").message_id == "ä" * 36


def test_the_largest_frame_can_be_set() -> None:
    frame = b'[2,"a","Reset",{}]'
    assert frames.decode(frame, "1.6", len(frame))
    with pytest.raises(Violation, match="More than 17 bytes"):
        frames.decode(frame, "1.6", len(frame) - 1)


def test_every_rule_has_codes_that_the_protocols_know() -> None:
    both = {
        "NotImplemented",
        "PropertyConstraintViolation",
        "TypeConstraintViolation",
    }
    of_1_6 = {"FormationViolation", "OccurenceConstraintViolation", None}
    of_2 = {
        "FormatViolation",
        "MessageTypeNotSupported",
        "OccurrenceConstraintViolation",
        "RpcFrameworkError",
    }
    assert CODES.keys() == set(Rule)
    assert {code for code, _ in CODES.values()} == both | of_1_6
    assert {code for _, code in CODES.values()} == both | of_2
