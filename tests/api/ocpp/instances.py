"""Payloads drawn from the ``ocpp`` package's JSON schemas, right ones and wrong."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from hypothesis import strategies as st

from api.ocpp.generate import VERSIONS, schema_folder
from api.ocpp.violations import Version

INSTANTS = (
    "2026-11-20T16:50:28Z",
    "2026-11-20T16:50:28.123Z",
    "2026-11-20t16:50:28.123456z",
    "2026-11-20T16:50:28+01:00",
    "2026-11-20T16:50:28-05:30",
    "2024-02-29T00:00:00+00:00",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
)
NOT_INSTANTS = (
    "",
    "now",
    "2026-11-20",
    "2026-11-20T16:50:28",
    "2026-11-20T16:50Z",
    "2026-02-29T00:00:00Z",
    "2026-11-20T24:00:00Z",
    "2026-11-20T16:50:60Z",
    "20261120T165028Z",
    "2026-11-20T16:50:28+24:00",
)
REPLACEMENTS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 101, 2**31, 10**25, 0.5, 2.0, -0.0, 1.05, 21.4),
    *("", "Accepted", "x" * 21, "x" * 300, "x" * 20_000, "ä" * 51, 'a":"b\\', "\0"),
    *(INSTANTS[0], INSTANTS[3], *NOT_INSTANTS),
    *([], {}, [1], [None], {"strange": 1}, {"vendorId": "us"}, {"vendorId": 5}),
    *({"vendorId": "x" * 256}, {"vendorId": "us", "mandatory": [True, {"a": None}]}),
)
_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?"
    r"(?:[Zz]|([+-])(\d\d):?(\d\d))"
)

Schema = dict[str, Any]


class Kind(NamedTuple):
    """A request or a response of one version."""

    version: Version
    action: str
    is_response: bool
    schema: Schema


@cache
def kinds() -> tuple[Kind, ...]:
    """Return all there are."""
    return tuple(
        Kind(
            version,  # type: ignore[arg-type]
            re.sub("(Request|Response)$", "", path.stem),
            path.stem.endswith("Response"),
            json.loads(path.read_text(encoding="utf-8-sig")),
        )
        for package, version in VERSIONS.items()
        for path in sorted(schema_folder(package).iterdir())
    )


def resolved(schema: Schema, root: Schema) -> Schema:
    """Return what a schema refers to, or itself."""
    if "$ref" not in schema:
        return schema
    found: Schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    return found


class Payloads:
    """Strategies of one schema's payloads, each part's made once."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._made: dict[int, st.SearchStrategy[Any]] = {}

    def of(self, schema: Schema) -> st.SearchStrategy[Any]:
        """Return a strategy of what a schema accepts."""
        schema = resolved(schema, self._root)
        if id(schema) not in self._made:
            self._made[id(schema)] = self._strategy(schema)
        return self._made[id(schema)]

    def _strategy(self, schema: Schema) -> st.SearchStrategy[Any]:
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._objects(schema)
            case "array":
                most = schema.get("maxItems", 9)
                least = schema.get("minItems", 0)
                items = self.of(schema["items"])
                return st.lists(
                    items, min_size=least, max_size=min(most, 2)
                ) | st.lists(items, min_size=min(most, 3), max_size=min(most, 3))
            case "string":
                return _texts(schema)
            case "integer":
                return _integers(schema)
            case "number":
                return _numbers(schema)
            case "boolean":
                return st.booleans()
            case _:
                return st.sampled_from([None, 1, 1.5, "x", [], {"a": [{}]}])

    def _objects(self, schema: Schema) -> st.SearchStrategy[Any]:
        required = set(schema.get("required", ()))
        members = {n: self.of(one) for n, one in schema.get("properties", {}).items()}
        optional = {n: one for n, one in members.items() if n not in required}
        if schema.get("additionalProperties") is not False:
            optional["more"] = st.sampled_from([None, 2, {"b": "\\"}, [1.0]])
        return st.fixed_dictionaries(
            {name: members[name] for name in sorted(required)}, optional=optional
        )


@cache
def payloads(index: int) -> st.SearchStrategy[Any]:
    """Return a strategy of what the schema of a kind accepts."""
    root = kinds()[index].schema
    return Payloads(root).of(root)


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return st.sampled_from(INSTANTS)
    most = schema.get("maxLength", 50)
    short = st.text(st.characters(codec="utf-8"), max_size=min(most, 8))
    return short | st.sampled_from(["ä" * most, "x" * most, "\\" * min(most, 3)])


def _integers(schema: Schema) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1)
    numbers = st.integers(int(least), int(most))
    return numbers | numbers.filter(lambda n: abs(n) < 2**53).map(float)


def _numbers(schema: Schema) -> st.SearchStrategy[Any]:
    if "multipleOf" in schema:
        return st.integers(-(10**9), 10**9).map(lambda n: n / 10)
    numbers = st.floats(
        schema.get("minimum", -1e15), schema.get("maximum", 1e15), allow_nan=False
    )
    return numbers | st.integers(0, 0 if schema.get("maximum") == 0 else 1)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place in JSON, as its container and its name or index there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        yield value, name
        if isinstance(one, dict | list):
            yield from places(one)


@st.composite
def mutated(draw: st.DrawFn, index: int) -> Any:
    """Draw a payload and change one or two places of it; it may still be right."""
    payload = copy.deepcopy(draw(payloads(index)))
    for _ in range(draw(st.integers(1, 2))):
        found = [(payload, None), *places(payload)]
        container, name = draw(st.sampled_from(found))
        mutation = draw(st.sampled_from(MUTATIONS))
        mutate(container, name, mutation)
        if mutation == "repeat":  # within one another they would fill the memory
            break
    return payload


