"""Events of PREs, plans, deliveries and samples."""

from domain.model.profile import Change, Etp, PowerProfile, PowerRangeEnvelope
from domain.model.values import Event


class PreReceived(Event, frozen=True):
    """The RM set a PRE (E4 Info1). From its start on it replaces what was there."""

    zone_id: str
    pre_id: str
    envelope: PowerRangeEnvelope
    mandatory: bool = False
    source: str = "rm"


class PreRevoked(Event, frozen=True):
    """The RM took a PRE back; the one before it holds, else the safe envelope."""

    zone_id: str
    pre_id: str


class PreFallbackBegan(Event, frozen=True):
    """No PRE covers the present: the zone's safe envelope holds."""

    zone_id: str


class PlanMade(Event, frozen=True):
    """A plan was made and applied: the ETPs that changed and the AETP after it.

    The problem is the pure function of the ledger up to ``seen_position`` and of
    ``planned_at``; ``problem_digest`` is its SHA-256. ``etps_changed`` hold from
    ``occurred_at``. ``aetp`` is the sum of the ETPs in force after it.

    What the PRE is worth (E3), as changes at whole seconds from the plan's own:
    ``pre_worth`` in thousandths of a Wh asked for that one more Wh of PRE would serve,
    ``pre_price`` in millionths of the currency that one more kWh would save. A plan
    ``is_certified`` when independent code found every rule kept; ``gap_ppm`` is how far
    at most a better plan's tiers could be, floors left out.
    """

    zone_id: str
    planned_at: int
    seen_position: int
    trigger: str
    status: str
    problem_digest: bytes
    etps_changed: tuple[Etp, ...]
    aetp: PowerProfile
    unserved_wh: int = 0
    pre_worth: tuple[Change, ...] = ()
    pre_price: tuple[Change, ...] = ()
    is_certified: bool = False
    gap_ppm: int = 0


class PlanSuperseded(Event, frozen=True):
    """A finished plan was not applied, and why; the next one is under way."""

    zone_id: str
    planned_at: int
    seen_position: int
    problem_digest: bytes
    reason: str


class EtpSent(Event, frozen=True):
    """An ETP went out to the station.

    ``number`` counts the deliveries of the EVSE, ``attempt`` the sendings of one.
    """

    evse_id: str
    number: int
    profile: PowerProfile
    attempt: int = 1
    mandatory: bool = False


class EtpAccepted(Event, frozen=True):
    """The station accepted: stored, not yet followed."""

    evse_id: str
    number: int


class EtpRefused(Event, frozen=True):
    """The station refused the ETP."""

    evse_id: str
    number: int
    reason: str


class EtpTimedOut(Event, frozen=True):
    """The station did not answer in time."""

    evse_id: str
    number: int


class EtpConfirmed(Event, frozen=True):
    """Two readings at the new value show that the ETP is followed."""

    evse_id: str
    number: int


class SamplesSealed(Event, frozen=True):
    """A partition of samples closed: its day, rows and chain head."""

    day: str
    rows: int
    head: bytes


class ReadingsTaken(Event, frozen=True):
    """Readings of one zone and group commit, column-wise (samples log).

    Columns are little-endian int32: index into ``evse_ids``, milliseconds since
    ``from_at``, power [W], import register [Wh].
    """

    zone_id: str
    from_at: int
    evse_ids: tuple[str, ...]
    evse_index: bytes
    offset_ms: bytes
    power_w: bytes
    register_wh: bytes


class MeasuresTaken(Event, frozen=True):
    """What else was measured in one zone and group commit, column-wise (samples log).

    ``names`` are measurand, phase, location and context, and the unit behind a space.
    Columns are little-endian int32: index into ``evse_ids``, into ``names``,
    milliseconds since ``from_at``; and int64: the value in thousandths of its unit.
    """

    zone_id: str
    from_at: int
    evse_ids: tuple[str, ...]
    names: tuple[str, ...]
    evse_index: bytes
    name_index: bytes
    offset_ms: bytes
    value_milli: bytes


class LogOpened(Event, frozen=True):
    """Row 0 of a log: its format, its random genesis and the node whose log it is."""

    log_id: str
    format: int
    genesis: bytes
    kind: str = "ledger"


class SubjectErased(Event, frozen=True):
    """The key of a subject was destroyed; nothing of the subject is named here."""

    key_id: str
