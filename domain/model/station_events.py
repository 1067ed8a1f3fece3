"""Events of charging stations as the gateway meets them (IEC 63110-1 7.3, 7.5, 8.2.3).

Streams: ``station-<id>`` (who it is, what it can do), ``connectivity-<id>-<month>``
(what it told of itself), ``transaction-<key>`` (what it told of one of its own
transactions) and ``delivery-<id>-<day>`` (whether it follows). How long its EVs take to
follow is what it can do.

A station's transaction is a source of facts among several. The transactions of the
standard are ours, in ``session-<id>``.
"""

import msgspec

from domain.model.metering import MeterPoint
from domain.model.profile import PowerProfile
from domain.model.values import Event, Instant, Quality, Sealed


class StationRegistered(Event, frozen=True):
    """A station may connect under ``identity``, with a password or a certificate.

    ``security_profile`` is 1 (password on a trusted network), 2 (password over TLS) or
    3 (client certificate with the name ``certificate_name``). Only the SHA-256 of the
    password is kept. ``via`` names the local controller that carries it; empty: none.
    ``deviations`` are those of its model that are tolerated.
    """

    station_id: str
    identity: str
    security_profile: int
    password_digest: bytes = b""
    certificate_name: str = ""
    via: str = ""
    deviations: tuple[str, ...] = ()


class StationCredentialChanged(Event, frozen=True):
    """From now on the station proves itself by this."""

    station_id: str
    security_profile: int
    password_digest: bytes = b""
    certificate_name: str = ""


class StationPasswordOffered(Event, frozen=True):
    """The station is being told a new password: until it took it, both hold."""

    station_id: str
    password_digest: bytes


class StationPasswordWithdrawn(Event, frozen=True):
    """The station did not take a password that it was told."""

    station_id: str
    password_digest: bytes


class StationReservationDropped(Event, frozen=True):
    """The station keeps a place no more, by its own account; ours still holds."""

    station_id: str
    session_id: str
    number: int
    status: str


class StationDeviationsChanged(Event, frozen=True):
    """From now on these deviations from its protocol are tolerated."""

    station_id: str
    deviations: tuple[str, ...]


class StationBlocked(Event, frozen=True):
    """The station is rejected when it boots, until it is unblocked."""

    station_id: str
    reason: str


class StationUnblocked(Event, frozen=True):
    """The station is accepted again."""

    station_id: str
    reason: str


class StationRetired(Event, frozen=True):
    """The station is out of service for good."""

    station_id: str
    reason: str


class StationCapabilities(Event, frozen=True):
    """What the station says it can do; what it did not say is the weakest.

    ``decimals`` of limits; ``measurands`` it reports; ``start_points`` and
    ``stop_points`` are when its transactions begin and end (2.x). ``firmware`` is that
    with which it said so, ``refused`` are the variables that it would not have set, and
    ``evse_phases`` are what it says of its EVSEs, 0 where it says nothing.
    """

    station_id: str
    version: str
    has_smart_charging: bool = True
    unit: str = "A"
    max_periods: int = 1
    decimals: int = 0
    max_stack_level: int = 0
    can_switch_phases: bool = False
    measurands: tuple[str, ...] = ()
    start_points: tuple[str, ...] = ()
    stop_points: tuple[str, ...] = ()
    reading_every_s: int = 0
    firmware: str = ""
    refused: tuple[str, ...] = ()
    needs_reboot: bool = False
    evse_phases: tuple[int, ...] = ()