MUTATIONS: tuple[Any, ...] = (*REPLACEMENTS, "delete", "add", "lengthen", "repeat")


def mutate(container: Any, name: Any, mutation: Any) -> None:
    """Change one place of a payload; ``name`` None is the payload itself."""
    inside = container if name is None else container[name]
    if mutation == "add" or name is None:
        if isinstance(inside, dict):
            inside["strange"] = 1
    elif mutation == "delete":
        del container[name]
    elif mutation == "lengthen" and isinstance(inside, str):
        container[name] = inside + "x"
    elif mutation == "lengthen" and isinstance(inside, list):
        container[name] = inside + inside[-1:]
    elif mutation == "repeat" and isinstance(inside, list):
        container[name] = inside * 1_025
    elif mutation not in ("lengthen", "repeat"):
        container[name] = copy.deepcopy(mutation)


def fullest(schema: Schema, root: Schema) -> Any:
    """Return a payload with every member that the schema knows."""
    schema = resolved(schema, root)
    if "enum" in schema:
        return schema["enum"][-1]
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {name: fullest(one, root) for name, one in members.items()}
        case "array":
            return [fullest(schema["items"], root)] * max(1, schema.get("minItems", 1))
        case "string" if schema.get("format") == "date-time":
            return INSTANTS[1]
        case "string":
            return "x" * min(schema.get("maxLength", 5), 5)
        case "integer":
            return int(schema.get("minimum", 1))
        case "number":
            return schema.get("maximum", 16.1)
        case "boolean":
            return True
        case _:
            return {"any": [1]}


class Edge(NamedTuple):
    """A place of a payload; what its schema only just allows there, or not quite."""

    container: Any
    name: Any
    allowed: list[Any]
    forbidden: list[Any]


def edges(value: Any, schema: Schema, root: Schema) -> Iterator[Edge]:
    """Yield the edges of a payload's schema, those of each definition once."""
    seen: set[int] = set()
    waiting = [(value, resolved(schema, root))]
    while waiting:
        value, schema = waiting.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        required = schema.get("required", ())
        for name, member in schema.get("properties", {}).items():
            known = resolved(member, root)
            inner = value[name]
            allowed, forbidden = _edge(inner, known)
            (forbidden if name in required else allowed).append(MISSING)
            yield Edge(value, name, allowed, forbidden)
            if known.get("type") == "array":
                inner, known = inner[0], resolved(known["items"], root)
            waiting.append((inner, known))
        if schema.get("additionalProperties") is False and "properties" in schema:
            yield Edge(value, "strange", [], [1])


MISSING = object()


def _edge(value: Any, schema: Schema) -> tuple[list[Any], list[Any]]:
    """Return values at the edge of a schema, and over it."""
    match schema:
        case {"enum": values}:
            return list(values), [values[0] + "x", values[0].swapcase(), None]
        case {"maxLength": most}:
            return ["", "ä" * most], ["x" * (most + 1), None, 1]
        case {"format": "date-time"}:
            return list(INSTANTS), [*NOT_INSTANTS, None, 1]
        case {"type": "array"}:
            least, most = schema.get("minItems", 0), schema.get("maxItems")
            over = [value[:1] * (most + 1)] if most else []
            short = [value[:1] * (least - 1)] if least else []
            return [value[:1] * (most or 50)], [*over, *short, None, {}]
        case {"type": "integer" | "number" as kind}:
            least, most = schema.get("minimum"), schema.get("maximum")
            allowed = [least, most, 1 if least is None and most is None else None]
            forbidden = [None if least is None else least - 1]
            forbidden += [None if most is None else most + 1, True, "1", None]
            if kind == "integer":
                allowed += [-(2**63) if least is None else None]
                allowed += [2**63 - 1 if most is None else None]
                forbidden += [1.5, -(2**63) - 1, 2**63, 10**400]
            return [one for one in allowed if one is not None], forbidden
        case {"type": "boolean"}:
            return [True, False], [None, 0, "true"]
        case {"type": "object"}:
            return [], [None, [], "x"]
        case _:
            return [], []


def instant(text: str) -> datetime | None:
    """Return the instant that a text means, by other code than msgspec's."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    *whole, fraction, sign, hours, minutes = found.groups()
    try:
        local = datetime(*(int(one) for one in whole), tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        return None
    if int(hours or 0) > 23 or int(minutes or 0) > 59:
        return None
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    local += timedelta(microseconds=int((fraction or "0").ljust(6, "0")))
    return local - offset if sign == "+" else local + offset


def canonical(value: Any, schema: Schema, root: Schema) -> Any:
    """Return JSON in which what counts as the same is the same.

    Integral floats are integers and instants are datetimes; ``ValueError`` where a text
    should be an instant and is none, and where an integer has more than 64 bits.
    """
    schema = resolved(schema, root)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is int and schema.get("type") == "number" and abs(value) >= 2**53:
        return float(value)
    is_long = type(value) is int and not -(2**63) <= value < 2**63
    if schema.get("type") == "integer" and is_long:
        raise ValueError(value)
    if isinstance(value, str) and schema.get("format") == "date-time":
        found = instant(value)
        if found is None:
            raise ValueError(value)
        return found
    if isinstance(value, list):
        return [canonical(one, schema.get("items", {}), root) for one in value]
    if isinstance(value, dict):
        members = schema.get("properties", {})
        return {n: canonical(x, members.get(n, {}), root) for n, x in value.items()}
    return value
