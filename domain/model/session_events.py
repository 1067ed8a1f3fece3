"""Events of a service session (stream ``session-<id>``), IEC 63110-1 3.1.40, 6.2.

A *transaction* of the standard is one event here: authorization, reservation, parking,
energy transfer and other transactions each make up the session of their kind.
"""

from domain.model.profile import PowerProfile
from domain.model.values import Event, Instant, Quality, Sealed


class SessionOpened(Event, frozen=True):
    """A service session began with its first transaction, brought by ``party``."""

    session_id: str
    party: str
    subject_id: str = ""


class ReferenceBound(Event, frozen=True):
    """A reference of another party (CSO, parking operator) stands for this session."""

    session_id: str
    party: str
    kind: str
    reference: str


class EvseBound(Event, frozen=True):
    """The session takes place at this EVSE."""

    session_id: str
    evse_id: str
    station_id: str
    zone_id: str


class EvseReleased(Event, frozen=True):
    """The session left its EVSE."""

    session_id: str
    evse_id: str


class MergedInto(Event, frozen=True):
    """The session proved to be a part of ``into_session_id``."""

    session_id: str
    into_session_id: str


class SessionClosed(Event, frozen=True):
    """The service session ended with its last transaction."""

    session_id: str
    reason: str


class AuthorizationRequested(Event, frozen=True):
    """Credentials were presented; ``credential`` seals token or EMAID.

    ``zone_id`` and ``station_id`` are where the EVSE is, or, with an empty ``evse_id``,
    where they were presented before an EVSE was chosen.
    """

    session_id: str
    evse_id: str
    subject_id: str
    credential: Sealed | None = None
    zone_id: str = ""
    station_id: str = ""


class AuthorizationAccepted(Event, frozen=True):
    """An SA authorized the EV user."""

    session_id: str
    by: str


class AuthorizationRefused(Event, frozen=True):
    """An SA refused; a negative authorization is a transaction too."""

    session_id: str
    by: str
    reason: str


class AuthorizationEnded(Event, frozen=True):
    """The authorization no longer holds."""

    session_id: str


class ReservationMade(Event, frozen=True):
    """A place is kept from ``from_at`` to ``until_at`` at an EVSE, station or class.

    Exactly one of ``evse_id``, ``station_id`` and ``evse_class`` is given; a class is a
    kind of current in a zone: ``<zone>/AC``. ``zone_id`` is where that is.
    ``credential`` seals the token of ``subject_id``, which its station is told, and
    ``token_kind`` says what it is.
    """

    session_id: str
    from_at: Instant
    until_at: Instant
    evse_id: str = ""
    station_id: str = ""
    evse_class: str = ""
    zone_id: str = ""
    subject_id: str = ""
    token_kind: str = ""
    credential: Sealed | None = None


class ReservationChanged(Event, frozen=True):
    """The contract of the reservation changed its time."""

    session_id: str
    from_at: Instant
    until_at: Instant


class ReservationAnswered(Event, frozen=True):
    """What its station says to a reservation: it keeps the place, or why it does not.

    The reservation stays, whatever that is.
    """

    session_id: str
    station_id: str
    is_kept: bool
    reason: str


class ReservationMatched(Event, frozen=True):
    """The EV user with the reservation arrived."""

    session_id: str


class ReservationEnded(Event, frozen=True):
    """The reservation is over: used, cancelled or expired."""

    session_id: str
    reason: str


class MergedFrom(Event, frozen=True):
    """``from_session_id`` proved to be a part of this session (3.1.40.6).

    What of it was still open goes on here: its subject and authorization, the
    credentials presented as (place, subject), the EVSE one waits at, reservation,
    parkings and other services. EVSE, references and needs follow as events.
    """

    session_id: str
    from_session_id: str
    subject_id: str = ""
    authorized: bool = False
    presented: tuple[tuple[str, str], ...] = ()
    waiting_at: str = ""
    reservation: ReservationMade | None = None
    parking: int = 0
    other: tuple[str, ...] = ()
    parties: tuple[str, ...] = ()


class ParkingStarted(Event, frozen=True):
    """A parking operator says that parking began at ``place``."""

    session_id: str
    place: str = ""


class ParkingEnded(Event, frozen=True):
    """A parking operator says that parking ended."""

    session_id: str


class OtherStarted(Event, frozen=True):
    """An additional service (valet, washing, ...) began."""

    session_id: str
    service: str


class OtherEnded(Event, frozen=True):
    """An additional service ended."""

    session_id: str
    service: str


class NeedsStated(Event, frozen=True):
    """E-mobility needs (3.1.17): departure and energies, all from the arrival on [Wh].

    ``source`` is ``user``, ``ev`` where the EV itself told them (ISO 15118), or
    ``default`` where neither did.
    ``cost_limit_minor`` is the most that the user wants to pay (7.4), in minor units
    (cents) of ``currency`` (ISO 4217).
    """

    session_id: str
    departure_at: Instant
    energy_target_wh: int
    energy_min_wh: int = 0
    energy_max_wh: int | None = None
    source: str = "user"
    cost_limit_minor: int | None = None
    currency: str = ""


