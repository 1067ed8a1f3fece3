"""The gateway: connected stations, what they say to the log, and the log to them.

Inward, a frame becomes a work of the desk: decoded, decided, recorded, answered once it
is durable. Outward, the gateway follows the log: an ETP that was recorded as sent, an
activity that was asked for, an EVSE that was blocked becomes a call to its station.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from api.ocpp.calls import Call, NotAnswered
from api.ocpp.connection import Connection
from api.ocpp.desk import Desk, Link, Pace, Work
from api.ocpp.exchange import Handler, Module, followers_of, handlers_of
from api.ocpp.facts import record_of_station
from api.ocpp.peers import OBSERVED, Peer, Peers
from api.ocpp.proof import Proof
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from api.security.notes import Kind, Origin
from domain.model import ids
from domain.model import station_events as t
from domain.model.registry import BY_CLASS
from domain.model.values import DAY, Event, Instant
from domain.ports import Recorded, RowFilter, System

# Most rows of one work: others wait for it.
_ROWS_AT_ONCE: Final = 32


# How a connection ends that was let in by credentials which are good no more.
POLICY: Final = 1008
CREDENTIALS_CHANGED: Final = "its credentials were changed"


class Scheduler(Protocol):
    """Does something at an instant, on the links' thread."""

    def at(self, instant: Instant, do: Callable[[], None]) -> Callable[[], None]:
        """Do something at an instant; what is returned calls it off."""
        ...


class Desks(Protocol):
    """Where works are put."""

    @property
    def desk(self) -> Desk:
        """The desk itself."""
        ...

    def put(self, work: Work, pace: Pace = Pace.NOW) -> None:
        """Have a work done."""
        ...


