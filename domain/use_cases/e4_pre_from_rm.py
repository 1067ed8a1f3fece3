"""E4 The RM sets or revokes the PRE of a zone (IEC 63110-1 8.2.6); by `shared_path`.

The PRE is E4 Info1. The AETP that answers it, Info2, is in the event of the plan that
`domain.loop` makes next.
"""

import msgspec

from domain.errors import InvalidValue
from domain.model import ids
from domain.model.plan_events import PreReceived, PreRevoked
from domain.model.profile import PowerRangeEnvelope
from domain.model.values import iso_of
from domain.ports import Answer, Append, Batch, System
from domain.use_cases.shared_path import By, load_zone, record


class ReceivePre(msgspec.Struct, frozen=True, kw_only=True):
    """The RM sets a PRE for a zone."""

    zone_id: str
    pre_id: str
    envelope: PowerRangeEnvelope
    mandatory: bool = False
    source: str = "rm"


def receive_pre(system: System, command: ReceivePre, by: By) -> Answer:
    """Record the PRE; one that is malformed or already over is refused."""
    ids.name_of("PRE id", command.pre_id)
    command.envelope.check()
    if command.envelope.end_at <= by.at:
        raise InvalidValue(
            f"PRE {command.pre_id} ended at {iso_of(command.envelope.end_at)}, before "
            f"{iso_of(by.at)}"
        )

    def decide() -> Batch:
        load_zone(system, command.zone_id)
        event = PreReceived(
            zone_id=command.zone_id,
            pre_id=command.pre_id,
            envelope=command.envelope,
            mandatory=command.mandatory,
            source=command.source,
        )
        return Batch(
            appends=(Append(ids.pre_stream(command.zone_id), (event,), by.at),)
        )

    return record(system, by, command, decide)


class RevokePre(msgspec.Struct, frozen=True, kw_only=True):
    """The RM takes a PRE back."""

    zone_id: str
    pre_id: str


def revoke_pre(system: System, command: RevokePre, by: By) -> Answer:
    """Record the revocation; a PRE the zone never received is refused."""

    def decide() -> Batch:
        load_zone(system, command.zone_id)
        stream = ids.pre_stream(command.zone_id)
        known = {
            row.event.pre_id
            for row in system.log.read_stream(stream)
            if isinstance(row.event, PreReceived)
        }
        if command.pre_id not in known:
            raise InvalidValue(
                f"zone {command.zone_id} never received PRE {command.pre_id!r}"
            )
        event = PreRevoked(zone_id=command.zone_id, pre_id=command.pre_id)
        return Batch(appends=(Append(stream, (event,), by.at),))

    return record(system, by, command, decide)
