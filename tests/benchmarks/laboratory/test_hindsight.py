"""Perfect information: a bound, and a plan that reaches it."""

from typing import Any

import highspy
import numpy as np
import pytest

from benchmarks.laboratory.fleet import Fleet
from benchmarks.laboratory.hindsight import NEARLY, run_hindsight
from benchmarks.laboratory.kernels.drive import DRAWN_W
from benchmarks.laboratory.loop import Outcome
from benchmarks.laboratory.setting import STANDARD
from benchmarks.laboratory.site import LabSite
from benchmarks.strategies.columns import lines_of
from benchmarks.strategies.registry import OWN, make_strategy
from tests.benchmarks.laboratory.cases import fleet, plain_fleet, run, site_for


def best(cars: Fleet, site: LabSite) -> Outcome:
    return run_hindsight(cars, site, STANDARD, np.ones(cars.n_step))


def test_what_fits_is_delivered_and_a_shortage_shared_out_in_full() -> None:
    cars = plain_fleet([(0, 12, 4_000), (6, 24, 9_000)])
    ample = best(cars, site_for(cars, 50))
    np.testing.assert_allclose(ample.energy_wh, cars.need_wh)
    # 3 kW for 2 h are 6 kWh for both; nothing of it is lost.
    tight = best(cars, site_for(cars, 3))
    assert tight.energy_wh.sum() == pytest.approx(6_000)
    assert tight.measured[DRAWN_W].sum() / 12 == pytest.approx(6_000)


@pytest.mark.parametrize("capacity_kw", [8.0, 20.0])
def test_it_equals_a_programme_with_a_variable_for_every_step(
    capacity_kw: float,
) -> None:
    cars = fleet(per_day=14, seed=3)
    site = site_for(cars, capacity_kw)
    by_steps_wh = _by_steps(cars, site)
    assert best(cars, site).energy_wh.sum() == pytest.approx(by_steps_wh, rel=1e-7)


def test_it_equals_that_with_lines_but_for_the_polygons_corners() -> None:
    cars = fleet(per_day=6, seed=4)
    site = site_for(cars, 5.0, "caltech")
    by_steps_wh, found_wh = _by_steps(cars, site), best(cars, site).energy_wh.sum()
    # A polygon of 36 sides around a circle reaches 0.39 % beyond it.
    assert found_wh <= by_steps_wh * (1 + 1e-9)
    assert found_wh >= by_steps_wh * (1 - 0.0039 - NEARLY)
    assert found_wh < best(cars, site_for(cars, 5.0)).energy_wh.sum() * 0.99


def _by_steps(cars: Fleet, site: LabSite) -> float:
    """Return the most energy [Wh], by the programme as one would write it."""
    re, im, limit_a = lines_of(site.network, len(site.station_ids))
    at = site.rows(cars.station_ids)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    of_step: dict[int, dict[int, Any]] = {}
    of_car: list[Any] = []
    for i in range(cars.size):
        powers: list[Any] = []
        for step in range(int(cars.arrival_step[i]), int(cars.departure_step[i])):
            power = highs.addVariable(0.0, float(cars.car_max_w[i]))
            powers.append(power)
            of_step.setdefault(step, {})[i] = power
        highs.addConstr(sum(powers) <= 12 * float(cars.need_wh[i]))
        of_car.append(sum(powers))
    for there in of_step.values():
        highs.addConstr(sum(there.values()) <= site.capacity_w)
        for line in range(limit_a.size):
            for angle in np.arange(36) * np.pi / 18:
                along = np.cos(angle) * re[line, at] + np.sin(angle) * im[line, at]
                used = {i: a for i, a in enumerate(along) if abs(a) > 1e-12}
                if any(i in there for i in used):
                    current = sum(used[i] * p for i, p in there.items() if i in used)
                    highs.addConstr(current <= limit_a[line])
    highs.maximize(sum(of_car))
    return float(highs.getObjectiveValue()) / 12


@pytest.mark.parametrize("capacity_kw", [4.0, 12.0])
def test_no_strategy_that_keeps_the_limits_is_better(capacity_kw: float) -> None:
    cars = fleet(per_day=25, seed=2, days=2)
    site = site_for(cars, capacity_kw, "caltech")
    bound = best(cars, site)
    for name in OWN:
        found = run(make_strategy(name), cars, site)
        if found.measured[1].max() > site.capacity_w or found.measured[3].max() > 0:
            continue
        assert found.energy_wh.sum() <= bound.energy_wh.sum() * (1 + 2 * NEARLY)


def test_its_powers_keep_pre_needs_and_norms() -> None:
    cars = fleet(per_day=25, seed=5, days=2)
    site = site_for(cars, 9.0, "caltech")
    found = best(cars, site)
    assert (found.energy_wh <= cars.need_wh * (1 + 1e-9) + 1e-6).all()
    assert found.measured[DRAWN_W].max() <= site.capacity_w * (1 + 1e-9)
    drawn_wh = found.measured[DRAWN_W].sum() / 12
    assert drawn_wh == pytest.approx(found.energy_wh.sum())
    # The lines cost something: without them more could be delivered.
    assert found.energy_wh.sum() < best(cars, site_for(cars, 9.0)).energy_wh.sum() - 1
