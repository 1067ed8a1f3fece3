"""The tiers as linear objectives over the columns of a model: `optimizer.tiers`."""

import numpy as np

from optimizer.checks import Floats
from optimizer.highs.model import LEAST_GAP_KWH, K, Model


def violation(model: Model) -> Floats:
    """Return energy outside the limits [kWh]."""
    cost = np.zeros(model.n_col)
    cost[model.excess] = model.excess_hours
    return cost


def unmet_min(model: Model, classes: Floats) -> Floats:
    """Return promised energy left out of the EVs where ``classes`` is 1 [kWh]."""
    cost = np.zeros(model.n_col)
    cost[model.left_min] = classes
    return cost


def unmet_target(model: Model, classes: Floats) -> Floats:
    """Return energy asked for left out of the EVs where ``classes`` is 1 [kWh]."""
    cost = unmet_min(model, classes)
    cost[model.left_beyond] = classes
    return cost


def share_denominators(model: Model) -> tuple[Floats, Floats]:
    """Return what u and v of each EV are shares of, (n,) each [kWh]."""
    p = model.problem
    promised = np.abs(p.energy_min_wh) / K
    beyond = (p.energy_target_wh - p.energy_min_wh) / K
    return np.maximum(promised, LEAST_GAP_KWH), np.maximum(beyond, LEAST_GAP_KWH)


def money(model: Model) -> Floats:
    """Return import, export, peak and wear."""
    p, cost = model.problem, np.zeros(model.n_col)
    cell_price = (model.sign * p.price_per_kwh[model.step]).astype(np.float64)
    cell_price[model.discharge] += p.wear_per_kwh
    cost[: model.n_cell] = cell_price * model.hours[model.step]
    if model.export is not None:
        cost[model.export] = (p.price_per_kwh - p.worth_per_kwh) * model.hours
    if model.peak is not None:
        cost[model.peak] = p.peak_per_kw
    return cost


def early(model: Model) -> Floats:
    """Return step times energy of the step [step kWh]."""
    cost = np.zeros(model.n_col)
    step = model.step
    cost[: model.n_cell] = model.sign * step * model.hours[step]
    return cost
