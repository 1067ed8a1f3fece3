"""The Caltech garage: 54 EVSEs between two of three lines, behind one transformer.

Every EVSE charges with one current between two lines of the 208 V side: from a to b, b
to c or c to a. A line carries the difference of two of these sums; the transformer's
delta side (277 V to neutral, four turns to one) carries a quarter of the difference of
two lines. Both sides may carry what the transformer's capacity S allows,
``S / 3 / 120 V`` and ``S / 3 / 277 V``; two pods of eight EVSEs have a breaker of 80 A.
A limit holds for the norm of the phasor.

The facts (ids, angles, coefficients, limits, pilot currents) are those of
``acnportal.acnsim.network.sites.caltech_acn`` of ACN-Sim (acnportal 0.3.3, California
Institute of Technology, 3-clause BSD licence); described in Z. Lee, S. Sharma, D.
Johansson, S. Low: *ACN-Sim: An Open-Source Simulator for Data-Driven Electric Vehicle
Charging Research*, IEEE Transactions on Smart Grid 12(6), 2021. The code is ours.

Every station of ``benchmarks/data/caltech-2019.csv.gz`` is one of these EVSEs by the
same id; CA-149 alone has no session there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.errors import InvalidValue
from optimizer.checks import Floats
from optimizer.limits import PhaseNetwork

VOLTAGE_V = 208.0
MAX_A = 32.0
_POD_LIMIT_A = 80.0
_SECONDARY_V, _PRIMARY_V = 120.0, 277.0
_TURNS = 4.0
# Angle of the current of an EVSE between lines a and b, b and c, c and a [rad].
_ANGLES_RAD = np.deg2rad([30.0, -90.0, 150.0])

_AB = (308, 508, 303, 513, 310, 506, 316, 500, 318, 498)
_POD_AV = (324, 325, 326, 327, 489, 490, 491, 492)
_POD_CC = (322, 493, 496, 320, 495, 321, 323, 494)
_BC = (304, 512, 305, 511, 313, 503, 311, 505, 317, 499, 148, 149, 212, 213)
_CA = (307, 509, 309, 507, 306, 510, 315, 501, 319, 497, 312, 504, 314, 502)

LINES = (
    "pod CC",
    "pod AV",
    "secondary a",
    "secondary b",
    "secondary c",
    "primary a",
    "primary b",
    "primary c",
)


@dataclass(frozen=True, eq=False)
class ThreePhaseSite:
    """The EVSEs of a site and the network they hang on.

    Parameters
    ----------
    station_ids : (n,)
        As the sessions name them; one EVSE each.
    line_names : (m,)
    network : PhaseNetwork
        Of all n EVSEs.
    pilot_floor_a, pilot_step_a : (n,)
        An EVSE's pilot current is 0 or a multiple of its step from its floor to
        `MAX_A` [A].
    """

    station_ids: tuple[str, ...]
    line_names: tuple[str, ...]
    network: PhaseNetwork
    pilot_floor_a: Floats
    pilot_step_a: Floats

    def rows(self, station_ids: Sequence[str]) -> list[int]:
        """Return the index of each station; raise InvalidValue for one not here."""
        index = {station: i for i, station in enumerate(self.station_ids)}
        unknown = [station for station in station_ids if station not in index]
        if unknown:
            raise InvalidValue(f"station {unknown[0]} is not at this site")
        return [index[station] for station in station_ids]

    def present(self, station_ids: Sequence[str]) -> PhaseNetwork:
        """Return the network of some of the EVSEs, in the order given."""
        return columns(self.network, self.rows(station_ids))


def columns(network: PhaseNetwork, rows: Sequence[int]) -> PhaseNetwork:
    """Return the network of the EVSEs with these indices, in that order."""
    at = np.asarray(rows, np.int64)
    return PhaseNetwork(
        matrix=network.matrix[:, at],
        phase_rad=network.phase_rad[at],
        limit_a=network.limit_a,
        voltage_v=network.voltage_v[at],
    )


def caltech_network(transformer_kw: float = 150.0) -> ThreePhaseSite:
    """Return the site behind a transformer of a capacity [kW].

    Raises
    ------
    InvalidValue
        if the capacity is not above 0.
    """
    if not transformer_kw > 0:
        raise InvalidValue(f"transformer_kw {transformer_kw} must be above 0")
    ab, bc, ca = (*_AB, *_POD_AV, *_POD_CC), _BC, _CA
    numbers = (*ab, *bc, *ca)
    pair = np.repeat([0, 1, 2], [len(ab), len(bc), len(ca)])
    of_pair = np.eye(3)[:, pair]  # sums of currents a-b, b-c, c-a
    secondary = of_pair - of_pair[[2, 0, 1]]
    primary = (secondary - secondary[[2, 0, 1]]) / _TURNS
    in_pod_cc = np.isin(numbers, _POD_CC)
    pods = np.array([in_pod_cc, np.isin(numbers, _POD_AV)], np.float64)
    share_w = transformer_kw * 1000.0 / 3.0
    limit_a = np.repeat(
        [_POD_LIMIT_A, share_w / _SECONDARY_V, share_w / _PRIMARY_V], [2, 3, 3]
    )
    network = PhaseNetwork(
        matrix=np.vstack([pods, secondary, primary]),
        phase_rad=_ANGLES_RAD[pair],
        limit_a=limit_a,
        voltage_v=np.full(len(numbers), VOLTAGE_V),
    )
    return ThreePhaseSite(
        station_ids=tuple(f"CA-{number}" for number in numbers),
        line_names=LINES,
        network=network,
        pilot_floor_a=np.where(in_pod_cc, 8.0, 6.0),
        pilot_step_a=np.where(in_pod_cc, 8.0, 1.0),
    )
