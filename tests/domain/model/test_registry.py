"""Names and schemas of events: what is in the log can be read back, always."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import UnknownSchema
from domain.model import (
    access_events,
    activity_events,
    contract_events,
    incentive_events,
    plan_events,
    registry,
    session_events,
    site_events,
    station_events,
)
from domain.model.profile import Etp, PowerProfile
from domain.model.registry import BY_CLASS, BY_NAME, EventType, decode, encode
from domain.model.values import Event

CLASSES = sorted(BY_CLASS, key=lambda cls: cls.__name__)


def fields_of(cls: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Return any instance, its numbers as large as a row can hold them."""
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    return st.builds(cls, **{field.name: any_of(field.type) for field in info.fields})


def any_of(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(any_of, types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(any_of(item), max_size=4).map(tuple)
        case msgspec.inspect.TupleType(item_types=items):
            return st.tuples(*map(any_of, items))
        case msgspec.inspect.StructType(cls=cls):
            return fields_of(cls)
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(cls)
        case msgspec.inspect.IntType():
            return st.integers(-(2**63), 2**63 - 1)
        case msgspec.inspect.StrType():
            return st.text(max_size=20)
        case msgspec.inspect.BytesType():
            return st.binary(max_size=20)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case _:
            raise AssertionError(f"{info} is no type of an event's field")


def leaves(value: Any) -> Iterator[Any]:
    """Yield all that is in a decoded state."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_event_is_read_back_as_it_was(
    cls: type[Event], data: st.DataObject
) -> None:
    event = data.draw(fields_of(cls))
    assert isinstance(event, Event)
    name, schema, _, _ = BY_CLASS[cls]
    state = encode(event)
    assert decode(name, schema, state) == event
    kinds = {type(leaf) for leaf in leaves(msgspec.msgpack.decode(state))}
    assert kinds <= {int, str, bytes, bool, type(None)}


def test_every_event_has_one_name() -> None:
    modules = (
        access_events,
        activity_events,
        contract_events,
        incentive_events,
        plan_events,
        session_events,
        site_events,
        station_events,
    )
    defined = {
        cls
        for module in modules
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
    }
    assert set(BY_CLASS) == defined
    assert len(BY_NAME) == len(registry._TYPES) == len(BY_CLASS)


def test_names_are_explicit_and_not_of_modules() -> None:
    for name, (_, schema, cls, _) in BY_NAME.items():
        noun, _, verb = name.partition(".")
        assert noun.isidentifier()
        assert verb.isidentifier()
        assert cls.__name__ not in name
        assert schema >= 1


@pytest.mark.parametrize(
    ("name", "schema", "says"),
    [
        ("session.vanished", 1, "event type 'session.vanished' is not one"),
        ("", 1, "event type '' is not one"),
        ("parking.started", 2, "has schema version 2; this release reads 1"),
        ("parking.started", 0, "has schema version 0; this release reads 1"),
        ("parking.started", -1, "has schema version -1"),
    ],
)
def test_what_this_release_does_not_know_is_not_read(
    name: str, schema: int, says: str
) -> None:
    state = encode(session_events.ParkingStarted(session_id="s"))
    with pytest.raises(UnknownSchema, match=says):
        decode(name, schema, state)


def bay_to_place(fields: dict[str, Any]) -> dict[str, Any]:
    return {"session_id": fields["session_id"], "place": fields["bay"]}


def place_to_text(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "place": f"level {fields['place']}"}


def third_schema(
    monkeypatch: pytest.MonkeyPatch, upcasts: dict[int, registry.Upcast]
) -> None:
    """Let ``parking.started`` be in its third schema version."""
    known = EventType("parking.started", 3, session_events.ParkingStarted, upcasts)
    monkeypatch.setattr(registry, "BY_NAME", {**BY_NAME, known.name: known})


def test_a_state_of_an_old_schema_is_upcast_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    third_schema(monkeypatch, {1: bay_to_place, 2: place_to_text})
    first = msgspec.msgpack.encode({"session_id": "s", "bay": 2})
    second = msgspec.msgpack.encode({"session_id": "s", "place": 2})
    third = msgspec.msgpack.encode({"session_id": "s", "place": "level 2"})
    expected = session_events.ParkingStarted(session_id="s", place="level 2")
    states = (first, second, third)
    read = [decode("parking.started", n, state) for n, state in enumerate(states, 1)]
    assert read == [expected] * 3


@pytest.mark.parametrize("schema", [0, 1, 4])
def test_a_gap_in_the_upcasts_is_not_jumped(
    monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    third_schema(monkeypatch, {2: place_to_text})
    state = msgspec.msgpack.encode({"session_id": "s", "place": 2})
    with pytest.raises(UnknownSchema, match=f"schema version {schema}"):
        decode("parking.started", schema, state)


def test_defaults_take_no_bytes() -> None:
    state = encode(session_events.ParkingStarted(session_id="s", place=""))
    assert msgspec.msgpack.decode(state) == {"session_id": "s"}


PROFILE = PowerProfile(0, ((0, 1_000), (900, 0)))


def test_plans_of_the_first_schema_say_nothing_of_prices() -> None:
    plan = plan_events.PlanMade(
        zone_id="z",
        planned_at=1,
        seen_position=2,
        trigger="arrival",
        status="optimal",
        problem_digest=b"d",
        etps_changed=(Etp(evse_id="e", number=1, session_id="s", profile=PROFILE),),
        aetp=PROFILE,
    )
    # Defaults take no bytes: these are what the first schema wrote.
    assert decode("plan.made", 1, encode(plan)) == plan
