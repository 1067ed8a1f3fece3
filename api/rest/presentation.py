"""How values look outside: RFC 3339 instants, closed sealed groups, named profiles.

The schemas in the OpenAPI document follow from the same types by the same rules.
"""

import enum
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from fastapi import Response

from domain.model.profile import PowerProfile, PowerRangeEnvelope
from domain.model.values import Event, Instant, Sealed, iso_of

Schema = dict[str, Any]


def json_response(view: object, status: int = 200) -> Response:
    """Return the answer that shows a view."""
    return Response(
        msgspec.json.encode(present(view)), status, media_type="application/json"
    )


def present(value: Any) -> Any:
    """Return a value as JSON shows it."""
    cls = value.__class__
    if cls in _AS_IT_IS:
        return value
    special = _SPECIAL.get(cls)
    if special is not None:
        return special(value)
    if isinstance(value, msgspec.Struct):
        shown = {}
        for name, how in _fields(cls):
            found = getattr(value, name)
            shown[name] = found if how is None or found is None else how(found)
        return shown
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): present(found) for key, found in value.items()}
    return [present(found) for found in value]


How = Callable[[Any], Any]


@cache
def _fields(cls: type[msgspec.Struct]) -> tuple[tuple[str, How | None], ...]:
    """Return the fields of a class, and what shows each; None: it is as it is."""
    hints = get_type_hints(cls)
    return tuple((name, _how(name, hints[name])) for name in cls.__struct_fields__)


def _how(name: str, hint: Any) -> How | None:
    if is_instant(name, hint):
        return iso_of
    return None if _is_plain(hint) else present


def _is_plain(hint: Any) -> bool:
    """Whether all values of a type are JSON as they are."""
    if get_origin(hint) in (Union, UnionType, tuple, list):
        return all(part is ... or _is_plain(part) for part in get_args(hint))
    return hint in _AS_IT_IS


def is_instant(name: str, hint: Any) -> bool:
    """Whether a field is an instant: ``_at`` may also be where somebody is."""
    return name.endswith("_at") and hint in (Instant, Instant | None)


def _sealed(_: Sealed) -> dict[str, bool]:
    # Not even which key it is under: that would link what one person did.
    return {"sealed": True}


def _profile(profile: PowerProfile) -> dict[str, Any]:
    return {
        "start_at": iso_of(profile.start_at),
        "changes": [
            {"offset_s": offset_s, "power_w": power_w}
            for offset_s, power_w in profile.changes
        ],
    }


def _envelope(envelope: PowerRangeEnvelope) -> dict[str, Any]:
    return {
        "start_at": iso_of(envelope.start_at),
        "ranges": [
            {"duration_s": r.duration_s, "lower_w": r.lower_w, "upper_w": r.upper_w}
            for r in envelope.ranges
        ],
    }


_AS_IT_IS = frozenset({int, str, float, bool, NoneType})
_SPECIAL: dict[type, Callable[[Any], Any]] = {
    Sealed: _sealed,
    PowerProfile: _profile,
    PowerRangeEnvelope: _envelope,
    bytes: bytes.hex,
}

_INSTANT: Schema = {"type": "string", "format": "date-time"}
_PLAIN: dict[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "description": "hexadecimal"},
    NoneType: {"type": "null"},
    Any: {},
}


def _object(description: str, /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": properties,
    }


_NAMED: dict[Any, tuple[str, Schema]] = {
    Sealed: (
        "Sealed",
        _object("Personal data, kept closed.", sealed={"const": True}),
    ),
    PowerProfile: (
        "PowerProfile",
        _object(
            "Power from its start on, as changes; the last one holds.",
            start_at=_INSTANT,
            changes={
                "type": "array",
                "items": _object(
                    "From `offset_s` after the start on: the power. + is grid to EV.",
                    offset_s=_PLAIN[int],
                    power_w=_PLAIN[int],
                ),
            },
        ),
    ),
    PowerRangeEnvelope: (
        "PowerRangeEnvelope",
        _object(
            "Power range envelope (PRE): consecutive ranges from its start on.",
            start_at=_INSTANT,
            ranges={
                "type": "array",
                "items": _object(
                    "Lower and upper power for some seconds.",
                    duration_s=_PLAIN[int],
                    lower_w=_PLAIN[int],
                    upper_w=_PLAIN[int],
                ),
            },
        ),
    ),
    Event: (
        "State",
        {"type": "object", "description": "The event's fields, by its type."},
    ),
}


class Schemas:
    """Collects the schemas of the types that the API shows, by name."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type, named ones as references."""
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        if kind in _NAMED:
            name, schema = _NAMED[kind]
            self.components[name] = schema
            return _reference(name)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            return {"anyOf": [self.of(part) for part in arguments]}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin in (tuple, list):
            return {"type": "array", "items": self.of(arguments[0])}
        if issubclass(kind, enum.Enum):
            return {"type": "string", "enum": [member.value for member in kind]}
        return self._struct(kind)

    def _struct(self, kind: type[msgspec.Struct]) -> Schema:
        name = kind.__name__
        if name not in self.components:
            self.components[name] = {}
            hints = get_type_hints(kind)
            properties = {
                field: _instant(hints[field])
                if is_instant(field, hints[field])
                else self.of(hints[field])
                for field in kind.__struct_fields__
            }
            description = (kind.__doc__ or "").partition("\n\n")[0]
            self.components[name] = _object(" ".join(description.split()), **properties)
        return _reference(name)


def _instant(hint: Any) -> Schema:
    if NoneType in get_args(hint):
        return {"anyOf": [_INSTANT, _PLAIN[NoneType]]}
    return dict(_INSTANT)


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
