"""Write the structs of the three versions from the ``ocpp`` package's JSON schemas.

``python -m api.ocpp.generate`` writes ``v16``, ``v201`` and ``v21`` beside this module.
The package is needed here and in tests only; what is written is committed (ADR 0009).
"""

import json
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version as installed_version
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

VERSIONS: Final = {"v16": "1.6", "v201": "2.0.1", "v21": "2.1"}
LICENCE: Final = "MIT licence, Copyright (c) 2019 The Mobility House"
LINE_LENGTH: Final = 88
# Names that taken apart at their capitals would not be words.
SNAKE_CASE: Final = {"prioritizedEMAIDs": "prioritized_emaids"}
CHECKED_IN_CODE: Final = 0.1
# What no schema says: a longer integer has no place in the log.
INT64: Final = {"ge": -(2**63), "le": 2**63 - 1}
NOT_IN_TYPES: Final = {
    "$id",
    "$schema",
    "additionalItems",
    "comment",
    "default",
    "description",
    "javaType",
    "title",
}

Schema = dict[str, Any]


class Field(NamedTuple):
    """One member of an object."""

    wire_name: str
    type_text: str
    is_required: bool
    in_tenths: bool

    def line(self) -> str:
        """Return the line that declares it."""
        name = snake_case(self.wire_name)
        is_regular = camel_case(name) == self.wire_name
        text = self.type_text
        if self.is_required:
            default = "" if is_regular else f'name="{self.wire_name}"'
        else:
            text += " | UnsetType"
            default = "" if is_regular else f'default=UNSET, name="{self.wire_name}"'
        if default:
            return _fitting(
                f"    {name}: {text} = field({default})",
                f"    {name}: {text} = field(\n        {default}\n    )",
            )
        if self.is_required:
            return f"    {name}: {text}"
        return _fitting(
            f"    {name}: {text} = UNSET",
            f"    {name}: {text} = (\n        UNSET\n    )",
            f"    {name}: (\n        {text}\n    ) = UNSET",
        )


class Written(NamedTuple):
    """The modules of one version."""

    package: str
    datatypes: str
    messages: str

    def by_file(self) -> Iterator[tuple[str, str]]:
        """Yield each file's name and text."""
        yield "__init__.py", self.package
        yield "datatypes.py", self.datatypes
        yield "messages.py", self.messages


