"""How a virtual station or its cars misbehave; by default neither does."""

import msgspec

from domain.model.values import MINUTE, Instant


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """What a station does otherwise than it should.

    ``outages`` and ``reboots`` are (from, until) by true time: without a connection,
    or without power to its controller. ``lost_answers`` is the share of its answers
    that never arrive. A car that ``sleeps_after`` so long at 0 does not wake.
    ``told_power`` and ``told_register`` are what meters tell of the truth. In a span of
    ``hears_nothing`` it is connected but does what it would do without a connection:
    it accepts profiles and forgets them.
    """

    clock_error: Instant = 0
    lost_answers: float = 0.0
    refuses_profiles: bool = False
    ignores_limits: bool = False
    sleeps_after: Instant | None = None
    told_power: float = 1.0
    told_register: float = 1.0
    outages: tuple[tuple[Instant, Instant], ...] = ()
    reboots: tuple[tuple[Instant, Instant], ...] = ()
    hears_nothing: tuple[tuple[Instant, Instant], ...] = ()
    sends_late_twice: bool = False
    sends_late_backwards: bool = False
    reads_offline_every: Instant = 15 * MINUTE


FAITHFUL = Behaviour()
