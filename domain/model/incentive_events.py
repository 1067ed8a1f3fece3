"""Events of demand response (E2): incentives of secondary actors and what came of them.

Streams: ``incentive-<zone>`` for incentives and whom stations told of them, and
``session-<id>`` for what a service session had to do with one.
"""

from domain.model.profile import Change
from domain.model.values import Event, Instant


class IncentiveReceived(Event, frozen=True):
    """An incentive for a zone, brought by ``source``, that holds for a time.

    ``tariff`` is the price of energy, in minor units (cents) of ``currency`` a kWh, and
    ``co2`` in g a kWh, both as changes at whole seconds from ``from_at``; empty: it
    says nothing of that. ``maximum_w`` is the most each EVSE is to give [W]. ``peak``
    is what users at the EVSEs are told.
    """

    zone_id: str
    incentive_id: str
    from_at: Instant
    until_at: Instant
    source: str
    currency: str = ""
    tariff: tuple[Change, ...] = ()
    co2: tuple[Change, ...] = ()
    maximum_w: int | None = None
    peak: str = ""


class IncentiveWithdrawn(Event, frozen=True):
    """The incentive holds no longer."""

    zone_id: str
    incentive_id: str
    reason: str


class IncentiveTold(Event, frozen=True):
    """An EVSE's station was told of an incentive, or could not be.

    ``how`` is ``display``, ``data`` or ``price``, the last one to the EV; ``outcome``
    is ``accepted``, ``refused`` or ``not-told``.
    """

    zone_id: str
    incentive_id: str
    evse_id: str
    how: str
    outcome: str
    session_id: str = ""
    detail: str = ""


class IncentiveBegan(Event, frozen=True):
    """From now on the session's energy transfer is under the incentive."""

    session_id: str
    zone_id: str
    evse_id: str
    incentive_id: str


class IncentiveEnded(Event, frozen=True):
    """The session's energy transfer is no longer under the incentive."""

    session_id: str
    zone_id: str
    evse_id: str
    incentive_id: str
    reason: str


class IncentiveAnswered(Event, frozen=True):
    """The EV user takes part in an incentive, or refuses; the last answer binds."""

    session_id: str
    zone_id: str
    incentive_id: str
    is_accepted: bool
    by: str
