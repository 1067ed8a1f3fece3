"""A study: strategies by capacities over the same cars, in one or more processes.

Each job is one strategy at one capacity. Jobs share nothing, so one process, several,
or a Ray cluster give the same figures; only the times differ.
"""

import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from time import perf_counter

import numpy as np

from benchmarks.laboratory.figures import (
    Figures,
    Times,
    day_profile_kw,
    figures_of,
)
from benchmarks.laboratory.fleet import Fleet
from benchmarks.laboratory.hindsight import NAME as PERFECT_INFORMATION
from benchmarks.laboratory.hindsight import HindsightError, run_hindsight
from benchmarks.laboratory.loop import Outcome, StrategyError, run_loop
from benchmarks.laboratory.prices import price_steps
from benchmarks.laboratory.setting import Setting
from benchmarks.laboratory.site import site_of
from benchmarks.strategies.registry import known_strategies, make_strategy
from domain.errors import InvalidValue
from optimizer.checks import Floats

# Before the clock starts, so many sessions run at the capacity and at a part of it, so
# that what a strategy needs is compiled: also what it needs in a shortage only.
_WARM_UP_SESSIONS = 20
_SHORTAGE_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Study:
    """What to compare. ``fleets`` are the spans of days, each a loop of its own."""

    fleets: tuple[Fleet, ...]
    site: str
    station_ids: tuple[str, ...]
    capacities_kw: tuple[float, ...]
    strategies: tuple[str, ...]
    setting: Setting
    price_by_hour: tuple[float, ...]
    plans_by_price: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """One strategy at one capacity."""

    study: Study
    strategy: str
    capacity_kw: float


@dataclass(frozen=True, eq=False)
class Run:
    """What a job came to: figures, or why there are none.

    ``energy_wh`` has what each car took, a span's cars after the others'.
    """

    strategy: str
    capacity_kw: float
    figures: Figures | None = None
    times: Times = field(default_factory=Times)
    energy_wh: tuple[Floats, ...] = ()
    profile_kw: Floats | None = None
    failure: str = ""


def all_strategies() -> list[str]:
    """Return every name that a study knows."""
    return [*known_strategies(), PERFECT_INFORMATION]


def check_strategies(names: Sequence[str]) -> None:
    """Refuse names nobody has, and plugins that cannot be made."""
    for name in names:
        if name != PERFECT_INFORMATION:
            try:
                make_strategy(name)
            except InvalidValue as error:
                if name in all_strategies():
                    raise
                known = ", ".join(all_strategies())
                raise InvalidValue(
                    f"strategy {name!r} is not known; known are {known}"
                ) from error


def jobs_of(study: Study) -> list[Job]:
    """Return the jobs, by capacity, then in the order of the strategies."""
    return [
        Job(study, strategy, capacity_kw)
        for capacity_kw in study.capacities_kw
        for strategy in study.strategies
    ]


def run_study(
    study: Study,
    *,
    processes: int = 1,
    on_ray: bool = False,
    on_run: Callable[[Run], None] = lambda run: None,
) -> list[Run]:
    """Return a run for each job, in the order of `jobs_of`.

    ``on_run`` is called with each as soon as it is there.
    """
    jobs = jobs_of(study)
    done: dict[int, Run] = {}
    runs = _on_ray if on_ray else _in_processes if processes > 1 else _here
    for i, run in runs(jobs, processes):
        done[i] = run
        on_run(run)
    return [done[i] for i in range(len(jobs))]


def run_job(job: Job) -> Run:
    """Run a job; a strategy that fails is a run that says so."""
    try:
        begun = perf_counter()
        for share in (1.0, _SHORTAGE_SHARE):
            _outcomes(_warm_up(job, share))
        ready = perf_counter()
        outcomes = _outcomes(job)
        done = perf_counter()
    except (StrategyError, HindsightError) as error:
        return Run(job.strategy, job.capacity_kw, failure=str(error))
    ms = 1000 * np.concatenate([outcome.plan_s for outcome in outcomes])
    return Run(
        job.strategy,
        job.capacity_kw,
        figures=figures_of(job.strategy, outcomes),
        times=Times(
            plan_ms_mean=float(ms.mean()),
            plan_ms_p99=float(np.percentile(ms, 99)),
            plan_ms_max=float(ms.max()),
            run_s=done - ready,
            warm_up_s=ready - begun,
        ),
        energy_wh=tuple(outcome.energy_wh for outcome in outcomes),
        profile_kw=day_profile_kw(outcomes),
    )


def _outcomes(job: Job) -> list[Outcome]:
    study = job.study
    site = site_of(study.site, job.capacity_kw, study.station_ids)
    outcomes = []
    for fleet in study.fleets:
        setting = study.setting
        prices = price_steps(study.price_by_hour, fleet.n_step, setting.step_s)
        if job.strategy == PERFECT_INFORMATION:
            outcomes.append(run_hindsight(fleet, site, setting, prices))
            continue
        outcomes.append(
            run_loop(
                fleet,
                site,
                setting,
                make_strategy(job.strategy),
                prices,
                plans_by_price=study.plans_by_price,
            )
        )
    return outcomes


def _warm_up(job: Job, share: float) -> Job:
    """Return the same job with few cars and a share of the capacity."""
    fleet = job.study.fleets[0].head(_WARM_UP_SESSIONS)
    study = replace(job.study, fleets=(fleet,))
    return replace(job, study=study, capacity_kw=share * job.capacity_kw)


def _here(jobs: Sequence[Job], processes: int) -> Iterator[tuple[int, Run]]:
    for i, job in enumerate(jobs):
        yield i, run_job(job)


def _in_processes(jobs: Sequence[Job], processes: int) -> Iterator[tuple[int, Run]]:
    # Not forked: a progress bar is a thread, and may hold a lock just then.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        futures = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _run_packed(packed: bytes) -> Run:
    # Ray's own arrays are read-only: another type, for which all compiles once more.
    return run_job(pickle.loads(packed))


def _on_ray(jobs: Sequence[Job], processes: int) -> Iterator[tuple[int, Run]]:
    """Run the jobs on the cluster of RAY_ADDRESS, else on a local one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InvalidValue(
            "--ray needs the extra: pip install 'voltledger[ray]'"
        ) from None
    began = not ray.is_initialized()
    if began and "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    elif began:
        path = os.pathsep.join(part for part in sys.path if part)
        ray.init(
            num_cpus=processes,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )
    try:
        remote = ray.remote(_run_packed)
        waiting = {remote.remote(pickle.dumps(job)): i for i, job in enumerate(jobs)}
        while waiting:
            for reference in ray.wait(list(waiting))[0]:
                yield waiting.pop(reference), ray.get(reference)
    finally:
        if began:
            ray.shutdown()
