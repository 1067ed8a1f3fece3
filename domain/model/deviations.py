"""Deviations of stations from their protocol that an operator may tolerate.

A closed list: what is not here is refused as the protocol says. Each is a setting of a
station, and each use is counted (`station.deviation_tolerated`).
"""

import enum

from domain.errors import InvalidValue


class Deviation(enum.StrEnum):
    """What a station does otherwise than its protocol says."""

    INSTANT_WITHOUT_OFFSET = "instant-without-offset"
    NULL_MEMBER = "null-member"
    UNKNOWN_MEMBER = "unknown-member"
    NUMBER_AS_TEXT = "number-as-text"
    BOOLEAN_AS_TEXT = "boolean-as-text"


EXPLAINED = {
    Deviation.INSTANT_WITHOUT_OFFSET: "an instant without an offset is one in UTC",
    Deviation.NULL_MEMBER: "a member that is null is one that was left out",
    Deviation.UNKNOWN_MEMBER: "a member that the schema does not have is left out",
    Deviation.NUMBER_AS_TEXT: "a number in quotation marks is that number",
    Deviation.BOOLEAN_AS_TEXT: "true and false in quotation marks are true and false",
}


def deviations_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return deviations, each once and in order; refuse one that is not of the list."""
    known = [deviation.value for deviation in Deviation]
    for name in names:
        if name not in known:
            raise InvalidValue(
                f"deviation {name[:50]!r} is not one of {', '.join(known)}"
            )
    return tuple(name for name in known if name in names)
