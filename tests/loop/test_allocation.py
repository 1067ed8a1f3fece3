"""What an EV's row in the problem says."""

import pytest

from domain.loop.allocation import _target_wh
from domain.loop.zone_state import Ev


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