class Contradiction(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a station tells of an EVSE, and what it was commissioned with."""

    evse_number: int
    component: str
    variable: str
    told: str
    commissioned: str


class StationEvsesTold(Event, frozen=True):
    """What the station says of its EVSEs, in their order, and what that comes to.

    ``power_w`` is the most that each gives [W], ``phases`` those it is supplied by; 0
    where it says nothing. ``connectors`` are their types, spaces between. ``limits_w``
    are powers below those of the commissioning; 0: none.
    """

    station_id: str
    power_w: tuple[int, ...] = ()
    phases: tuple[int, ...] = ()
    connectors: tuple[str, ...] = ()
    limits_w: tuple[int, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()


class StationDefaultsInstalled(Event, frozen=True):
    """The station stored its standing profiles: ``default_w`` of each EVSE [W].

    ``maximum_w`` is what no other profile of the station goes beyond; None: not set.
    """

    station_id: str
    default_w: int
    maximum_w: int | None = None


class StationDefaultsRefused(Event, frozen=True):
    """The station did not store its standing profiles, and why."""

    station_id: str
    reason: str


class StationConnected(Event, frozen=True):
    """The station connected, speaking ``version``."""

    station_id: str
    version: str
    security_profile: int


class StationDisconnected(Event, frozen=True):
    """The station's connection ended."""

    station_id: str
    reason: str


class StationBooted(Event, frozen=True):
    """The station booted and was answered with ``status``."""

    station_id: str
    status: str
    reason: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    serial_number: str = ""


class StationStatusReported(Event, frozen=True):
    """The state of a connector, as its protocol names it; EVSE 0 is the station."""

    station_id: str
    evse_number: int
    connector: int
    status: str
    error_code: str = ""
    info: str = ""


class StationAlertReported(Event, frozen=True):
    """A variable of a component is out of bounds, or no more (``is_cleared``).

    ``severity`` is 0 (danger) to 9, None where the protocol has none; EVSE 0 is the
    station.
    """

    station_id: str
    evse_number: int
    component: str
    variable: str
    value: str
    severity: int | None = None
    is_cleared: bool = False
    info: str = ""


class StationAvailabilityChanged(Event, frozen=True):
    """The station took in that an EVSE is to be of use, or is not to be."""

    station_id: str
    evse_id: str
    is_operative: bool


class StationUseChanged(Event, frozen=True):
    """The station took in what its operator takes out of use, or puts to use.

    An empty ``evse_id`` is the whole station. It holds over reboots; what somebody
    charges on goes out of use afterwards.
    """

    station_id: str
    evse_id: str
    is_operative: bool


class StationMessagesCounted(Event, frozen=True):
    """So many more messages than are kept of a station in an hour came since."""

    station_id: str
    count: int
    from_at: Instant


class StationClockMeasured(Event, frozen=True):
    """The station's clock less ours [ms], when it changed by more than a second."""

    station_id: str
    offset_ms: int


class StationMessageKept(Event, frozen=True):
    """A message that is kept as it came, sealed: unreadable, or nobody asked for it.

    ``rule`` is what an unreadable one breaks.
    """

    station_id: str
    action: str
    quality: Quality
    rule: str = ""
    payload: Sealed | None = None


class StationDeviationTolerated(Event, frozen=True):
    """How often a deviation was tolerated since ``from_at``."""

    station_id: str
    deviation: str
    count: int
    from_at: Instant


class LimitReported(Event, frozen=True):
    """Somebody else limits what the station gives (EMS, SO, the station's own app).

    An empty ``evse_id`` is the whole station. ``profile`` is None where the limit is
    over, and where its source names no value.
    """

    station_id: str
    evse_id: str
    source: str
    profile: PowerProfile | None = None
    is_grid_critical: bool = False
    is_over: bool = False


class StationTransactionReported(Event, frozen=True):
    """One message of a station about one of its own transactions.

    ``kind`` is ``started``, ``updated`` or ``ended``; ``seq_no`` its number in the
    transaction (2.x), None where the protocol has none; ``seen`` are ranges of those
    before it that held readings only and went to the loop. ``state`` is ``connected``,
    ``charging``, ``suspended-ev``, ``suspended-evse``, ``idle`` or empty;
    ``is_unplugged``: the cable is out. ``credential`` seals the token of
    ``subject_id``; ``party`` and what follows name a reference that came with it.
    ``last_wh`` is the import register read before, where it tells none or a lower one.
    ``connector`` is that of the EVSE, 0 where the message names none.

    ``quality``: what was news led the live state, what is late is for the books only.
    """

    station_id: str
    evse_id: str
    transaction_id: str
    kind: str
    seq_no: int | None = None
    seen: tuple[tuple[int, int], ...] = ()
    trigger: str = ""
    state: str = ""
    is_offline: bool = False
    is_unplugged: bool = False
    points: tuple[MeterPoint, ...] = ()
    last_wh: int | None = None
    reason: str = ""
    subject_id: str = ""
    credential: Sealed | None = None
    party: str = ""
    reference_kind: str = ""
    reference: str = ""
    quality: Quality = Quality.GOOD
    connector: int = 0


class StationTransactionBound(Event, frozen=True):
    """The station's transaction is this service session's, and at its EVSE now.

    ``is_plug``: with it the EV came. ``is_settled``: it is in the session's books
    only, as it was told late.
    """

    station_id: str
    transaction_id: str
    session_id: str
    evse_id: str = ""
    is_plug: bool = False
    is_settled: bool = False


class StationTransactionGap(Event, frozen=True):
    """Messages ``from_seq_no`` to ``until_seq_no`` did not come, and will not."""

    station_id: str
    transaction_id: str
    from_seq_no: int
    until_seq_no: int


class EtpSuperseded(Event, frozen=True):
    """A newer ETP took the place of one that had not left yet."""

    evse_id: str
    number: int
    by_number: int


class EtpNotFollowed(Event, frozen=True):
    """After its settle time the EVSE draws more than its ETP says.

    Again when it draws something else, and once a day.
    """

    evse_id: str
    number: int
    power_w: int


class EtpFollowedAgain(Event, frozen=True):
    """The EVSE draws no more than its ETP again."""

    evse_id: str
    number: int


class SettleLearned(Event, frozen=True):
    """EVs at this EVSE take so long to follow a decrease [s]."""

    station_id: str
    evse_id: str
    settle_s: int


class ScheduleCompared(Event, frozen=True):
    """What the station says it will allow, where it is not what we believe [W]."""

    evse_id: str
    number: int
    expected_w: int
    allowed_w: int
