"""Events of zones, stations and EVSEs (streams ``zone-``, ``station-``, ``evse-``)."""

import msgspec

from domain.model.values import Current, Event, Instant, Quality, Sealed

# So many pauses of an EV in a day are told apart.
MOST_PAUSES = 10


class ZoneDefined(Event, frozen=True):
    """A charging site zone (CSZ) was defined.

    ``safe_upper_w`` is the envelope [0, safe_upper_w] that holds where no PRE does,
    ``default_energy_wh`` and ``default_stay_s`` are what an EV needs that states none.
    An EV that resumed less than ``min_on_s`` ago, or was paused ``max_pauses`` times in
    a day, is not paused where its floor can be had.
    """

    zone_id: str
    name: str
    limit_w: int
    safe_upper_w: int
    min_plan_gap_s: int = 10
    reaction_time_s: int = 30
    default_energy_wh: int = 5_000
    default_stay_s: int = 7_200
    min_on_s: int = 0
    max_pauses: int = 4


class ZoneMembersChanged(Event, frozen=True):
    """The EVSEs that belong to the zone, from now on; the order is the planner's."""

    zone_id: str
    evse_ids: tuple[str, ...]


class ZoneLimitsChanged(Event, frozen=True):
    """The zone's own limit or its safe envelope changed."""

    zone_id: str
    limit_w: int
    safe_upper_w: int


class ZoneEnforcementChanged(Event, frozen=True):
    """How far a zone goes with an EVSE that does not follow a mandatory ETP.

    It may stop the transaction, and reset the EVSE (of OCPP 1.6: its whole station).
    Both end a driver's session.
    """

    zone_id: str
    may_stop: bool
    may_reset: bool


class ZoneDefaultsUnsafe(Event, frozen=True):
    """By their standing defaults the zone's EVSEs may draw more than its safe envelope.

    So it is until stations that are away are told less.
    """

    zone_id: str
    defaults_w: int
    safe_upper_w: int


class ZoneLearned(Event, frozen=True):
    """The loop learned what share of the stated energy cars take at this site.

    What share of a wish was taken is a fact of the past; the problem of a plan may only
    use it once it is in the ledger.
    """

    zone_id: str
    taken_per_stated_permille: int


class StationCommissioned(Event, frozen=True):
    """A charging station belongs to the zone and offers these EVSEs, from now on.

    ``is_registered``: it connects to us by itself.
    """

    station_id: str
    zone_id: str
    evse_ids: tuple[str, ...]
    is_registered: bool = False


class EvseCommissioned(Event, frozen=True):
    """An EVSE was commissioned with its limits.

    Below ``floor_w`` (6 A by IEC 61851, times phases and voltage) an EV draws nothing.
    """

    evse_id: str
    station_id: str
    zone_id: str
    current: Current
    phases: int
    voltage_v: int
    max_w: int
    floor_w: int
    v2g: bool = False
    min_w: int = 0


class EvseLimitsChanged(Event, frozen=True):
    """The EVSE's power limits changed."""

    evse_id: str
    max_w: int
    floor_w: int
    min_w: int = 0


class EvseReserved(Event, frozen=True):
    """The EVSE is kept for a session until the reservation's end."""

    evse_id: str
    session_id: str


class EvseOccupied(Event, frozen=True):
    """An EV is plugged; the session is the EVSE's one occupant."""

    evse_id: str
    session_id: str


class EvseVacated(Event, frozen=True):
    """The EV is unplugged."""

    evse_id: str
    session_id: str


class EvseBlocked(Event, frozen=True):
    """Nobody may use the EVSE until it is unblocked.

    One that is blocked for a safety issue (7.10) stays so until it was assessed safe.
    It may be blocked for both: by its operator, and for safety.
    """

    evse_id: str
    reason: str
    details: Sealed | None = None
    is_safety: bool = False


class EvseAssessed(Event, frozen=True):
    """Somebody assessed the safety of the EVSE (7.10); ``assessor`` is opaque."""

    evse_id: str
    is_safe: bool
    assessor: str
    notes: Sealed | None = None


class EvseUnblocked(Event, frozen=True):
    """The EVSE may be used again: neither its operator nor safety speaks against it."""

    evse_id: str
    reason: str


class EvseFactKept(Event, frozen=True):
    """A fact that no session has: kept with its quality and the rule it breaks."""

    evse_id: str
    what: str
    value: int
    rule: str
    quality: Quality


class EnergyWindow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Energy needed at least and taken at most until an instant [Wh]."""

    until_at: Instant
    lower_wh: int
    upper_wh: int


class ConstraintsSent(Event, frozen=True):
    """The RM was told power and energy constraints (E3 Info1).

    From ``from_at`` on the zone could draw ``lower_w`` to ``upper_w``, and would draw
    the energies of ``windows`` from then on.
    """

    zone_id: str
    constraints_id: str
    from_at: Instant
    lower_w: int
    upper_w: int
    windows: tuple[EnergyWindow, ...] = ()
