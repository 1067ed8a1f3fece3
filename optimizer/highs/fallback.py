"""A plan that takes no solver: what is given when time is over before there is one."""

import numpy as np

from optimizer.checks import Floats
from optimizer.highs.model import K, Model


def greedy_w(model: Model) -> Floats:
    """Return charging as early as upper limits let it, (n, T) [W].

    Step by step and class by class, everyone asks for all it can take towards its
    target; who is under a limit that is asked for too much takes its share of it. Lower
    limits are not looked at, nobody discharges.
    """
    p = model.problem
    most_w = np.where(p.available(), p.power_max_w, 0.0)
    left_wh = np.minimum(p.energy_target_wh, model.most_kwh * K).clip(0.0)
    left_wh = left_wh / p.charge_efficiency
    window_wh = [
        w.upper_w * p.hours[w.start_step : w.stop_step].sum() for w in p.energy_windows
    ]
    smallest_first = sorted(p.groups, key=lambda group: group.members.size)
    power = np.zeros((p.n_evse, p.n_step))
    for t in range(p.n_step):
        room_w = p.pre_upper_w[t]
        for window, room_wh in zip(p.energy_windows, window_wh, strict=True):
            if window.start_step <= t < window.stop_step:
                room_w = min(room_w, room_wh / p.hours[t])
        taken = power[:, t]
        for c in np.unique(p.priority):
            ask = np.where(
                p.priority == c, np.minimum(most_w[:, t], left_wh / p.hours[t]), 0
            )
            for group in smallest_first:
                members = group.members
                room = group.upper_w[t] - taken[members].sum()
                ask[members] *= _share(room, ask[members].sum())
            ask *= _share(room_w - taken.sum(), ask.sum())
            taken += ask
        taken *= _line_share(model, taken)
        left_wh = (left_wh - taken * p.hours[t]).clip(0.0)
        for k, window in enumerate(p.energy_windows):
            if window.start_step <= t < window.stop_step:
                window_wh[k] -= taken.sum() * p.hours[t]
    return power


def _share(room: float, asked: float) -> float:
    return 1.0 if asked <= room else max(room, 0.0) / asked


def _line_share(model: Model, taken_w: Floats) -> float:
    phases = model.problem.phases
    if phases is None:
        return 1.0
    current = phases.current_a(taken_w[:, None])[:, 0]
    shares = np.where(
        current > phases.limit_a, phases.limit_a / np.maximum(current, 1e-300), 1.0
    )
    # Just inside: a product may round upwards.
    least = float(shares.min(initial=1.0))
    return least if least == 1.0 else least * (1.0 - 1e-12)
