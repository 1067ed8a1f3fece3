"""The library's own base cases, on the recorder that we ship, chain on."""

from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import msgspec
import pytest
from eventsourcing.persistence import (
    ApplicationRecorder,
    EventStore,
    IntegrityError,
    JSONTranscoder,
    StoredEvent,
)
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    RecorderTestCase,
)

from domain.errors import UnknownSchema
from domain.model import registry
from domain.model.session_events import ParkingStarted
from domain.store.committer import Committer
from domain.store.ledger import Ledger
from domain.store.mapper import RegistryMapper, StreamEvent
from domain.store.recorder import LedgerRecorder, topic_of, type_of
from domain.store.verify import verify
from tests.store.fakes import FakeClock, SeededIds


class OnTheLedger(RecorderTestCase):
    """Gives each base case a ledger of its own, and verifies what it left behind."""

    id_of: type[UUID] | type[str] = UUID

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self._folder = Path(folder.name)

    def new_recorder(self) -> LedgerRecorder:
        path, clock = self._folder / "ledger.sqlite", FakeClock()
        committer = Committer(Ledger(path, clock=clock, ids=SeededIds()), path)
        self.addCleanup(self._close, committer)
        return LedgerRecorder(committer, clock, self.id_of)

    def _close(self, committer: Committer) -> None:
        committer.close()
        report = verify(self._folder)
        assert report.broken == ()
        assert report.rows > 1


class TestApplicationRecorder(OnTheLedger, ApplicationRecorderTestCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.new_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationRecorderWithText(TestApplicationRecorder):
    id_of = str

    def new_originator_id(self) -> str:
        return f"session-{uuid4()}"


class TestNonInterleaving(OnTheLedger, NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.new_recorder()


class _WithoutPositions(LedgerRecorder):
    """As an aggregate recorder answers: the base case wants no positions of it."""

    def insert_events(self, *args: object, **kwargs: object) -> None:
        super().insert_events(*args, **kwargs)  # type: ignore[arg-type]


class TestAggregateRecorder(OnTheLedger, AggregateRecorderTestCase):
    def create_recorder(self) -> LedgerRecorder:
        recorder = self.new_recorder()
        return _WithoutPositions(recorder._committer, FakeClock(), self.id_of)


def test_a_stream_has_no_gaps(committer: Committer) -> None:
    recorder = LedgerRecorder(committer, FakeClock())
    recorder.insert_events([StoredEvent("s", 1, "t", b"")])
    with pytest.raises(IntegrityError, match="version 3"):
        recorder.insert_events([StoredEvent("s", 3, "t", b"")])
    with pytest.raises(IntegrityError, match="version 2"):
        recorder.insert_events([StoredEvent("new", 2, "t", b"")])


@pytest.mark.parametrize(
    ("topic", "name", "schema"),
    [("a.b", "a.b", 1), ("a.b@2", "a.b", 2), ("a@12", "a", 12), ("a@1", "a@1", 1),
     ("m:C", "m:C", 1), ("@2", "@2", 1), ("a@02", "a@02", 1)],
)  # fmt: skip
def test_a_topic_carries_the_schema(topic: str, name: str, schema: int) -> None:
    assert type_of(topic) == (name, schema)
    assert topic_of(name, schema) == topic


def test_the_event_store_of_the_library_works_on_ours(committer: Committer) -> None:
    recorder = LedgerRecorder(committer, FakeClock())
    store = EventStore[str](RegistryMapper(JSONTranscoder()), recorder)
    event = StreamEvent("session-1", 1, ParkingStarted(session_id="1", place="B2"))
    store.put([event])
    assert list(store.get("session-1")) == [event]
    (row,) = committer.read_stream("session-1")
    assert (row.event, row.type, row.is_decision) == (
        event.event, "parking.started", True,
    )  # fmt: skip
    with pytest.raises(TypeError, match="int is not a StreamEvent"):
        RegistryMapper(JSONTranscoder()).to_stored_event(5)  # type: ignore[arg-type]


def test_old_states_are_upcast_on_reading(
    committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`parking.started` moved on to schema 3: spot -> bay -> place."""
    now = registry.EventType(
        "parking.started", 3, ParkingStarted,
        {1: lambda old: {"session_id": old["session_id"], "bay": old["spot"]},
         2: lambda old: {"session_id": old["session_id"], "place": old["bay"]}},
    )  # fmt: skip
    monkeypatch.setitem(registry.BY_NAME, now.name, now)
    states = {1: {"session_id": "1", "spot": "A"}, 2: {"session_id": "1", "bay": "B"}}
    recorder = LedgerRecorder(committer, FakeClock())
    recorder.insert_events(
        [
            StoredEvent("s", n, topic_of(now.name, n), msgspec.msgpack.encode(state))
            for n, state in states.items()
        ]
    )
    rows = committer.read(after=0, limit=9)
    assert [row.event for row in rows] == [
        ParkingStarted(session_id="1", place=place) for place in "AB"
    ]
    assert [row.schema for row in rows] == [1, 2]
    (first, _) = recorder.select_events("s")
    mapped = RegistryMapper(JSONTranscoder()).to_domain_event(first)
    assert mapped.event == rows[0].event


def test_a_schema_of_the_future_is_refused(committer: Committer) -> None:
    recorder = LedgerRecorder(committer, FakeClock())
    recorder.insert_events([StoredEvent("s", 1, "parking.started@7", b"\x80")])
    with pytest.raises(UnknownSchema, match="version 7"):
        committer.read(after=0, limit=1)
