"""Puts a `System` together from a store's URL: key, clock, ids, store; no HTTP here.

A store that ``simulate`` made says so in its log id, which begins with ``sim-``: row 0
holds it and the chain covers it. Nobody writes to such a store again, for its time is
over: it is opened for reading only.
"""

import enum
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from api.rest.reading import Context, Metrics
from api.security.keys import KeyRegister
from api.security.notes import SecurityLog
from domain.errors import InvalidValue, StoreError, StoreInUse
from domain.loop.runner import LoopRunner
from domain.model.plan_events import LogOpened
from domain.model.values import Instant
from domain.ports import TENANT, Answer, Batch, Clock, Ids, System
from domain.store import master_key
from domain.store.feed import PolledFeed
from domain.store.master_key import KEY_BYTES, MasterKey
from domain.store.reader import LedgerReader
from domain.store.samples import Samples
from domain.store.sqlite import WriterLock, connect_readonly
from domain.store.store import (
    LEDGER_FILE,
    SAMPLES_FOLDER,
    VAULT_FILE,
    Store,
    folder_of,
)
from domain.store.vault import Vault
from domain.use_cases.clause_6_2_service_sessions import run_due_timers
from domain.use_cases.s2_back_office import EmbeddedBackOffice
from optimizer import Planner, Problem
from projections.fold import Fold
from projections.read_models import ReadModels
from projections.runner import ALL, Feed, Runner

_logger = logging.getLogger(__name__)

KEY_NAME = "master.key"
PROJECTIONS_FOLDER = "projections"
SIMULATED = "sim-"
# A live zone has its plan within this, whatever binds; then it says that time ran out.
PLAN_WITHIN_S = 5.0
# A clock set back by less is not worth a word.
_NOTED_NS = 10_000_000_000


class BackOffice(enum.StrEnum):
    """Where the CSO's back office is, which answers for credentials."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"


class WallClock:
    """The time of this machine, which never goes back while the process runs.

    When the machine's clock is set back, this one goes on at its pace until it is
    caught up with: else what was planned and sent would be of the future, and nothing
    would be sent until then.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        steady_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._begun_ns = wall_ns() - steady_ns()
        self._is_behind = False

    def now(self) -> Instant:
        """Return the present instant."""
        # In this order: who is interrupted in between finds too little, never too much.
        wall_ns, steady_ns = self._wall_ns(), self._steady_ns()
        begun_ns = wall_ns - steady_ns
        behind_ns = self._begun_ns - begun_ns
        if behind_ns <= 0:
            self._begun_ns = begun_ns
        if self._is_behind != (behind_ns > _NOTED_NS):
            self._is_behind = not self._is_behind
            if self._is_behind:
                _logger.warning(
                    "the machine's clock was set back by %.1f s; this process goes on "
                    "by the time it had, until it is started again",
                    behind_ns / 1e9,
                )
        return (steady_ns + self._begun_ns) // 1000