class Types:
    """The types that the schemas of one version need, each once, in order of need."""

    def __init__(self) -> None:
        self.enums: dict[str, tuple[str, ...]] = {}
        self.shapes: dict[str, tuple[Field, ...]] = {}
        self.messages: dict[str, tuple[Field, ...]] = {}
        self.constrained: dict[str, str] = {}
        self._inlined: dict[str, Schema] = {}

    def add_message(self, name: str, schema: Schema) -> None:
        """Take a request or response and all that it refers to."""
        self.messages[name] = self._fields(name, schema, schema.get("definitions", {}))

    def _fields(
        self, owner: str, schema: Schema, definitions: Schema
    ) -> tuple[Field, ...]:
        _is_understood(schema, {"type", "properties", "required", "definitions"})
        if schema.get("additionalProperties") is not False:
            raise ValueError(f"{owner} forbids nothing")
        required = schema.get("required", ())
        fields = [
            Field(
                name,
                self._type_of(owner, name, member, definitions),
                name in required,
                member.get("multipleOf") == CHECKED_IN_CODE,
            )
            for name, member in schema.get("properties", {}).items()
        ]
        return tuple(sorted(fields, key=lambda one: not one.is_required))

    def _type_of(
        self, owner: str, name: str, schema: Schema, definitions: Schema
    ) -> str:
        if "$ref" in schema:
            reference = schema["$ref"].removeprefix("#/definitions/")
            return self._defined(reference, definitions[reference], definitions)
        if "enum" in schema:
            return self._enum(owner.removesuffix("Request") + capitalised(name), schema)
        match schema.get("type"):
            case "object":
                return self._inline(owner, capitalised(name), schema, definitions)
            case "array":
                return self._array(owner, name, schema, definitions)
            case None:
                _is_understood(schema, set())
                return "Opaque"
            case simple:
                return self._simple(simple, schema)

    def _defined(self, reference: str, schema: Schema, definitions: Schema) -> str:
        name = reference.removesuffix("Type")
        if name == "CustomData":
            return name
        if "enum" in schema:
            return self._enum(name, schema)
        self._add_shape(name, self._fields(name, schema, definitions))
        return name

    def _inline(
        self, owner: str, name: str, schema: Schema, definitions: Schema
    ) -> str:
        # 1.6 defines its objects where they stand, some twice in different ways.
        if self._inlined.setdefault(name, schema) != schema:
            name = owner + name
        self._add_shape(name, self._fields(name, schema, definitions))
        return name

    def _add_shape(self, name: str, fields: tuple[Field, ...]) -> None:
        if set(self.shapes.setdefault(name, fields)) != set(fields):
            raise ValueError(f"{name} is defined in two ways")

    def _enum(self, name: str, schema: Schema) -> str:
        _is_understood(schema, {"type", "enum", "additionalProperties"})
        values = tuple(schema["enum"])
        if set(self.enums.setdefault(name, values)) != set(values):
            raise ValueError(f"{name} is defined in two ways")
        return name

    def _array(self, owner: str, name: str, schema: Schema, definitions: Schema) -> str:
        _is_understood(schema, {"type", "items", "minItems", "maxItems"})
        item = self._type_of(owner, name, schema["items"], definitions)
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is None and most is None:
            return f"tuple[{item}, ...]"
        alias = f"From{least or 0}" + ("" if most is None else f"To{most}")
        limits = {"min_length": least, "max_length": most}
        return f"{self._constrained(alias, 'tuple[T, ...]', limits)}[{item}]"

    def _simple(self, kind: str, schema: Schema) -> str:
        if kind == "string" and schema.get("format") == "date-time":
            _is_understood(schema, {"type", "format"})
            return self._constrained("Instant", "datetime", {"tz": True})
        if kind == "string":
            # Of the formats only instants are checked, here as in the package.
            _is_understood(schema, {"type", "maxLength", "format"})
            most = schema.get("maxLength")
            if most is None:
                return "str"
            return self._constrained(f"Str{most}", "str", {"max_length": most})
        if kind == "boolean":
            _is_understood(schema, {"type"})
            return "bool"
        _is_understood(schema, {"type", "minimum", "maximum", "multipleOf"})
        if schema.get("multipleOf", CHECKED_IN_CODE) != CHECKED_IN_CODE:
            raise ValueError(f"a multiple of {schema['multipleOf']} is not checked")
        limits = {"ge": schema.get("minimum"), "le": schema.get("maximum")}
        python = {"integer": int, "number": float}[kind]
        given = {
            key: python(limit) for key, limit in limits.items() if limit is not None
        }
        return self._number(python.__name__, given)

    def _number(self, python: str, limits: Mapping[str, float]) -> str:
        name = python.capitalize() + "".join(
            {"ge": "From", "le": "To"}[key] + re.sub(r"\W", "_", f"{limit:g}")
            for key, limit in limits.items()
        )
        if python == "int":
            name = name if limits else "Int64"
            return self._constrained(name, python, {**INT64, **limits})
        return self._constrained(name, python, limits) if limits else python

    def _constrained(
        self, alias: str, python: str, limits: Mapping[str, float | None]
    ) -> str:
        given = ", ".join(f"{k}={v}" for k, v in limits.items() if v is not None)
        self.constrained[alias] = f"{alias} = Annotated[{python}, Meta({given})]"
        return alias


def generate(package: str) -> Written:
    """Return the modules of one version as they are to be committed."""
    types = Types()
    actions: dict[str, list[str | None]] = {}
    for path in sorted(schema_folder(package).iterdir(), key=lambda path: path.name):
        schema = cleaned(json.loads(path.read_text(encoding="utf-8-sig")))
        action = re.sub(r"(Request|Response)$", "", path.stem)
        is_response = path.stem.endswith("Response")
        name = action + ("Response" if is_response else "Request")
        types.add_message(name, schema)
        actions.setdefault(action, [None, None])[is_response] = name
    return Written(
        _package_text(package),
        _datatypes_text(package, types),
        _messages_text(package, types, actions),
    )


def schema_folder(package: str) -> Path:
    """Return where the ``ocpp`` package keeps the schemas of a version."""
    return Path(str(files("ocpp"))) / package / "schemas"


def cleaned(schema: Any) -> Any:
    """Return a schema without its prose and what validation does not ask for."""
    if isinstance(schema, list):
        return [cleaned(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: one for key, one in schema.items() if key not in NOT_IN_TYPES}
    names = {"properties", "definitions"} & kept.keys()
    return {
        key: {name: cleaned(one) for name, one in value.items()}
        if key in names
        else cleaned(value)
        for key, value in kept.items()
    }


def snake_case(name: str) -> str:
    """Return a name of the wire as Python writes it."""
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    parted = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", parted)
    return SNAKE_CASE.get(name, parted.lower())


def camel_case(name: str) -> str:
    """Return what ``rename="camel"`` makes of a name."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def capitalised(name: str) -> str:
    """Return the name of a type of which this is the member."""
    return name[:1].upper() + name[1:]


def _is_understood(schema: Schema, keys: set[str]) -> None:
    strange = schema.keys() - keys - {"additionalProperties"}
    if strange:
        raise ValueError(f"the generator does not know {sorted(strange)}")


def _head(package: str, what: str) -> str:
    return (
        f'"""{what} of OCPP {VERSIONS[package]}.\n\n'
        "Generated by ``python -m api.ocpp.generate``: change nothing here. From the\n"
        f"JSON schemas in ocpp {installed_version('ocpp')} on PyPI ({LICENCE}).\n"
        '"""\n'
    )


