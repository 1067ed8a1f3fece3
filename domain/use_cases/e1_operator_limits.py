"""E1 An operator's own limit of an EVSE, for a while: one more that plans stay within.

It is a limit like those that stations tell of others, told of here. The station hears
of it by the ETPs that follow, so that no profile has to be written by hand. By
`shared_path`.
"""

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model.profile import POWER_LIMIT_W, PowerProfile
from domain.model.station_events import LimitReported
from domain.model.values import SECOND, Instant, iso_of
from domain.ports import Answer, Append, Batch, System
from domain.use_cases.shared_path import By, load_evse, record

# By which it is told from the limits of others.
OPERATOR = "operator"


class LimitEvse(msgspec.Struct, frozen=True, kw_only=True):
    """An EVSE is to give ``max_w`` at most until an instant; 0: until it is changed.

    ``max_w`` None: the limit is over.
    """

    evse_id: str
    max_w: int | None
    until_at: Instant = 0


def limit_evse(system: System, command: LimitEvse, by: By) -> Answer:
    """Record the limit; the one before ends with it."""

    def decide() -> Batch:
        data = load_evse(system, command.evse_id).commissioned
        if data is None:
            raise Refused(f"EVSE {command.evse_id} was never commissioned")
        profile = None if command.max_w is None else _profile(command, data.max_w, by)
        event = LimitReported(
            station_id=data.station_id,
            evse_id=command.evse_id,
            source=OPERATOR,
            profile=profile,
            is_over=profile is None,
        )
        # Where what holds for good stands: it is read again whenever it was told.
        stream = ids.station_stream(data.station_id)
        return Batch(appends=(Append(stream, (event,), by.at),))

    return record(system, by, command, decide)


def _profile(command: LimitEvse, evse_max_w: int, by: By) -> PowerProfile:
    assert command.max_w is not None
    if not 0 <= command.max_w < evse_max_w:
        raise InvalidValue(
            f"EVSE {command.evse_id}: {command.max_w} W is no limit below the "
            f"{evse_max_w} W that it gives at most"
        )
    start_at = by.at - by.at % SECOND
    if not command.until_at:
        return PowerProfile(start_at, ((0, command.max_w),))
    if command.until_at <= by.at:
        raise InvalidValue(
            f"EVSE {command.evse_id}: the limit is until {iso_of(command.until_at)}, "
            f"which is not after {iso_of(by.at)}"
        )
    ends_s = -(-(command.until_at - start_at) // SECOND)
    return PowerProfile(start_at, ((0, command.max_w), (ends_s, POWER_LIMIT_W)))
