"""What the generated structs are made of: the base, and JSON that no schema bounds.

The structs of ``v16``, ``v201`` and ``v21`` carry the names of the wire in snake case.
A member that may be missing is ``UNSET`` when it is: no schema allows null, and a
missing member is never written. Instants are aware ``datetime``.
"""

from typing import Any, Final, NamedTuple

import msgspec

# Arrays and objects that may lie in one another where the schemas say nothing.
OPAQUE_DEPTH: Final = 32
VENDOR_ID_LENGTH: Final = 255


class Wire(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
    gc=False,
):
    """A payload or a part of one."""


class Exchange(NamedTuple):
    """What an action asks, and what answers it; nothing answers a SEND."""

    request: type[Wire]
    response: type[Wire] | None


class Opaque:
    """JSON of which the protocol says nothing: the data of a 2.x DataTransfer."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        if _is_deeper(value, OPAQUE_DEPTH):
            raise ValueError(f"More than {OPAQUE_DEPTH} levels deep")
        self.value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash(msgspec.json.encode(self.value, order="sorted"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class CustomData(Opaque):
    """A vendor's own members (2.x): an object that names the vendor."""

    __slots__ = ()

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValueError("Expected `object`")
        if "vendorId" not in value:
            raise ValueError("Object missing required field `vendorId`")
        vendor_id = value["vendorId"]
        if not isinstance(vendor_id, str):
            raise ValueError("Expected `str` as `vendorId`")
        if len(vendor_id) > VENDOR_ID_LENGTH:
            raise ValueError(f"Expected `str` of length <= {VENDOR_ID_LENGTH}")
        super().__init__(value)

    @property
    def vendor_id(self) -> str:
        """Return whose members these are."""
        return str(self.value["vendorId"])


def opened(kind: type[Any], value: Any) -> Any:
    """Make what msgspec cannot: its ``dec_hook``."""
    return kind(value)


def closed(value: Any) -> Any:
    """Write what msgspec cannot: its ``enc_hook``."""
    if isinstance(value, Opaque):
        return value.value
    raise NotImplementedError(f"{type(value).__name__} has no JSON")


def check_tenths(wire_name: str, number: float | msgspec.UnsetType) -> None:
    """Refuse a number with more than one decimal, as 1.6 does of limits."""
    if number is not msgspec.UNSET and round(number, 1) != number:
        raise ValueError(f"Expected a multiple of 0.1 as `{wire_name}`")


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in inner)
