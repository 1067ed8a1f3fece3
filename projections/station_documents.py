"""What is known of a station: as operators see it, and what that is made of."""

from typing import Any, TypeVar

import msgspec

from domain.model import plan_events as p
from domain.model import station_events as t
from domain.model.profile import PowerProfile
from domain.model.values import Event, Instant

CONNECTED, DISCONNECTED = "connected", "disconnected"
STANDINGS = ("unregistered", "pending", "accepted", "blocked", "retired")

# Different rules that are counted of a station; what comes beyond counts as one.
_RULES_COUNTED = 32
_BEYOND = "other"
# Connectors, alerts, limits and transactions that are shown of a station.
_MOST = 400


class Capabilities(msgspec.Struct, array_like=True, frozen=True):
    """What a station says it can do; what it did not say is the weakest."""

    has_smart_charging: bool
    unit: str
    max_periods: int
    decimals: int
    max_stack_level: int
    can_switch_phases: bool
    measurands: tuple[str, ...]
    start_points: tuple[str, ...]
    stop_points: tuple[str, ...]
    reading_every_s: int


class Connector(msgspec.Struct, array_like=True, frozen=True):
    """The state of a connector, as the station's protocol names it."""

    evse_number: int
    connector: int
    status: str
    error_code: str
    info: str
    reported_at: Instant


class OpenAlert(msgspec.Struct, array_like=True, frozen=True):
    """A variable of a component that is out of bounds; EVSE 0 is the station."""

    evse_number: int
    component: str
    variable: str
    value: str
    severity: int | None
    info: str
    reported_at: Instant


class OpenTransaction(msgspec.Struct, array_like=True):
    """A transaction of the station's own that has not ended."""

    transaction_id: str
    evse_id: str = ""
    state: str = ""
    started_at: Instant | None = None
    session_id: str = ""


class ReportedLimit(msgspec.Struct, array_like=True, frozen=True):
    """A limit that somebody else set; of the whole station where no EVSE is named."""

    evse_id: str
    source: str
    profile: PowerProfile | None
    is_grid_critical: bool
    reported_at: Instant


class OpenActivity(msgspec.Struct, array_like=True):
    """Work with the station that has not ended."""

    activity_id: str
    kind: str
    evse_id: str
    session_id: str
    asked_at: Instant
    due_at: Instant
    step: str = ""


class EvseDelivery(msgspec.Struct, array_like=True):
    """The ETPs of an EVSE, counted, and whether it follows them.

    ``followed`` are those accepted that no reading spoke against, ``confirmed`` those
    that readings showed to be followed before their settle time had passed;
    ``not_followed`` is how often the EVSE was found to draw more, ``power_w`` what it
    drew then. ``is_following`` is null while nothing was measured that tells. Where the
    station said what it will allow, and it was not what we believed, the last time is
    ``expected_w`` and ``allowed_w``. ``is_operative`` is what the station took in of
    being used; ``last_...`` are numbers of ETPs.
    """

    evse_id: str
    number: int = 0
    sent: int = 0
    accepted: int = 0
    followed: int = 0
    confirmed: int = 0
    refused: int = 0
    timed_out: int = 0
    superseded: int = 0
    not_followed: int = 0
    is_following: bool | None = None
    following_since_at: Instant | None = None
    power_w: int | None = None
    settle_s: int | None = None
    compared_otherwise: int = 0
    expected_w: int | None = None
    allowed_w: int | None = None
    is_operative: bool = True
    last_accepted: int = 0
    last_not_followed: int = 0


class Station(msgspec.Struct, array_like=True):
    """A station as it stands.

    ``reason`` is why it is blocked or retired. ``heard_at`` is when it last said what
    is recorded; heartbeats and readings are not. Counts are by rule broken
    (``refusals`` of ETPs and ``unreadable`` messages), action (``unasked``) or
    deviation (``tolerated``); ``messages_beyond`` are more than are kept.
    ``is_operative`` is whether its operator has it in use, as it took that in.
    """

    station_id: str
    zone_id: str = ""
    identity: str = ""
    standing: str = STANDINGS[0]
    reason: str = ""
    security_profile: int | None = None
    certificate_name: str = ""
    via: str = ""
    deviations: tuple[str, ...] = ()
    connection: str = DISCONNECTED
    connection_since_at: Instant | None = None
    connection_reason: str = ""
    version: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    serial_number: str = ""
    booted_at: Instant | None = None
    boot_reason: str = ""
    heard_at: Instant | None = None
    clock_offset_ms: int | None = None
    capabilities: Capabilities | None = None
    default_w: int | None = None
    maximum_w: int | None = None
    evses: list[EvseDelivery] = []
    connectors: list[Connector] = []
    transactions: list[OpenTransaction] = []
    limits: list[ReportedLimit] = []
    alerts: list[OpenAlert] = []
    activities: list[OpenActivity] = []
    refusals: dict[str, int] = {}
    unreadable: dict[str, int] = {}
    unasked: dict[str, int] = {}
    tolerated: dict[str, int] = {}
    messages_beyond: int = 0
    is_operative: bool = True


