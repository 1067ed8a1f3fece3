"""E4 The RM sets or revokes the PRE of a zone (IEC 63110-1 8.2.6); by `shared_path`.

The PRE is E4 Info1. The AETP that answers it, Info2, is in the event of the plan that
`domain.loop` makes next.
"""

from collections.abc import Sequence

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model.plan_events import PreReceived, PreRevoked
from domain.model.profile import PowerRangeEnvelope
from domain.model.values import DAY, Instant, iso_of
from domain.ports import Answer, Append, Batch, Recorded, System
from domain.use_cases.shared_path import By, load_zone, record, taken

LONGEST_AHEAD = 366 * DAY

_NONE: frozenset[str] = frozenset()


class ReceivePre(msgspec.Struct, frozen=True, kw_only=True):
    """The RM sets a PRE for a zone."""

    zone_id: str
    pre_id: str
    envelope: PowerRangeEnvelope
    mandatory: bool = False
    source: str = "rm"


def receive_pre(system: System, command: ReceivePre, by: By) -> Answer:
    """Record the PRE; one that is malformed or already over is refused."""

    def decide() -> Batch:
        _check(command, by.at)
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


def _check(command: ReceivePre, at: Instant) -> None:
    ids.name_of("PRE id", command.pre_id)
    command.envelope.check()
    end_at = command.envelope.end_at
    if end_at <= at:
        raise InvalidValue(
            f"PRE {command.pre_id} ended at {iso_of(end_at)}, before {iso_of(at)}"
        )
    if command.envelope.start_at < 0 or end_at > at + LONGEST_AHEAD:
        raise InvalidValue(
            f"PRE {command.pre_id} from {iso_of(command.envelope.start_at)} until "
            f"{iso_of(end_at)} is more than a year away"
        )


class RevokePre(msgspec.Struct, frozen=True, kw_only=True):
    """The RM takes a PRE back."""

    zone_id: str
    pre_id: str


def revoke_pre(system: System, command: RevokePre, by: By) -> Answer:
    """Record the revocation; of a PRE not received, or revoked, it is refused."""

    def decide() -> Batch:
        load_zone(system, command.zone_id)
        stream = ids.pre_stream(command.zone_id)
        if command.pre_id not in taken(system, stream, _NONE, _revocable):
            raise Refused(
                f"zone {command.zone_id} has no PRE {command.pre_id!r} to revoke"
            )
        event = PreRevoked(zone_id=command.zone_id, pre_id=command.pre_id)
        return Batch(appends=(Append(stream, (event,), by.at),))

    return record(system, by, command, decide)


def _revocable(known: frozenset[str], rows: Sequence[Recorded]) -> frozenset[str]:
    """Return the PREs that can be revoked after some more rows."""
    found = set(known)
    for row in rows:
        if isinstance(row.event, PreReceived):
            found.add(row.event.pre_id)
        elif isinstance(row.event, PreRevoked):
            found.discard(row.event.pre_id)
    return frozenset(found)
