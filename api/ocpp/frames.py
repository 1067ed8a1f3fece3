"""Frames of OCPP-J: what is a call, what answers which, and the bytes of it.

A frame is decoded in one pass that leaves its payload unread; ``codec`` reads that.
"""

import re
from typing import Annotated, Final

import msgspec

from api.ocpp.violations import UNREAD_ID, Rule, Version, Violation
from api.ocpp.wire import Wire, closed

FRAME_BYTES: Final = 64 * 1024
MESSAGE_ID_LENGTH: Final = 36

CALL: Final = 2
CALLRESULT: Final = 3
CALLERROR: Final = 4
CALLRESULTERROR: Final = 5
SEND: Final = 6

MessageId = Annotated[str, msgspec.Meta(max_length=MESSAGE_ID_LENGTH)]


class _Frame(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    message_id: MessageId


class Call(_Frame, frozen=True, tag=CALL):
    """What the other side asks."""

    action: str
    payload: msgspec.Raw


class CallResult(_Frame, frozen=True, tag=CALLRESULT):
    """What it answers to a call of ours."""

    payload: msgspec.Raw


class CallError(_Frame, frozen=True, tag=CALLERROR):
    """Why it does not answer a call of ours."""

    code: str
    description: str
    details: msgspec.Raw


class CallResultError(_Frame, frozen=True, tag=CALLRESULTERROR):
    """What it did not understand of an answer of ours (2.1)."""

    code: str
    description: str
    details: msgspec.Raw


class Send(_Frame, frozen=True, tag=SEND):
    """What it tells and wants no answer to (2.1)."""

    action: str
    payload: msgspec.Raw


Frame = Call | CallResult | CallError | CallResultError | Send

_UP_TO_2_0_1 = msgspec.json.Decoder(Call | CallResult | CallError)
_DECODERS: Final[dict[Version, msgspec.json.Decoder[Frame]]] = {
    "1.6": _UP_TO_2_0_1,
    "2.0.1": _UP_TO_2_0_1,
    "2.1": msgspec.json.Decoder(Frame),
}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=closed)
_HEAD: Final = re.compile(rb'\s*\[\s*(\d{1,3})\s*,\s*"([^"\\\x00-\x1f]*)"')


def decode(frame: bytes, version: Version, limit_bytes: int = FRAME_BYTES) -> Frame:
    """Return what a frame is, its payload unread, or raise `Violation`."""
    if len(frame) > limit_bytes:
        raise _violation(Rule.SIZE, f"More than {limit_bytes} bytes", frame)
    try:
        return _DECODERS[version].decode(frame)
    except msgspec.ValidationError as error:
        raise _violation(_rule_of_frame(error), str(error), frame) from None
    except RecursionError:
        raise _violation(Rule.DEPTH, "Too many levels", frame) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        is_legible = _head(frame)[0] is not None
        rule = Rule.JSON if is_legible else Rule.FRAME
        raise _violation(rule, str(error), frame) from None


def encode_call(message_id: str, action: str, request: Wire) -> bytes:
    """Return the frame of a call."""
    return _ENCODER.encode((CALL, message_id, action, request))


def encode_result(message_id: str, response: Wire) -> bytes:
    """Return the frame that answers a call."""
    return _ENCODER.encode((CALLRESULT, message_id, response))


def encode_error(message_id: str, code: str, description: str = "") -> bytes:
    """Return the frame that refuses a call."""
    return _ENCODER.encode((CALLERROR, message_id, code, description, {}))


def encode_result_error(message_id: str, code: str, description: str = "") -> bytes:
    """Return the frame that refuses an answer (2.1)."""
    return _ENCODER.encode((CALLRESULTERROR, message_id, code, description, {}))


def _rule_of_frame(error: msgspec.ValidationError) -> Rule:
    said = str(error)
    if said.startswith("Invalid value") and said.endswith("`$[0]`"):
        return Rule.MESSAGE_TYPE
    return Rule.MESSAGE_ID if said.endswith("`$[1]`") else Rule.FRAME


def _violation(rule: Rule, description: str, frame: bytes) -> Violation:
    return Violation(rule, description, *_head(frame))


def _head(frame: bytes) -> tuple[int | None, str]:
    """Return type and id of a frame that is not one, as far as they can be read."""
    head = _HEAD.match(frame)
    if head is None:
        return None, UNREAD_ID
    message_id = head[2].decode(errors="replace")
    is_id = "\ufffd" not in message_id and len(message_id) <= MESSAGE_ID_LENGTH
    return int(head[1]), message_id if is_id else UNREAD_ID