class SystemIds:
    """Ids and random bytes from the operating system."""

    def new_id(self) -> str:
        """Return an opaque id of 80 random bits."""
        return os.urandom(10).hex()

    def random(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        return os.urandom(n)


class StoppedClock:
    """The clock of a store whose time is over: it stands at the last row."""

    def __init__(self, at: Instant) -> None:
        self._at = at

    def now(self) -> Instant:
        """Return the instant of the last row."""
        return self._at


class ReadOnlyLog(LedgerReader):
    """`ports.Log` of a store that this process only reads.

    Several threads may read: SQLite serialises them on the one connection.
    """

    def append(self, batch: Batch) -> Answer:
        """Refuse: the store is read only."""
        raise StoreError("the store was opened for reading only")

    def raise_epoch(self, zone_id: str, *, tenant: str = TENANT) -> str:
        """Refuse: no loop runs here."""
        raise StoreError("the store was opened for reading only")

    def flush(self) -> None:
        """Do nothing: nothing is ever waiting."""


class Service(msgspec.Struct, frozen=True):
    """What `serve` serves of one tenant; who may ask and what is noted, where live."""

    system: System
    models: ReadModels
    key: MasterKey
    is_simulated: bool
    loops: LoopRunner | None
    keys: KeyRegister | None
    security: SecurityLog | None

    def context(self, station_metrics: Metrics = dict) -> Context:
        """Return what the routes read from and write to."""
        return Context(
            self.system,
            self.models,
            self.loop_metrics,
            station_metrics,
            keys=self.keys,
            security=self.security,
        )

    def loop_metrics(self) -> dict[str, float | int]:
        """Return the metrics of the zone loops; none run on a simulated store."""
        return {} if self.loops is None else self.loops.metrics()


def store_folder(url: str, *, must_exist: bool = True) -> Path:
    """Return the folder of a store's URL; it holds a ledger unless told otherwise."""
    try:
        folder = folder_of(url)
    except StoreError as error:
        raise InvalidValue(f"--store: {error}") from None
    if must_exist and not (folder / LEDGER_FILE).is_file():
        raise InvalidValue(f"--store {url}: there is no {LEDGER_FILE} in {folder}")
    return folder


def log_id_of(folder: Path) -> str:
    """Return the log id of a store, as its row 0 has it."""
    with open_log(folder) as log:
        rows = log.read(after=-1, limit=1)
    if not rows or not isinstance(rows[0].event, LogOpened):
        raise StoreError(f"{folder / LEDGER_FILE} has no row 0")
    return rows[0].event.log_id


def is_simulated(folder: Path) -> bool:
    """Return whether a store was made by `simulate`."""
    return log_id_of(folder).startswith(SIMULATED)


@contextmanager
def open_log(folder: Path) -> Iterator[ReadOnlyLog]:
    """Open a store's log for reading, also while a server writes to it."""
    log = ReadOnlyLog(connect_readonly(folder / LEDGER_FILE))
    with closing(log):
        yield log


@contextmanager
def open_simulation(folder: Path, clock: Clock, ids: Ids) -> Iterator[System]:
    """Make a store for one thread on simulated time, its master key beside it.

    Also the key is one of ``ids``, so that two runs of a seed have equal bytes.
    """
    key = master_key.load_or_create(folder / KEY_NAME, ids.random(KEY_BYTES))
    with Store(
        folder,
        clock=clock,
        ids=ids,
        master_key=key.key,
        log_id=SIMULATED + ids.new_id(),
        threaded=False,
        durability="NORMAL",
    ) as store:
        yield System(store.log, store.samples, store.vault, clock, ids)


@contextmanager
def open_service(
    folder: Path,
    environment: Mapping[str, str] = os.environ,
    tenant: str = TENANT,
    back_office: BackOffice = BackOffice.EMBEDDED,
    delivers: bool = False,
) -> Iterator[Service]:
    """Open a tenant's store for a server and keep its projections up with the log.

    With ``delivers`` ETPs are for stations that connect to this server.

    Raises
    ------
    StoreInUse
        when another server has it.
    WrongMasterKey
        when its vault was made under another key than this user's.
    """
    with ExitStack() as opened:
        finished = (folder / LEDGER_FILE).exists() and is_simulated(folder)
        loops = None
        if finished:
            key, system, feed = _finished(folder, opened)
        else:
            key, system, feed = _live(folder, environment, opened)
            if back_office is BackOffice.EMBEDDED:
                cso = EmbeddedBackOffice(system.log, system.clock)
                system = msgspec.structs.replace(system, cso=cso)
            loops = _loops(system, feed, delivers, opened)
        projections = folder / PROJECTIONS_FOLDER
        runner = Runner(system.log, projections, feed=feed)
        opened.callback(runner.close)
        runner.start()
        models = ReadModels(projections, runner)
        opened.callback(models.close)
        keys = security = None
        if not finished:
            keys, security = KeyRegister(tenant, system), SecurityLog(system)
            opened.callback(security.close)
        yield Service(system, models, key, finished, loops, keys, security)


@contextmanager
def open_writer(
    folder: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[System]:
    """Open a live store that no server has, to write to it.

    Raises
    ------
    StoreInUse
        when a server has it.
    """
    if is_simulated(folder):
        raise StoreError(f"the store {folder} was made by simulate: it is only read")
    with ExitStack() as opened:
        yield _live(folder, environment, opened)[1]


def _loops(system: System, feed: Feed, delivers: bool, opened: ExitStack) -> LoopRunner:
    """Start the zone loops, and what their first plan needs."""
    threading.Thread(target=compile_planner, name="planner", daemon=True).start()
    loops = LoopRunner(
        system,
        feed,
        lambda: Planner(PLAN_WITHIN_S).plan,
        run_due_timers,
        delivers=delivers,
    )
    loops.start()
    opened.callback(loops.close)
    return loops


def compile_planner() -> None:
    """Make small plans as a loop asks for them: the real ones wait for no compiler.

    On a fresh machine the planner's kernels are compiled, which takes some 40 seconds;
    later starts load them.
    """
    begun = time.monotonic()
    for evses in (2, 1):
        for upper_w in (3_000.0, 50_000.0):
            problem = _small_problem(evses, upper_w)
            Planner(PLAN_WITHIN_S).plan(problem)
            # A station's limits are given for each step.
            limited_w = problem.power_max_w.copy()
            Planner(PLAN_WITHIN_S).plan(replace(problem, power_max_w=limited_w))
    _logger.info("the planner is ready after %.1f s", time.monotonic() - begun)


def _small_problem(evses: int, upper_w: float) -> Problem:
    """Return a problem laid out in memory as a loop's, which decides what is compiled.

    A loop has what it knows of EVs in the columns of one table; the column of a table
    of one row is laid out in another way.
    """
    steps = 3
    table = np.tile([11_000.0, 1_380.0, 5_000.0, 9_000.0, 3_000.0], (evses, 1))
    return Problem(
        step_s=np.full(steps, 900.0),
        power_max_w=table[:, 0],
        power_floor_w=table[:, 1],
        arrival_step=np.zeros(evses, np.int64),
        departure_step=np.full(evses, steps),
        energy_target_wh=table[:, 2],
        energy_max_wh=table[:, 3],
        energy_expected_wh=table[:, 4],
        priority=np.zeros(evses, np.int64),
        evse_max_w=np.full(evses, 11_000.0),
        arrival_rank=np.arange(evses),
        row_key=np.arange(evses),
        pre_lower_w=np.zeros(steps),
        pre_upper_w=np.full(steps, upper_w),
        previous_power_w=np.full((evses, steps), 2_000.0),
    )


def _live(
    folder: Path, environment: Mapping[str, str], opened: ExitStack
) -> tuple[MasterKey, System, Feed]:
    key = master_key.load(environment)
    clock, ids = WallClock(), SystemIds()
    store = Store(folder, clock=clock, ids=ids, master_key=key.key)
    opened.enter_context(store)
    system = System(store.log, store.samples, store.vault, clock, ids)
    assert not isinstance(store.log, LedgerReader)  # threaded: a committer
    return key, system, store.log


def _finished(folder: Path, opened: ExitStack) -> tuple[MasterKey, System, Feed]:
    # Only one process may write the projections.
    opened.callback(WriterLock(folder).release)
    key = MasterKey(_key_beside(folder), folder / KEY_NAME)
    ids = SystemIds()
    log = opened.enter_context(open_log(folder))
    vault = Vault(folder / VAULT_FILE, master_key=key.key, ids=ids, readonly=True)
    opened.callback(vault.close)
    last = log.read(after=log.last_position() - 1, limit=1)
    clock = StoppedClock(last[0].recorded_at)
    samples = Samples(folder / SAMPLES_FOLDER, log=log, clock=clock, ids=ids)
    opened.callback(samples.close)
    feed = PolledFeed(folder / LEDGER_FILE)
    opened.callback(feed.close)
    return key, System(log, samples, vault, clock, ids), feed


def _key_beside(folder: Path) -> bytes:
    path = folder / KEY_NAME
    if not path.exists():
        raise StoreError(f"master key {path}: a simulated store has it beside it")
    return master_key.load({master_key.KEY_FILE: str(path)}).key


@contextmanager
def open_projections(
    folder: Path, folds: Sequence[type[Fold]] = ALL
) -> Iterator[Runner]:
    """Open the projections of a store that no server has, to bring them up to date."""
    try:
        lock = WriterLock(folder)
    except StoreInUse:
        raise StoreInUse(
            f"another process has the store {folder}; it keeps the projections itself"
        ) from None
    with ExitStack() as opened:
        opened.callback(lock.release)
        log = opened.enter_context(open_log(folder))
        runner = Runner(log, folder / PROJECTIONS_FOLDER, folds)
        opened.callback(runner.close)
        yield runner
