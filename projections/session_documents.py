"""What is known of a service session, in short."""

import msgspec

from domain.model.session_events import NeedsStated
from domain.model.values import Instant


class Session(msgspec.Struct, array_like=True):
    """A service session in short.

    ``state`` is ``open``, ``closed`` or ``merged``. ``party`` brought the first
    transaction; ``parties`` are all who take part, by that or by a reference.
    ``energy_wh`` is what the last usable reading or the end of the transfer says,
    ``metered_wh`` the sum of usable metered intervals. ``opened_at`` is the first that
    is known of the session while its opening is not.
    """

    session_id: str
    state: str = "open"
    party: str = ""
    parties: tuple[str, ...] = ()
    subject_id: str = ""
    zone_id: str = ""
    station_id: str = ""
    evse_id: str = ""
    opened_at: Instant = 0
    released_at: Instant | None = None
    closed_at: Instant | None = None
    close_reason: str = ""
    merged_into: str = ""
    merged_from: tuple[str, ...] = ()
    needs: NeedsStated | None = None
    transferring: bool = False
    energy_wh: int = 0
    metered_wh: int = 0
    power_w: int | None = None
    limit_w: int | None = None
    suspended_by_ev: bool = False
    observed_at: Instant | None = None
    has_v2g_consent: bool = False
    safety_issue: str = ""
