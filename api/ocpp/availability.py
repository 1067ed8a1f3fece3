"""ChangeAvailability of all versions: an EVSE, or the whole station (0)."""

from typing import Any

from msgspec import UNSET

from api.ocpp.v2 import V2_TYPES
from api.ocpp.v16 import messages as m16
from api.ocpp.violations import Version
from api.ocpp.wire import Wire


def availability_request(
    version: Version, evse_number: int, is_operative: bool
) -> Wire:
    """Return what tells a station that something is to be of use, or is not to be."""
    status: Any = "Operative" if is_operative else "Inoperative"
    if version == "1.6":
        return m16.ChangeAvailabilityRequest(connector_id=evse_number, type=status)
    messages, types = V2_TYPES[version]
    request: Wire = messages.ChangeAvailabilityRequest(
        operational_status=status,
        evse=types.EVSE(id=evse_number) if evse_number else UNSET,
    )
    return request
