"""What an EV's row in the problem says."""

import pytest

from domain.loop.allocation import _row, _target_wh, probed_w
from domain.loop.observer import METER_TOLERANCE_W
from domain.loop.slot import Ev, Slot
from domain.loop.zone_state import ZoneState
from domain.model.values import HOUR


@pytest.mark.parametrize(
    ("stated", "taken_wh", "target_wh"),
    [
        (True, 0.0, 900),
        (True, 1_500.0, 900),
        (False, 0.0, 900),
        (False, 899.0, 900),
        (False, 900.0, 1_800),
        (False, 4_000.0, 7_200),
    ],
)
def test_who_stated_nothing_and_takes_more_than_the_default_wants_more(
    stated: bool, taken_wh: float, target_wh: int
) -> None:
    ev = Ev("s", 0, 1, target_wh=900, stated_by_user=stated)
    assert _target_wh(ev, taken_wh) == target_wh


@pytest.mark.parametrize(
    ("taken_wh", "expected_wh"),
    [(0.0, 6_000), (5_000.0, 3_000), (9_900.0, 200), (12_000.0, 200)],
)
def test_an_ev_is_expected_to_take_the_learned_share_of_what_is_left(
    taken_wh: float, expected_wh: float
) -> None:
    state = ZoneState("z", taken_per_stated_permille=600)
    ev = Ev("s", 0, 1, departure_at=HOUR, target_wh=10_000, stated_by_user=True)
    slot = Slot("US*CAL*E1", "s1", 6_656, 1_248, ev=ev)
    assert _row(state, slot, ev, taken_wh, 0)[4] == pytest.approx(expected_wh)


@pytest.mark.parametrize(("limit_w", "offered_w"), [(3_300, 3_400), (11_000, 11_220)])
def test_a_probe_is_more_than_a_meter_errs_and_little(
    limit_w: int, offered_w: int
) -> None:
    assert probed_w(limit_w) == offered_w
    assert offered_w > limit_w + METER_TOLERANCE_W
