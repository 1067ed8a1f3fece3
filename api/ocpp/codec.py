"""Payloads: from bytes to the structs of a version, by the rules of its schemas.

What the schemas accept is accepted and nothing else, but for this: an integral float
counts as an integer, as far as floats are exact; integers of more than 64 bits, NaN and
infinities, a name twice in one object, text that is not Unicode and instants that do
not parse are refused; so is what the schemas leave open when it is deeper than
`OPAQUE_DEPTH` (ADR 0009).
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec

from api.ocpp import v16, v21, v201
from api.ocpp.violations import Rule, Version, Violation, described, rule_broken
from api.ocpp.wire import Exchange, Wire, closed, opened

_ENCODER: Final = msgspec.json.Encoder(enc_hook=closed)
# From here on not every integer is a float.
_EXACT_BELOW: Final = 2**53


class Codec:
    """The payloads of one version."""

    def __init__(self, exchanges: Mapping[str, Exchange]) -> None:
        self.exchanges = exchanges
        self._requests: dict[str, msgspec.json.Decoder[Wire]] = {}
        self._responses: dict[str, msgspec.json.Decoder[Wire]] = {}

    def request(self, action: str, payload: bytes | msgspec.Raw) -> Wire:
        """Return the request that a payload is, or raise `Violation`."""
        decoder = self._requests.get(action)
        if decoder is None:
            exchange = self.exchanges.get(action)
            if exchange is None:
                raise Violation(Rule.ACTION, f"No action {action[:50]}")
            decoder = self._requests[action] = _decoder(exchange.request)
        return _decode(decoder, bytes(payload))

    def response(self, action: str, payload: bytes | msgspec.Raw) -> Wire:
        """Return the response to our own request of this action."""
        decoder = self._responses.get(action)
        if decoder is None:
            kind = self.exchanges[action].response
            if kind is None:
                raise Violation(Rule.ACTION, f"Nothing answers {action}")
            decoder = self._responses[action] = _decoder(kind)
        return _decode(decoder, bytes(payload))


CODECS: Final[dict[Version, Codec]] = {
    "1.6": Codec(v16.EXCHANGES),
    "2.0.1": Codec(v201.EXCHANGES),
    "2.1": Codec(v21.EXCHANGES),
}


_RESPONSES: Final = {
    exchange.request: exchange.response
    for codec in CODECS.values()
    for exchange in codec.exchanges.values()
}


def response_to(request: Wire, **values: Any) -> Wire:
    """Return the response to a request, of its version; ``values`` are its fields."""
    kind = _RESPONSES[type(request)]
    assert kind is not None
    return kind(**values)


def encode(payload: Wire) -> bytes:
    """Return a payload as compact JSON."""
    return _ENCODER.encode(payload)


@cache
def _decoder(kind: type[Wire]) -> msgspec.json.Decoder[Wire]:
    return msgspec.json.Decoder(kind, dec_hook=opened)


def _decode(decoder: msgspec.json.Decoder[Wire], payload: bytes) -> Wire:
    try:
        message = _read(decoder, payload)
    except msgspec.ValidationError as error:
        raise Violation(rule_broken(error), described(error)) from None
    except RecursionError:
        raise Violation(Rule.DEPTH, "Too many levels") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Violation(Rule.JSON, str(error)) from None
    if _repeats_a_name(payload, message):
        raise Violation(Rule.REPEATED_MEMBER, "A name twice in one object")
    return message


def _read(decoder: msgspec.json.Decoder[Wire], payload: bytes) -> Wire:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        if not str(error).startswith("Expected `int`, got `float`"):
            raise
        untyped = _with_integers(msgspec.json.decode(payload))
        return msgspec.convert(untyped, decoder.type, dec_hook=opened)


def _with_integers(value: Any) -> Any:
    """Return JSON with its integral floats as integers, which is what they count as."""
    match value:
        case float() if value.is_integer() and abs(value) < _EXACT_BELOW:
            return int(value)
        case list():
            return [_with_integers(one) for one in value]
        case dict():
            return {name: _with_integers(one) for name, one in value.items()}
        case _:
            return value


def _repeats_a_name(payload: bytes, message: Wire) -> bool:
    """Return whether an object of the payload has two members of one name.

    Of two such members msgspec keeps the last. Everything else that was read is
    written again, so quotation marks are missing exactly where a member was dropped.
    Where marks may be escaped, and so counted wrong, the names themselves are compared.
    """
    if b"\\" not in payload:
        return payload.count(b'"') != _ENCODER.encode(message).count(b'"')
    try:
        json.loads(payload, object_pairs_hook=_once)
    except _Twice:
        return True
    return False


class _Twice(Exception):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Twice
