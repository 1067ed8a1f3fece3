"""Which rule a message broke, and the error code that tells its sender so.

The protocols name codes, not rules; what belongs to what is decided in ``CODES``.
"""

import re
from enum import Enum, auto
from typing import Final, Literal

import msgspec

Version = Literal["1.6", "2.0.1", "2.1"]

# Whose id could not be read is answered under this one (2.x; 1.6 has no word for it).
UNREAD_ID: Final = "-1"
# Of the text that goes with a CALLERROR.
DESCRIPTION_LENGTH: Final = 255


class Rule(Enum):
    """A rule that a message can break."""

    FRAME = auto()
    MESSAGE_ID = auto()
    MESSAGE_TYPE = auto()
    ACTION = auto()
    SIZE = auto()
    DEPTH = auto()
    JSON = auto()
    OBJECT = auto()
    UNKNOWN_MEMBER = auto()
    MISSING_MEMBER = auto()
    REPEATED_MEMBER = auto()
    ITEMS = auto()
    TYPE = auto()
    INSTANT = auto()
    LENGTH = auto()
    CHOICE = auto()
    RANGE = auto()
    STEP = auto()


# 1.6 says that a message of an unknown type is ignored: None, nothing is answered.
CODES: Final[dict[Rule, tuple[str | None, str]]] = {
    # rule: (1.6, 2.0.1 and 2.1)                    when
    # Not [type, id, ...] with as many elements as the type has.
    Rule.FRAME: ("FormationViolation", "RpcFrameworkError"),
    # Not a string, or longer than 36.
    Rule.MESSAGE_ID: ("FormationViolation", "RpcFrameworkError"),
    # A number that the version does not have (5 and 6 are of 2.1).
    Rule.MESSAGE_TYPE: (None, "MessageTypeNotSupported"),
    # A name that the version does not have.
    Rule.ACTION: ("NotImplemented", "NotImplemented"),
    # More bytes than we read.
    Rule.SIZE: ("FormationViolation", "FormatViolation"),
    # More levels than we follow.
    Rule.DEPTH: ("FormationViolation", "FormatViolation"),
    # The payload is not JSON or not UTF-8, though type and id could be read; NaN.
    Rule.JSON: ("FormationViolation", "FormatViolation"),
    # The payload is not an object.
    Rule.OBJECT: ("FormationViolation", "FormatViolation"),
    # A member that the schema does not have.
    Rule.UNKNOWN_MEMBER: ("FormationViolation", "FormatViolation"),
    # A member that the schema requires; a name twice in one object; fewer or more items
    # than the schema allows. (1.6 spells it so.)
    Rule.MISSING_MEMBER: (
        "OccurenceConstraintViolation",
        "OccurrenceConstraintViolation",
    ),
    Rule.REPEATED_MEMBER: (
        "OccurenceConstraintViolation",
        "OccurrenceConstraintViolation",
    ),
    Rule.ITEMS: ("OccurenceConstraintViolation", "OccurrenceConstraintViolation"),
    # Another JSON type than the schema's; a text where an instant is due.
    Rule.TYPE: ("TypeConstraintViolation", "TypeConstraintViolation"),
    Rule.INSTANT: ("TypeConstraintViolation", "TypeConstraintViolation"),
    # A value that the schema does not allow: too long a text, none of an enumeration,
    # out of range (infinities, too), not in steps of 0.1.
    Rule.LENGTH: ("PropertyConstraintViolation", "PropertyConstraintViolation"),
    Rule.CHOICE: ("PropertyConstraintViolation", "PropertyConstraintViolation"),
    Rule.RANGE: ("PropertyConstraintViolation", "PropertyConstraintViolation"),
    Rule.STEP: ("PropertyConstraintViolation", "PropertyConstraintViolation"),
}

# How msgspec, and the types of ``wire``, say it.
_SAID: Final = tuple(
    (re.compile(pattern), rule)
    for pattern, rule in (
        (r"Expected `object`, got `\w+`$", Rule.OBJECT),
        (r"Object contains unknown field", Rule.UNKNOWN_MEMBER),
        (r"Object missing required field", Rule.MISSING_MEMBER),
        (r"Expected `array` of length", Rule.ITEMS),
        (r"Expected `str` of length", Rule.LENGTH),
        (r"Expected `datetime` with a timezone", Rule.INSTANT),
        (r"Invalid RFC3339 encoded datetime", Rule.INSTANT),
        (r"Invalid enum value", Rule.CHOICE),
        (r"Expected `\w+` [<>]=? ", Rule.RANGE),
        (r"(Number|Integer value) out of range", Rule.RANGE),
        (r"Expected a multiple of", Rule.STEP),
        (r"More than \d+ levels deep", Rule.DEPTH),
        (r"Expected `\w+`", Rule.TYPE),
    )
)
_VALUE: Final = re.compile(r"(Invalid enum value) '.*'", re.DOTALL)


class Violation(Exception):
    """A message that breaks a rule of its protocol.

    ``message_type`` and ``message_id`` are those of the frame where they could be read.
    """

    def __init__(
        self,
        rule: Rule,
        description: str,
        message_type: int | None = None,
        message_id: str = UNREAD_ID,
    ) -> None:
        super().__init__(rule, description, message_type, message_id)
        self.rule = rule
        self.description = description[:DESCRIPTION_LENGTH]
        self.message_type = message_type
        self.message_id = message_id

    def __str__(self) -> str:
        return self.description

    def code(self, version: Version) -> str | None:
        """Return the error code to answer with, or None: it is ignored."""
        of_1_6, of_2 = CODES[self.rule]
        return of_1_6 if version == "1.6" else of_2


def described(error: msgspec.ValidationError) -> str:
    """Return what msgspec says is broken, without the value: it may be a token."""
    return _VALUE.sub(r"\1", str(error))


def rule_broken(error: msgspec.ValidationError) -> Rule:
    """Return which rule of a schema msgspec says is broken."""
    said = str(error)
    return next((rule for pattern, rule in _SAID if pattern.match(said)), Rule.TYPE)