def _package_text(package: str) -> str:
    imported = f"from api.ocpp.{package}.messages import EXCHANGES\n"
    return _head(package, "Structs") + f'\n{imported}\n__all__ = ["EXCHANGES"]\n'


def _datatypes_text(package: str, types: Types) -> str:
    lines = [_literal(name, values) for name, values in types.enums.items()]
    names = sorted(types.constrained, key=_import_order)
    aliases = [types.constrained[name] for name in names]
    generic = ['T = TypeVar("T")'] if any("[T," in one for one in aliases) else []
    body = "\n".join(generic + aliases) + "\n\n" + "\n".join(lines) + "\n"
    body += "".join(_struct(*shape) for shape in types.shapes.items())
    return _head(package, "Datatypes") + _imports(body) + "\n" + body


def _messages_text(
    package: str, types: Types, actions: Mapping[str, list[str | None]]
) -> str:
    body = "".join(_struct(*message) for message in types.messages.items())
    body += "\n\nEXCHANGES: Final[Mapping[str, Exchange]] = {\n"
    for action, (request, response) in actions.items():
        start = f'    "{action}": Exchange('
        line = _fitting(
            f"{start}{request}, {response}),",
            f"{start}\n        {request}, {response}\n    ),",
            f"{start}\n        {request},\n        {response},\n    ),",
        )
        body += line + "\n"
    body += "}\n"
    known = [*types.enums, *types.shapes, *types.constrained]
    used = sorted(name for name in known if _mentions(body, name))
    names = "".join(f"    {name},\n" for name in sorted(used, key=_import_order))
    ours = f"from api.ocpp.{package}.datatypes import (\n{names})\n"
    return _head(package, "Messages") + _imports(body, ours) + body


def _imports(body: str, ours: str = "") -> str:
    lines = []
    for module, names in {
        "collections.abc": ("Mapping",),
        "datetime": ("datetime",),
        "typing": ("Annotated", "Final", "Literal", "TypeVar"),
    }.items():
        lines += _import(module, [name for name in names if _mentions(body, name)])
    outer = _import(
        "msgspec",
        [x for x in ("UNSET", "Meta", "UnsetType", "field") if _mentions(body, x)],
    )
    base = ["CustomData", "Exchange", "Opaque", "Wire", "check_tenths"]
    inner = _import("api.ocpp.wire", [x for x in base if _mentions(body, x)])
    groups = ["".join(lines), "".join(outer), ours + "".join(inner)]
    return "\n" + "\n".join(group for group in groups if group)


def _import(module: str, names: list[str]) -> list[str]:
    return [f"from {module} import {', '.join(names)}\n"] if names else []


def _import_order(name: str) -> tuple[bool, list[str | int]]:
    """Return the key of isort: constants first, numbers by their size."""
    parts = re.split(r"(\d+)", name.casefold())
    is_constant = name.isupper() and len(name) > 1
    return not is_constant, [int(part) if part.isdigit() else part for part in parts]


def _mentions(text: str, name: str) -> bool:
    return re.search(rf'(?<!["\w]){name}(?!["\w])', text) is not None


def _literal(name: str, values: tuple[str, ...]) -> str:
    quoted = [f'"{value}"' for value in values]
    inner = ", ".join(quoted)
    return _fitting(
        f"{name} = Literal[{inner}]",
        f"{name} = Literal[\n    {inner}\n]",
        f"{name} = Literal[\n" + "".join(f"    {one},\n" for one in quoted) + "]",
    )


def _fitting(*ways: str) -> str:
    """Return the first way whose lines are short enough, as ruff would, or the last."""
    for way in ways:
        if all(len(line) <= LINE_LENGTH for line in way.splitlines()):
            return way
    return ways[-1]


def _struct(name: str, fields: tuple[Field, ...]) -> str:
    lines = [f"\n\nclass {name}(Wire, frozen=True, kw_only=True):\n"]
    lines += [field.line() + "\n" for field in fields]
    in_tenths = [field.wire_name for field in fields if field.in_tenths]
    if in_tenths:
        lines += ["\n    def __post_init__(self) -> None:\n"]
        lines += [
            f'        check_tenths("{one}", self.{snake_case(one)})\n'
            for one in in_tenths
        ]
    if not fields:
        lines += ["    pass\n"]
    return "".join(lines)


def main() -> None:
    """Write the modules of all versions."""
    for package in VERSIONS:
        folder = Path(__file__).parent / package
        folder.mkdir(exist_ok=True)
        for name, text in generate(package).by_file():
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
