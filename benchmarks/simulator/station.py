"""The station side of one EVSE: it stores ETPs, answers, and runs what it stored."""

from dataclasses import dataclass, field

from benchmarks.simulator.car import Car
from domain.model.profile import PowerProfile, zero_profile
from domain.model.values import SECOND, Instant


@dataclass(slots=True)
class SimulatedEvse:
    """An EVSE with its meter; the profile is cleared when the car leaves."""

    evse_id: str
    station_id: str
    profile: PowerProfile = field(default_factory=lambda: zero_profile(0))
    number: int = 0
    register_wh: float = 0.0
    car: Car | None = None
    session: int = -1

    def store(
        self, number: int, profile: PowerProfile, at: Instant
    ) -> list[tuple[Instant, int]]:
        """Store an ETP; return the (instant, W) at which it allows something else."""
        if number < self.number:
            return []
        self.number, self.profile = number, profile
        later = [
            (profile.start_at + s * SECOND, power_w)
            for s, power_w in profile.changes
            if profile.start_at + s * SECOND > at
        ]
        return [(at, profile.power_w(at)), *later]
