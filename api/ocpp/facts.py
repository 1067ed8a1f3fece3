"""What stations tell is recorded as facts, in whichever stream it belongs to."""

from api.ocpp.desk import Desk
from api.ocpp.peers import Peer
from domain.model import ids
from domain.model.values import Event
from domain.ports import Append, Batch


def record_fact(desk: Desk, peer: Peer, stream: str, event: Event) -> None:
    """Record what a station told, or what its answer tells, as of now."""
    append = Append(stream, (event,), desk.now)
    desk.system.log.append(Batch(actor=peer.station_id, appends=(append,)))


def record_of_station(desk: Desk, peer: Peer, event: Event) -> None:
    """Record what a station told of itself."""
    record_fact(desk, peer, ids.connectivity_stream(peer.station_id, desk.now), event)


def record_of_delivery(desk: Desk, peer: Peer, event: Event) -> None:
    """Record what came of an ETP at its station."""
    record_fact(desk, peer, ids.delivery_stream(peer.station_id, desk.now), event)
