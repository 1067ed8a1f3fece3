"""Errors of the domain.

::

    DomainError
    ├── Refused                 a command that breaks a rule; nothing was recorded
    │   ├── Unknown             a zone, station, EVSE or session nobody commissioned
    │   ├── InvalidValue        a value against its grammar, range or unit
    │   └── Occupied            an EVSE that already has another occupant
    ├── Conflict                somebody else decided in that stream first
    │   ├── ClaimTaken          a key that must be unique belongs to another
    │   └── Fenced              this writer no longer owns the zone
    ├── RequestMismatch         a command id used again for another request
    └── StoreError
        ├── StoreFull           the disk or the page limit is exhausted
        ├── StoreInUse          another process writes to this store
        ├── WrongMasterKey      the vault was made under another master key
        ├── UnknownSchema       a type name or schema version this release cannot read
        └── ChainBroken         a row that is not the one that was written
"""


class DomainError(Exception):
    """Root of everything the domain raises on purpose."""


class Refused(DomainError):
    """A command breaks a rule. The message names the value and the rule."""


class Unknown(Refused):
    """A zone, station, EVSE or session that nobody commissioned or opened."""


class InvalidValue(Refused):
    """A value against its grammar, range or unit."""


class Occupied(Refused):
    """The EVSE already has an occupant."""


class Conflict(DomainError):
    """The stream moved on since it was read; load again and decide again.

    ``version`` is that of its last decision now, where the conflict is about one.
    """

    def __init__(self, message: str, version: int | None = None) -> None:
        super().__init__(message)
        self.version = version


class ClaimTaken(Conflict):
    """A key that must be unique already belongs to another owner."""


class Fenced(Conflict):
    """The writer's ownership epoch is not the one in force."""


class RequestMismatch(DomainError):
    """A command id was used before, for a request with another content."""


class StoreError(DomainError):
    """The store cannot do its work."""


class StoreFull(StoreError):
    """No room is left; the append left nothing behind."""


class StoreInUse(StoreError):
    """Another process is the writer of this store."""


class WrongMasterKey(StoreError):
    """The store's vault was made under another master key."""


class UnknownSchema(StoreError):
    """A row has a type or schema version this release cannot read."""


class ChainBroken(StoreError):
    """A stored row is not the row that was written."""