class V2gConsented(Event, frozen=True):
    """The EV user lets the site take energy from the EV, under a contract.

    Never below ``energy_min_wh`` in the EV's favour, counted from the arrival on.
    """

    session_id: str
    contract: str
    energy_min_wh: int = 0


class V2gWithdrawn(Event, frozen=True):
    """The EV user no longer lets the site take energy from the EV."""

    session_id: str


class TransferStarted(Event, frozen=True):
    """Energy transfer began; the import register stood at ``register_wh``."""

    session_id: str
    evse_id: str
    register_wh: int = 0
    quality: Quality = Quality.GOOD


class TransferPaused(Event, frozen=True):
    """The EV or the EVSE paused (``by`` is ``ev`` or ``evse``)."""

    session_id: str
    by: str
    quality: Quality = Quality.GOOD


class TransferResumed(Event, frozen=True):
    """Energy flows again after a pause."""

    session_id: str
    quality: Quality = Quality.GOOD


class TransferEnded(Event, frozen=True):
    """Energy transfer ended with ``energy_wh`` transferred in all."""

    session_id: str
    energy_wh: int
    reason: str
    quality: Quality = Quality.GOOD


class TransferModeChanged(Event, frozen=True):
    """The control mode changed (``scheduled`` or ``dynamic``)."""

    session_id: str
    mode: str


class TransferPlanChanged(Event, frozen=True):
    """The session's ETP changed materially (E1.Req2).

    ``power_w`` is the power now, ``energy_wh`` the energy planned by departure. The ETP
    itself stands in the plan's event of the same append.
    """

    session_id: str
    evse_id: str
    number: int
    power_w: int
    energy_wh: int


class EvScheduleReported(Event, frozen=True):
    """What the EV intends to draw over time: a forecast (ISO 15118).

    ``is_above``: it goes beyond its ETP. ``selected_schedule_id`` is that of the
    schedule it picked, where it had several; None: it does not say.
    """

    session_id: str
    evse_id: str
    profile: PowerProfile
    is_above: bool = False
    selected_schedule_id: int | None = None


class TransferObserved(Event, frozen=True):
    """What the loop concluded from readings, when it changed materially.

    ``energy_wh`` is the energy transferred so far, ``power_w`` the power drawn.
    ``limit_w`` is the most the car can take now; None while it is not known.
    ``suspended_by_ev``: under an ETP in force the car draws next to nothing.
    """

    session_id: str
    evse_id: str
    energy_wh: int
    power_w: int
    limit_w: int | None = None
    suspended_by_ev: bool = False
    quality: Quality = Quality.GOOD


class TransferIntervalMetered(Event, frozen=True):
    """Energy since ``from_at`` and in all, by rounded registers: intervals add up."""

    session_id: str
    evse_id: str
    from_at: Instant
    energy_wh: int
    total_wh: int
    quality: Quality = Quality.GOOD


class TransferSettled(Event, frozen=True):
    """A transfer as all messages of its station tell it, of which some came late (7.5).

    For the books it counts instead of what was recorded as it went, at the positions
    ``replaces`` of the log, with ``replaced_wh`` in their intervals; an earlier one of
    the same transaction is among them. It tells nothing of what is the case now.

    The EV was plugged at ``plugged_at`` and unplugged at ``unplugged_at`` (0: not with
    this transfer). ``intervals`` are (from, until, energy [Wh]). Credentials that came
    with it were answered as ``is_accepted`` says. ``missing`` are ranges of the
    station's messages that never came, ``implausible`` registers that do not count.
    """

    session_id: str
    station_id: str
    evse_id: str
    zone_id: str
    transaction_id: str
    begun_at: Instant
    ended_at: Instant
    energy_wh: int
    reason: str
    plugged_at: Instant = 0
    unplugged_at: Instant = 0
    intervals: tuple[tuple[Instant, Instant, int], ...] = ()
    subject_id: str = ""
    credential: Sealed | None = None
    asked_at: Instant = 0
    is_accepted: bool | None = None
    answered_by: str = ""
    refusal: str = ""
    missing: tuple[tuple[int, int], ...] = ()
    implausible: tuple[tuple[Instant, int], ...] = ()
    replaces: tuple[int, ...] = ()
    replaced_wh: int = 0
    quality: Quality = Quality.LATE


class TransactionCorrected(Event, frozen=True):
    """A trusted entity corrected a transaction (7.5); the first one stays readable."""

    session_id: str
    position: int
    field: str
    value: str
    by: str
    reason: str


class SafetyReported(Event, frozen=True):
    """A safety issue came up in the EVSE in use: the needs may not be met (7.10)."""

    session_id: str
    evse_id: str
    issue: str


class SdrCollected(Event, frozen=True):
    """The SDR information was complete when the session closed (7.5, S6).

    ``increments`` counts what was collected, ``digest`` is the SHA-256 of it, so that
    what a CSO got can be proven.
    """

    session_id: str
    increments: int
    digest: bytes


class SdrReceived(Event, frozen=True):
    """The CSO ``by`` has the SDR information up to increment ``sequence`` (S6)."""

    session_id: str
    by: str
    sequence: int


class FactKept(Event, frozen=True):
    """A fact that could not be used: kept with its quality and the rule it breaks."""

    session_id: str
    evse_id: str
    what: str
    value: int
    rule: str
    quality: Quality
