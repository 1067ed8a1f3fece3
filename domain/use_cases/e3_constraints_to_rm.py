"""E3 The CSMS sends power and energy constraints to a zone's RM (IEC 63110-1 8.2.5).

The constraints are E3 Info1. The RM answers with a PRE (Info2), received as in E4, and
gets the AETP (Info3) of the plan that follows. A PRE is kept whether or not it
satisfies the constraints, for the RM rules: `projections.zones` shows whether it does.
By `shared_path`.
"""

from itertools import pairwise

import msgspec

from domain.errors import InvalidValue
from domain.model import ids
from domain.model.profile import POWER_LIMIT_W
from domain.model.site_events import ConstraintsSent, EnergyWindow
from domain.model.values import DAY, Instant, iso_of
from domain.ports import Answer, Batch, System
from domain.use_cases.e1_smart_charging import ENERGY_LIMIT_WH
from domain.use_cases.shared_path import By, decision, load_zone, record

LONGEST_AWAY = 366 * DAY


class SendConstraints(msgspec.Struct, frozen=True, kw_only=True):
    """Send power and energy constraints of a zone to its RM (E3 Info1)."""

    zone_id: str
    constraints_id: str
    from_at: Instant
    lower_w: int
    upper_w: int
    windows: tuple[EnergyWindow, ...] = ()

    def check(self, at: Instant, limit_w: int) -> None:
        """Refuse limits and windows that contradict each other or the zone."""
        ids.name_of("constraints id", self.constraints_id)
        name = f"constraints {self.constraints_id}"
        most_w = min(limit_w, POWER_LIMIT_W)
        if not -most_w <= self.lower_w <= self.upper_w <= most_w:
            raise InvalidValue(
                f"{name}: lower {self.lower_w} W, upper {self.upper_w} W do not "
                f"increase within ±{most_w} W"
            )
        times = [self.from_at, *(window.until_at for window in self.windows)]
        for before_at, after_at in pairwise(times):
            if after_at <= before_at:
                raise InvalidValue(
                    f"{name}: the window until {iso_of(after_at)} does not end after "
                    f"{iso_of(before_at)}"
                )
        if not at - LONGEST_AWAY <= times[0] <= times[-1] <= at + LONGEST_AWAY:
            raise InvalidValue(
                f"{name}: from {iso_of(times[0])} until {iso_of(times[-1])} is more "
                "than a year away"
            )
        for window in self.windows:
            lower_wh, upper_wh = window.lower_wh, window.upper_wh
            if not -ENERGY_LIMIT_WH <= lower_wh <= upper_wh <= ENERGY_LIMIT_WH:
                raise InvalidValue(
                    f"{name}, window until {iso_of(window.until_at)}: lower {lower_wh} "
                    f"Wh, upper {upper_wh} Wh do not increase within "
                    f"±{ENERGY_LIMIT_WH} Wh"
                )


def send_constraints(system: System, command: SendConstraints, by: By) -> Answer:
    """Record the constraints; they replace those sent before."""

    def decide() -> Batch:
        zone = load_zone(system, command.zone_id)
        assert zone.defined is not None  # load_zone refuses what was never defined
        command.check(by.at, zone.defined.limit_w)
        event = ConstraintsSent(
            **{name: getattr(command, name) for name in command.__struct_fields__}
        )
        stream = ids.zone_stream(command.zone_id)
        return Batch(appends=(decision(stream, zone, by.at, event),))

    return record(system, by, command, decide)