class Gateway:
    """All stations of one tenant."""

    def __init__(
        self,
        system: System,
        desk: Desks,
        scheduler: Scheduler,
        modules: Sequence[Module],
    ) -> None:
        """Know the stations of ``system``'s log; nothing is connected yet."""
        self.desk = desk
        self.desk.desk.on_lost = self._lost
        self.peers = Peers(system.log)
        self._log = system.log
        self._modules = modules
        self._handlers = handlers_of(modules)
        self._followers = followers_of(modules)
        self._scheduler = scheduler
        self._messages = 0
        # Of links that are there; touched on the links' thread alone.
        self._connections: dict[Connection, None] = {}

    def connect(
        self,
        peer: Peer,
        version: Version,
        link: Link,
        origin: Origin,
        proof: Proof | None = None,
    ) -> Connection:
        """Take a station's new connection; one that it had gives way."""
        connection = Connection(self, peer, version, link, origin, proof)
        self._connections[connection] = None
        connection.waits = True
        self.desk.put(partial(self._connected, connection=connection), Pace.LATER)
        return connection

    def resume(self, desk: Desk) -> None:
        """Record that stations are gone that were there when the service was cut off.

        The work to begin with; also the loops count on it.
        """
        for peer in self.peers.by_id.values():
            if peer.connection is None and _was_connected(desk, peer):
                event = t.StationDisconnected(
                    station_id=peer.station_id, reason="the service was cut off"
                )
                record_of_station(desk, peer, event)

    def disconnect(self, connection: Connection, reason: str) -> None:
        """Take in that a link is gone."""
        self._connections.pop(connection, None)
        work = partial(self._disconnected, connection=connection, reason=reason)
        # After what it said last.
        self.desk.put(work, Pace.LATER if connection.waits else Pace.NOW)

    def end_unproven(self, desk: Desk, peer: Peer) -> None:
        """End a connection that was let in by what is good no more."""
        connection = peer.connection
        if connection is not None and not connection.is_proven:
            self._send_away(desk, connection)
            self._disconnected(desk, connection, CREDENTIALS_CHANGED)

    def _send_away(self, desk: Desk, connection: Connection) -> None:
        station_id, kind = connection.peer.station_id, Kind.WRONG_CREDENTIALS
        desk.note(kind, connection.origin, actor=station_id, detail=CREDENTIALS_CHANGED)
        desk.close(connection.link, POLICY, CREDENTIALS_CHANGED)

    def ask(self, desk: Desk, peer: Peer, call: Call) -> None:
        """Call a station; one that is not there is told so at once."""
        if peer.connection is None:
            call.on_answer(self, desk, peer, NotAnswered.NOT_CONNECTED)
        else:
            peer.connection.ask(desk, call)

    def at(
        self, instant: Instant, work: Work, pace: Pace = Pace.NOW
    ) -> Callable[[], None]:
        """Have a work done at an instant; what is returned calls it off.

        Later than others comes what thousands of stations that come at once bring
        about.
        """
        put = partial(self.desk.put, work, pace)
        return self._scheduler.at(instant, put)

    def follow(self, rows: Sequence[Recorded]) -> None:
        """Act on rows that were committed; each row once, in order."""
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[at : at + _ROWS_AT_ONCE]
            self.desk.put(partial(self._follow, rows=some))

    @property
    def followed(self) -> tuple[str, ...]:
        """The types of the rows that `follow` acts on."""
        kinds: set[type[Event]] = {*OBSERVED, *self._followers}
        return tuple(sorted(BY_CLASS[kind].name for kind in kinds))

    def handler(self, version: Version, action: str) -> Handler | None:
        """Return what answers an action; None for one that no station may send."""
        return self._handlers.get((version, action))

    def new_message_id(self) -> str:
        """Return the id of our next call."""
        self._messages += 1
        return f"vl-{self._messages}"

    def accepted(self, desk: Desk, peer: Peer) -> None:
        """Begin what is due when a station was told that it is accepted."""
        for module in self._modules:
            if module.on_accepted is not None:
                accepted = partial(module.on_accepted, self, desk, peer)
                desk.alone(peer.station_id, accepted)

    def undo(self, desk: Desk, peer: Peer, request: Wire) -> None:
        """Leave nothing of what a message of the station did before it failed."""
        desk.undo()
        for module in self._modules:
            if module.on_undone is not None:
                undone = partial(module.on_undone, self, desk, peer, request)
                desk.alone(peer.station_id, undone)

    def transaction_began(self, peer: Peer, evse_number: int) -> None:
        """Begin what is due when an EVSE has a transaction, after what is answered now.

        So too when the phases that it uses turn out to be others.
        """
        self.desk.put(partial(self._transaction, peer=peer, evse_number=evse_number))

    def _transaction(self, desk: Desk, peer: Peer, evse_number: int) -> None:
        for module in self._modules:
            if module.on_transaction is not None:
                began = partial(module.on_transaction, self, desk, peer, evse_number)
                desk.alone(peer.station_id, began)

    def _follow(self, desk: Desk, rows: Sequence[Recorded]) -> None:
        for row in rows:
            if row.stream.startswith(("station-", "evse-")):
                self.peers.observe(row)
            for follower in self._followers.get(type(row.event), ()):
                follow = partial(follower, self, desk, row)
                desk.alone(f"row {row.position}", follow)

    def _connected(self, desk: Desk, connection: Connection) -> None:
        connection.waits = False
        # Not the one that was there at the upgrade when all was read anew since.
        peer = connection.peer = self.peers.by_id[connection.peer.station_id]
        if not connection.is_proven:  # what let it in was changed at that moment
            self._send_away(desk, connection)
            return
        if peer.connection is not None:
            older = peer.connection
            desk.close(older.link, 1000, "a newer connection took its place")
            self._disconnected(desk, older, "replaced")
        peer.connection, peer.version = connection, connection.version
        peer.clock_recorded = None  # the loops take it for unknown until it tells
        profile = 0 if peer.credentials is None else peer.credentials.security_profile
        event = t.StationConnected(
            station_id=peer.station_id,
            version=connection.version,
            security_profile=profile,
        )
        record_of_station(desk, peer, event)
        for module in self._modules:
            if module.on_connected is not None:
                connected = partial(module.on_connected, self, desk, peer)
                desk.alone(peer.station_id, connected)

    def _disconnected(self, desk: Desk, connection: Connection, reason: str) -> None:
        peer = connection.peer
        if peer.connection is not connection:
            return
        peer.connection = None
        connection.lost(desk)
        event = t.StationDisconnected(station_id=peer.station_id, reason=reason)
        record_of_station(desk, peer, event)

    def _lost(self) -> None:
        """Begin anew from the log: what was learned by works that are lost is wrong.

        All connections end; a station that had no answer asks again on its next one.
        """
        peers, self.peers = self.peers, Peers(self._log)
        connected = [p.connection for p in peers.by_id.values() if p.connection]
        for peer in peers.by_id.values():
            peer.connection = None
        for connection in list(self._connections):
            connection.link.close(1011, "what was said could not be kept")
        self.desk.put(partial(self._all_lost, connections=connected))

    def _all_lost(self, desk: Desk, connections: Sequence[Connection]) -> None:
        for connection in connections:
            connection.lost(desk)
            event = t.StationDisconnected(
                station_id=connection.peer.station_id, reason="nothing could be kept"
            )
            record_of_station(desk, connection.peer, event)


def _was_connected(desk: Desk, peer: Peer) -> bool:
    """Return whether what was last recorded, this month or the one before, says so."""
    types = tuple(
        BY_CLASS[kind].name for kind in (t.StationConnected, t.StationDisconnected)
    )
    log = desk.system.log
    for at in (desk.now, desk.now - 31 * DAY):
        wanted = RowFilter(ids.connectivity_stream(peer.station_id, at), types)
        until = log.last_position()
        rows = log.find(wanted, after=0, until=until, limit=until)
        if rows:
            return isinstance(rows[-1].event, t.StationConnected)
    return False
