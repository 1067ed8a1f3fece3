"""Laws of the ledger under random interleavings of decisions, facts and repeats."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Conflict
from domain.model.session_events import ParkingStarted
from domain.ports import Append, Batch
from domain.store.ledger import Ledger
from domain.store.reader import LedgerReader
from domain.store.verify import verify
from tests.store.fakes import MONDAY, FakeClock, SeededIds

STREAMS = ("s", "t", "u")

appends = st.tuples(
    st.sampled_from(STREAMS),
    st.integers(1, 3),
    # How far the decider's view lags behind; None for a fact.
    st.one_of(st.none(), st.sampled_from([0, 0, 0, 1, 2])),
)
steps = st.one_of(
    st.lists(appends, min_size=1, max_size=3),
    st.sampled_from(["flush", "reopen", "clock back", "clock on", "repeat"]),
)


class Machine:
    """The ledger beside a model of it: versions and decision versions by stream."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock()
        self.ids = SeededIds()
        self.ledger = Ledger(path, clock=self.clock, ids=self.ids)
        self.rows: list[tuple[str, int, int]] = []
        self.last: Batch | None = None

    def do(self, step: str | list[tuple[str, int, int | None]]) -> None:
        if step == "flush":
            self.ledger.flush()
        elif step == "reopen":
            self.ledger.close()
            self.ledger = Ledger(self.path, clock=self.clock, ids=self.ids)
        elif step == "clock back":
            self.clock.at -= 5
        elif step == "clock on":
            self.clock.at += 7
        elif step == "repeat":
            if self.last is not None:
                assert self.ledger.append(self.last).repeated
        else:
            assert isinstance(step, list)
            self.append(step)

    def append(self, wanted: list[tuple[str, int, int | None]]) -> None:
        """Append to the ledger what the model says must pass or must conflict."""
        rows, batch, passes = list(self.rows), [], True
        for stream, count, lag in wanted:
            version, decided = self.head(rows, stream)
            expected = None if lag is None else max(0, decided - lag)
            passes &= expected in (None, decided)
            for _ in range(count):
                version += 1
                decided = decided if lag is None else version
                rows.append((stream, version, decided))
            event = ParkingStarted(session_id=str(len(rows)))
            batch.append(Append(stream, (event,) * count, MONDAY, expected))
        command = Batch(
            appends=tuple(batch), actor="a", command_id=f"c{len(self.rows)}"
        )
        if passes:
            answer = self.ledger.append(command)
            assert (answer.first, answer.count) == (
                len(self.rows) + 1,
                len(rows) - len(self.rows),
            )
            self.rows, self.last = rows, command
        else:
            try:
                self.ledger.append(command)
            except Conflict:
                return
            raise AssertionError("a stale decision passed")

    @staticmethod
    def head(rows: list[tuple[str, int, int]], stream: str) -> tuple[int, int]:
        heads = [(version, decided) for at, version, decided in rows if at == stream]
        return heads[-1] if heads else (0, 0)


@given(st.lists(steps, max_size=25))
@settings(max_examples=60)
def test_the_ledger_is_its_model(
    history: list[str | list[tuple[str, int, int]]],
) -> None:
    with TemporaryDirectory() as folder:
        machine = Machine(Path(folder) / "ledger.sqlite")
        for step in history:
            machine.do(step)  # type: ignore[arg-type]
        live = machine.ledger.read(after=0, limit=1_000)
        assert [(r.stream, r.version, r.decision_version) for r in live] == machine.rows
        for stream in STREAMS:
            assert list(machine.ledger.read_stream(stream)) == [
                row for row in live if row.stream == stream
            ]
        machine.ledger.close()
        with LedgerReader.open(machine.path) as reader:
            assert reader.read(after=0, limit=1_000) == live
        assert verify(Path(folder)).broken == ()
