"""The library's mapper on our registry: explicit names, schema versions, upcasts."""

import msgspec
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import Mapper, StoredEvent

from domain.model.registry import BY_CLASS, decode, encode
from domain.model.values import Event
from domain.store.recorder import topic_of, type_of


class StreamEvent(msgspec.Struct, frozen=True):
    """An event and where it stands: what the library calls a domain event."""

    originator_id: str
    originator_version: int
    event: Event


class RegistryMapper(Mapper[str]):
    """Maps stream events to stored events; a topic is a registered name.

    The transcoder, compressor and cipher of the base class are not used: the registry
    encodes, and personal data is sealed inside the states.
    """

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """Return the stored event of a `StreamEvent`."""
        if not isinstance(domain_event, StreamEvent):
            raise TypeError(f"{type(domain_event).__name__} is not a StreamEvent")
        event = domain_event.event
        known = BY_CLASS[type(event)]
        return StoredEvent(
            domain_event.originator_id,
            domain_event.originator_version,
            topic_of(known.name, known.schema),
            encode(event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> StreamEvent:
        """Return the event of a stored state, upcast to the present schema."""
        name, schema = type_of(stored_event.topic)
        return StreamEvent(
            str(stored_event.originator_id),
            stored_event.originator_version,
            decode(name, schema, stored_event.state),
        )
