"""What a station says it can do with charging profiles, and what is known of its EVSEs.

Whoever says nothing is taken for the weakest: amperes, one period, whole numbers.
"""

from typing import Literal

import msgspec

from api.ocpp.violations import Version
from domain.model.values import Current

RateUnit = Literal["A", "W"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a station can do with a charging profile; the defaults are the weakest."""

    version: Version
    unit: RateUnit = "A"
    max_periods: int = 1
    decimals: int = 0
    max_stack_level: int = 0
    can_switch_phases: bool = False


class EvseWiring(msgspec.Struct, frozen=True, kw_only=True):
    """An EVSE as the station numbers it, and what it is wired to; 0 is the station.

    Below ``floor_w`` an EV draws nothing; the planner counts with the same floor.
    """

    number: int
    current: Current
    phases: int
    nominal_v: int
    floor_w: int


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What holds when a message is made; ``None`` is: not known.

    ``clock_offset_us`` is the station's clock less ours. ``measured_v`` is the highest
    of the phases' voltages. ``switched_phases`` is how many phases the station is to
    use, which only a station that can switch in mid-transaction may be told.
    """

    sent_at: int
    renew_at: int
    clock_offset_us: int | None = None
    phases_in_use: int | None = None
    measured_v: float | None = None
    switched_phases: int | None = None
