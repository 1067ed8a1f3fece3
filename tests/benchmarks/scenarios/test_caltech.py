import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data.sessions import read_sessions
from benchmarks.scenarios.caltech import LINES, VOLTAGE_V, caltech_network
from domain.errors import InvalidValue

DATA = Path(__file__).parents[3] / "benchmarks" / "data" / "caltech-2019.csv.gz"


def currents_a(transformer_kw: float, amperes: dict[str, float]) -> dict[str, float]:
    site = caltech_network(transformer_kw)
    power = np.array([[amperes.get(s, 0.0) * VOLTAGE_V] for s in site.station_ids])
    found = site.network.current_a(power)[:, 0]
    return dict(zip(LINES, found.tolist(), strict=True))


def test_there_are_54_evses_and_8_lines() -> None:
    site = caltech_network()
    assert len(set(site.station_ids)) == 54
    assert site.network.matrix.shape == (8, 54)
    assert site.line_names == LINES


def test_one_evse_loads_its_two_lines_and_no_other() -> None:
    found = currents_a(150.0, {"CA-308": 32.0})
    assert found["secondary a"] == pytest.approx(32.0)
    assert found["secondary b"] == pytest.approx(32.0)
    assert found["secondary c"] == 0.0
    assert found["primary a"] == pytest.approx(8.0)
    assert found["primary b"] == pytest.approx(16.0)


def test_a_balanced_load_of_the_capacity_is_just_what_the_lines_may_carry() -> None:
    # 10 A on each pair: sqrt(3) times that on each line; 3 phases of 120 V to neutral.
    balanced = {"CA-308": 10.0, "CA-304": 10.0, "CA-307": 10.0}
    limits = caltech_network(30.0).network.limit_a
    for line, limit_a in zip(LINES[2:5], limits[2:5], strict=True):
        assert currents_a(30.0, balanced)[line] == pytest.approx(10 * math.sqrt(3))
        assert limit_a == pytest.approx(30_000 / 360)
    assert limits[5:] == pytest.approx(30_000 / 831)


def test_a_pod_may_carry_80_amperes() -> None:
    pod = {f"CA-{i}": 32.0 for i in (322, 320, 321)}
    assert currents_a(150.0, pod)["pod CC"] == pytest.approx(96.0)
    assert caltech_network().network.limit_a[0] == 80.0


def test_every_station_of_the_sessions_is_at_the_site() -> None:
    stations = set(read_sessions(DATA).station_ids)
    assert set(caltech_network().station_ids) - stations == {"CA-149"}
    assert stations <= set(caltech_network().station_ids)


def test_the_network_of_the_evses_present_has_their_columns_in_their_order() -> None:
    site = caltech_network(20.0)
    some = site.present(["CA-307", "CA-322"])
    assert some.matrix.shape == (8, 2)
    assert some.matrix[:, 1].tolist() == [1.0, 0.0, 1.0, -1.0, 0.0, 0.25, -0.5, 0.25]
    assert np.rad2deg(some.phase_rad) == pytest.approx([150.0, 30.0])
    assert some.limit_a.tolist() == site.network.limit_a.tolist()
    assert site.present([]).matrix.shape == (8, 0)


def test_a_station_of_another_site_is_refused() -> None:
    with pytest.raises(InvalidValue, match="CA-999 is not at this site"):
        caltech_network().present(["CA-999"])


@pytest.mark.parametrize("transformer_kw", [0.0, -1.0, math.nan])
def test_a_transformer_without_capacity_is_refused(transformer_kw: float) -> None:
    with pytest.raises(InvalidValue, match="must be above 0"):
        caltech_network(transformer_kw)


@pytest.mark.parametrize("transformer_kw", [20.0, 150.0])
def test_the_facts_are_those_of_acn_sim(transformer_kw: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sites: Any = pytest.importorskip("acnportal.acnsim.network.sites")
        theirs = sites.caltech_acn(transformer_cap=transformer_kw)
    site = caltech_network(transformer_kw)
    rows = site.rows(theirs.station_ids)
    ours = site.present(theirs.station_ids)
    assert len(rows) == 54
    assert ours.matrix == pytest.approx(theirs.constraint_matrix)
    assert ours.limit_a == pytest.approx(theirs.magnitudes)
    assert np.rad2deg(ours.phase_rad) == pytest.approx(theirs._phase_angles)
    assert ours.voltage_v == pytest.approx(theirs._voltages)
    pilots = [theirs._EVSEs[s].allowable_pilot_signals for s in theirs.station_ids]
    floors, steps = site.pilot_floor_a[rows], site.pilot_step_a[rows]
    assert [p[1] for p in pilots] == floors.tolist()
    assert [p[2] - p[1] for p in pilots] == steps.tolist()
    assert {p[-1] for p in pilots} == {32}