class StationDocument(msgspec.Struct, array_like=True):
    """A station and what its lists are made of, by key."""

    station_id: str
    station: Station = msgspec.field(default_factory=lambda: Station(""))
    blocked: str = ""
    retired: str = ""
    evse_ids: tuple[str, ...] = ()
    evses: dict[str, EvseDelivery] = {}
    connectors: dict[str, Connector] = {}
    # By stream: a station may name one only later than it began.
    transactions: dict[str, OpenTransaction] = {}
    limits: dict[str, ReportedLimit] = {}
    alerts: dict[str, OpenAlert] = {}
    activities: dict[str, OpenActivity] = {}
    ended: list[str] = []

    def __post_init__(self) -> None:
        self.station.station_id = self.station_id

    def shown(self) -> Station:
        """Return the station with its standing and its lists."""
        station = self.station
        station.standing = standing_of(self)
        station.reason = self.retired or self.blocked
        for number, evse_id in enumerate(self.evse_ids, 1):
            self.evse(evse_id).number = number
        station.evses = sorted(self.evses.values(), key=lambda e: (e.number, e.evse_id))
        station.connectors = [self.connectors[key] for key in sorted(self.connectors)]
        station.transactions = list(self.transactions.values())
        station.limits = [self.limits[key] for key in sorted(self.limits)]
        station.alerts = [self.alerts[key] for key in sorted(self.alerts)]
        station.activities = list(self.activities.values())
        return station

    def evse(self, evse_id: str) -> EvseDelivery:
        """Return what was delivered to an EVSE."""
        found = self.evses.get(evse_id)
        if found is None:
            found = self.evses[evse_id] = EvseDelivery(evse_id)
        return found


def standing_of(document: StationDocument) -> str:
    """Return how a station stands, as `STANDINGS` names it."""
    if document.retired:
        return "retired"
    if document.blocked:
        return "blocked"
    if not document.station.identity:
        return "unregistered"
    return "accepted" if document.evse_ids else "pending"


Reported = TypeVar("Reported", Connector, OpenAlert, ReportedLimit)


def report(
    entries: dict[str, Reported], key: str, entry: Reported, *, is_over: bool = False
) -> None:
    """Put what was reported in the place of what is older, or end that."""
    known = entries.get(key)
    if known is not None and known.reported_at > entry.reported_at:
        return
    entries.pop(key, None)
    if not is_over:
        entries[key] = entry
        drop_beyond(entries)


def drop_beyond(entries: dict[str, Any]) -> None:
    """Drop the first of too many: a station may tell of ever new things."""
    if len(entries) > _MOST:
        del entries[next(iter(entries))]


def count(counts: dict[str, int], rule: str, times: int = 1) -> None:
    """Count a rule; of too many different ones the new are counted together."""
    if rule not in counts and len(counts) >= _RULES_COUNTED:
        rule = _BEYOND
    counts[rule] = counts.get(rule, 0) + times


def deliver(evse: EvseDelivery, event: Event, at: Instant) -> None:
    """Take in what became of an ETP of the EVSE."""
    match event:
        case p.EtpSent():
            evse.sent += 1
        case p.EtpAccepted():
            evse.accepted += 1
            evse.followed += 1
            evse.last_accepted = event.number
        case p.EtpConfirmed():
            evse.confirmed += 1
            _follow(evse, True, at)
        case p.EtpRefused():
            evse.refused += 1
        case p.EtpTimedOut():
            evse.timed_out += 1
        case t.EtpSuperseded():
            evse.superseded += 1
        case t.EtpNotFollowed():
            # It is told again when it draws something else, and once a day.
            evse.not_followed += evse.is_following is not False
            if event.number == evse.last_accepted != evse.last_not_followed:
                evse.followed -= 1
                evse.last_not_followed = event.number
            evse.power_w = event.power_w
            _follow(evse, False, at)
        case t.EtpFollowedAgain():
            _follow(evse, True, at)
        case t.ScheduleCompared():
            evse.compared_otherwise += 1
            evse.expected_w, evse.allowed_w = event.expected_w, event.allowed_w


def _follow(evse: EvseDelivery, is_following: bool, at: Instant) -> None:
    if evse.is_following is not is_following:
        evse.is_following, evse.following_since_at = is_following, at
