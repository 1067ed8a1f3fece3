"""Our structs and the ``ocpp`` package's validation accept the same payloads.

Requests and responses of the three versions, with this closed list of differences:
integral floats count as integers; integers of more than 64 bits, NaN, infinities, a
name twice in one object, text that is not Unicode and instants that do not parse are
refused.

Seconds in the suite; with VOLTLEDGER_FULL=1 in the environment every mutation of every
place of every payload, and a hundred times the examples.
"""

import copy
import json
import math
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocpp.exceptions import OCPPError
from ocpp.messages import Call, CallResult, _validate_payload, get_validator

from api.ocpp.codec import CODECS, encode
from api.ocpp.violations import Violation
from api.ocpp.wire import Wire
from tests.api.ocpp.instances import (
    MISSING,
    MUTATIONS,
    Kind,
    canonical,
    edges,
    fullest,
    kinds,
    mutate,
    mutated,
    payloads,
    places,
)

FULL = os.environ.get("VOLTLEDGER_FULL") == "1"
EXAMPLES = 20_000 if FULL else 150
# A prime, so that the places and mutations tried in the suite are spread over all.
STRIDE = 1 if FULL else 197
VERSIONS = ("1.6", "2.0.1", "2.1")

often = settings(
    max_examples=EXAMPLES,
    suppress_health_check=list(HealthCheck),
)


def of_version(version: str) -> st.SearchStrategy[int]:
    return st.sampled_from([i for i, k in enumerate(kinds()) if k.version == version])


def ours(kind: Kind, text: bytes) -> Wire:
    codec = CODECS[kind.version]
    read = codec.response if kind.is_response else codec.request
    return read(kind.action, text)


def they_accept(kind: Kind, payload: Any) -> bool:
    """Return what the package says of a payload, the list of differences applied."""
    try:
        plain = canonical(payload, kind.schema, kind.schema)
    except ValueError:
        return False
    plain = json.loads(json.dumps(plain, default=str))
    if kind.action == "NotifyPeriodicEventStream":  # the package knows no SEND
        return bool(get_validator(6, kind.action, kind.version).is_valid(plain))
    message: Any = Call("1", kind.action, plain)
    if kind.is_response:
        message = CallResult("1", plain, kind.action)
    try:
        _validate_payload(message, kind.version)
    except OCPPError:
        return False
    return True


def agree(kind: Kind, payload: Any) -> bool:
    """Check that both say the same of a payload; return what they say."""
    text = json.dumps(payload).encode()
    if not they_accept(kind, payload):
        with pytest.raises(Violation) as caught:
            ours(kind, text)
        assert caught.value.code(kind.version) is not None
        return False
    message = ours(kind, text)
    again = encode(message)
    assert ours(kind, again) == message
    assert plainly(kind, json.loads(again)) == plainly(kind, payload)
    return True


def plainly(kind: Kind, payload: Any) -> str:
    """Return a text of a payload that is equal for what counts as the same."""
    plain = canonical(payload, kind.schema, kind.schema)
    return json.dumps(plain, sort_keys=True, default=lambda one: one.timestamp())


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_schemas_accept_is_read_and_written_without_loss(version: str) -> None:
    @often
    @given(st.data())
    def check(data: st.DataObject) -> None:
        index = data.draw(of_version(version))
        assert agree(kinds()[index], data.draw(payloads(index)))

    check()


@pytest.mark.parametrize("version", VERSIONS)
def test_both_say_the_same_of_changed_payloads(version: str) -> None:
    @often
    @given(st.data())
    def check(data: st.DataObject) -> None:
        index = data.draw(of_version(version))
        agree(kinds()[index], data.draw(mutated(index)))

    check()


@pytest.mark.parametrize("version", VERSIONS)
def test_both_say_the_same_of_every_member_changed_in_turn(version: str) -> None:
    turn = 0
    refused = 0
    for kind in kinds():
        if kind.version != version:
            continue
        full = fullest(kind.schema, kind.schema)
        assert agree(kind, full), kind.action
        for place in range(sum(1 for _ in places(full))):
            for mutation in MUTATIONS:
                turn += 1
                if turn % STRIDE == 0:
                    changed = copy.deepcopy(full)
                    mutate(*list(places(changed))[place], mutation)
                    refused += not agree(kind, changed)
    assert refused > 20


def test_every_rule_of_the_schemas_holds_at_its_edge() -> None:
    n = 0
    for kind in kinds():
        full = fullest(kind.schema, kind.schema)
        for container, name, allowed, forbidden in edges(
            full, kind.schema, kind.schema
        ):
            kept = container.get(name, MISSING)
            for value in allowed:
                put(container, name, value)
                assert ours(kind, json.dumps(full).encode())
            for value in forbidden:
                put(container, name, value)
                with pytest.raises(Violation):
                    ours(kind, json.dumps(full).encode())
            put(container, name, kept)
            n += len(allowed) + len(forbidden)
    assert n > 10_000


def put(container: dict[str, Any], name: str, value: Any) -> None:
    """Set a member, or take it away."""
    if value is MISSING:
        container.pop(name, None)
    else:
        container[name] = value


class Twice(dict[str, Any]):
    """An object that writes its first member twice."""

    def items(self) -> Any:
        pairs = list(super().items())
        return [*pairs, pairs[0]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_name_twice_is_refused_wherever_it_stands(version: str) -> None:
    @settings(often, max_examples=EXAMPLES // 3)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        index = data.draw(of_version(version))
        payload = {"top": copy.deepcopy(data.draw(payloads(index)))}
        objects = [
            (c, n) for c, n in places(payload) if isinstance(c[n], dict) and c[n]
        ]
        if not objects:
            return
        container, name = data.draw(st.sampled_from(objects))
        container[name] = Twice(container[name])
        escaped = data.draw(st.booleans())
        text = json.dumps(payload["top"], ensure_ascii=escaped).encode()
        with pytest.raises(Violation) as caught:
            ours(kinds()[index], text)
        assert "Occur" in str(caught.value.code(kinds()[index].version))

    check()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_wherever_they_stand(number: float) -> None:
    for kind in kinds():
        full = fullest(kind.schema, kind.schema)
        for place, (container, name) in enumerate(places(full)):
            if type(container[name]) not in (int, float):
                continue
            changed = copy.deepcopy(full)
            mutate(*list(places(changed))[place], number)
            with pytest.raises(Violation):
                ours(kind, json.dumps(changed).encode())


def test_text_that_is_not_unicode_is_refused() -> None:
    _refused("1.6", "Authorize", b'{"idTag":"\\ud800"}')
    _refused("1.6", "Authorize", b'{"idTag":"\xff"}')


def test_an_integral_float_counts_as_an_integer_as_far_as_floats_are_exact() -> None:
    read: Callable[..., Any] = CODECS["1.6"].request
    assert read("UnlockConnector", b'{"connectorId":2.0}').connector_id == 2
    assert read("UnlockConnector", b'{"connectorId":2e1}').connector_id == 20
    _refused("1.6", "UnlockConnector", b'{"connectorId":2.5}')
    _refused("1.6", "UnlockConnector", b'{"connectorId":1e300}')


def _refused(version: Any, action: str, payload: bytes) -> None:
    with pytest.raises(Violation):
        CODECS[version].request(action, payload)
