"""EVSEs: commissioning data, occupant, ETPs on their way and in force, observations."""

import sqlite3
from typing import Any

import msgspec

from domain.model import plan_events as p
from domain.model import session_events as s
from domain.model import site_events as z
from domain.model.profile import PowerProfile
from domain.model.values import Current, Instant, Sealed
from domain.ports import Recorded
from projections.fold import USABLE, Fold, Kept
from projections.history import Listings, Touches, Tracked, listings_ddl, touches_ddl

# How many deliveries are looked back on; older ones cannot come into force again.
_DELIVERIES_KEPT = 4


class Delivery(msgspec.Struct, array_like=True):
    """An ETP of an EVSE on its way: planned, sent, accepted, refused, ..."""

    number: int
    state: str = "planned"
    changed_at: Instant = 0
    position: int = 0
    accepted: bool = False
    attempts: int = 0
    reason: str = ""
    session_id: str = ""
    profile: PowerProfile | None = None


class Commissioning(msgspec.Struct, array_like=True, frozen=True):
    """What an EVSE is."""

    current: Current
    phases: int
    voltage_v: int
    v2g: bool


class Evse(msgspec.Struct, array_like=True):
    """An EVSE as it stands. ``etp_in_force`` is the last one accepted.

    ``blocked`` is why nobody may use it, a safety issue first (``is_safety``);
    ``assessed_at`` is when its safety was assessed last (7.10), ``issue_number`` that
    of the last safety issue, which an assessment names.
    """

    evse_id: str
    station_id: str = ""
    zone_id: str = ""
    commissioning: Commissioning | None = None
    max_w: int = 0
    floor_w: int = 0
    min_w: int = 0
    state: str = "available"
    session_id: str = ""
    reserved_for: str = ""
    blocked: str = ""
    blocked_details: Sealed | None = None
    is_safety: bool = False
    assessed_at: Instant | None = None
    etp_planned: Delivery | None = None
    etp_last_sent: Delivery | None = None
    etp_in_force: Delivery | None = None
    delivery: str = ""
    observed_at: Instant | None = None
    power_w: int | None = None
    energy_wh: int | None = None
    issue_number: int = 0


class Block(msgspec.Struct, array_like=True, frozen=True):
    """Why nobody may use an EVSE."""

    reason: str
    details: Sealed | None = None


class EvseDocument(msgspec.Struct, array_like=True):
    """An EVSE, the deliveries its ETPs are found from, and what keeps it from use."""

    evse_id: str
    evse: Evse = msgspec.field(default_factory=lambda: Evse(""))
    deliveries: dict[int, Delivery] = {}
    suspended: Block | None = None
    unsafe: Block | None = None

    def __post_init__(self) -> None:
        self.evse.evse_id = self.evse_id

    def shown(self) -> Evse:
        """Return the EVSE with its state and its ETPs."""
        evse, deliveries = self.evse, self.deliveries
        evse.state = _state_of(evse)
        if deliveries:
            evse.etp_planned = deliveries[max(deliveries)]
            evse.delivery = evse.etp_planned.state
        sent = [n for n, d in deliveries.items() if d.state != "planned"]
        accepted = [n for n, d in deliveries.items() if d.accepted]
        evse.etp_last_sent = deliveries[max(sent)] if sent else None
        evse.etp_in_force = deliveries[max(accepted)] if accepted else None
        return evse


class Reservation(msgspec.Struct, array_like=True):
    """Where a session has an EVSE kept, and when that ended."""

    session_id: str
    evse_id: str = ""


def _columns(document: EvseDocument) -> tuple[Any, ...]:
    evse = document.evse
    return (evse.zone_id, evse.station_id, _state_of(evse))


class EvsesFold(Fold):
    """Writes ``evses.sqlite``."""

    name = "evses"
    schema = 4
    ddl = (
        """
    CREATE TABLE evse(
      evse_id TEXT PRIMARY KEY,
      zone_id TEXT NOT NULL,
      station_id TEXT NOT NULL,
      state TEXT NOT NULL,
      document BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX evse_by_zone ON evse(zone_id, state, evse_id);
    CREATE INDEX evse_by_station ON evse(station_id, state, evse_id);
    CREATE INDEX evse_by_state ON evse(state, evse_id);
    CREATE TABLE reservation(session_id TEXT PRIMARY KEY, document BLOB NOT NULL)
      WITHOUT ROWID;
    """
        + touches_ddl("evse")
        + touches_ddl("reservation")
        + listings_ddl("evse", "zone_id TEXT", "station_id TEXT", "state TEXT")
    )

    def __init__(self, db: sqlite3.Connection) -> None:
        super().__init__(db)
        self._evses = Tracked(
            self,
            "evse",
            EvseDocument,
            _columns,
            touches=Touches(db, "evse"),
            listings=Listings(db, "evse", _columns),
        )
        self._reservations = Tracked(
            self, "reservation", Reservation, touches=Touches(db, "reservation")
        )
        self.handlers = {
            z.EvseCommissioned: self._commissioned,
            z.EvseLimitsChanged: self._limits_changed,
            z.EvseReserved: self._reserved,
            z.EvseOccupied: self._occupied,
            z.EvseVacated: self._vacated,
            z.EvseBlocked: self._blocked,
            z.EvseAssessed: self._assessed,
            z.EvseUnblocked: self._unblocked,
            s.ReservationEnded: self._reservation_ended,
            s.TransferObserved: self._observed,
            p.PlanMade: self._planned,
            p.EtpSent: self._sent,
            p.EtpAccepted: self._accepted,
            p.EtpRefused: self._refused,
            p.EtpTimedOut: self._timed_out,
            p.EtpConfirmed: self._confirmed,
        }

    @property
    def documents(self) -> Tracked[EvseDocument]:
        """The EVSEs, for who folds a part of the past."""
        return self._evses

    def save(self) -> None:
        """Write the EVSEs of this batch."""
        self._evses.save()
        self._reservations.save()

    def forget(self) -> None:
        """Drop what is in memory."""
        self._evses.forget()
        self._reservations.forget()

    def _commissioned(self, row: Recorded, event: z.EvseCommissioned) -> None:
        kept = self._evses.get(event.evse_id)
        if kept.newer("commissioned", row):
            evse = kept.view.evse
            evse.station_id = event.station_id
            evse.zone_id = event.zone_id
            evse.commissioning = Commissioning(
                event.current, event.phases, event.voltage_v, event.v2g
            )
        self._limit(kept, row, event)

    def _limits_changed(self, row: Recorded, event: z.EvseLimitsChanged) -> None:
        self._limit(self._evses.get(event.evse_id), row, event)

    def _limit(
        self,
        kept: Kept[EvseDocument],
        row: Recorded,
        event: z.EvseCommissioned | z.EvseLimitsChanged,
    ) -> None:
        if kept.newer("limits", row):
            evse = kept.view.evse
            evse.max_w, evse.floor_w = event.max_w, event.floor_w
            evse.min_w = event.min_w

    def _reserved(self, row: Recorded, event: z.EvseReserved) -> None:
        reservation = self._reservations.get(event.session_id)
        ended = reservation.marks.get("ended", (-1, -1))
        reservation.view.evse_id = event.evse_id
        kept = self._evses.get(event.evse_id)
        if ended < (row.occurred_at, row.position) and kept.newer("reserved", row):
            kept.view.evse.reserved_for = event.session_id

    def _reservation_ended(self, row: Recorded, event: s.ReservationEnded) -> None:
        reservation = self._reservations.get(event.session_id)
        reservation.newer("ended", row)
        if reservation.view.evse_id:
            kept = self._evses.get(reservation.view.evse_id)
            ours = kept.view.evse.reserved_for == event.session_id
            if ours and kept.newer("reserved", row):
                kept.view.evse.reserved_for = ""

    def _occupied(self, row: Recorded, event: z.EvseOccupied) -> None:
        kept = self._evses.get(event.evse_id)
        if kept.newer("occupant", row):
            kept.view.evse.session_id = event.session_id
        if kept.newer("reserved", row):
            kept.view.evse.reserved_for = ""

    def _vacated(self, row: Recorded, event: z.EvseVacated) -> None:
        kept = self._evses.get(event.evse_id)
        if kept.newer("occupant", row):
            kept.view.evse.session_id = ""

    # Blocks hold in the order of the log, as every decision on the EVSE sees them,
    # whatever a late report says of its own time.

    def _blocked(self, row: Recorded, event: z.EvseBlocked) -> None:
        document = self._evses.get(event.evse_id).view
        block = Block(event.reason, event.details)
        if event.is_safety:
            document.unsafe = block
            document.evse.issue_number += 1
        else:
            document.suspended = block
        _show_block(document)

    def _assessed(self, row: Recorded, event: z.EvseAssessed) -> None:
        document = self._evses.get(event.evse_id).view
        document.evse.assessed_at = row.occurred_at
        if event.is_safe:
            document.unsafe = None
        _show_block(document)

    def _unblocked(self, row: Recorded, event: z.EvseUnblocked) -> None:
        document = self._evses.get(event.evse_id).view
        document.suspended = document.unsafe = None
        _show_block(document)

    def _observed(self, row: Recorded, event: s.TransferObserved) -> None:
        if event.quality not in USABLE:
            return
        kept = self._evses.get(event.evse_id)
        if kept.newer("observed", row):
            evse = kept.view.evse
            evse.observed_at = row.occurred_at
            evse.power_w, evse.energy_wh = event.power_w, event.energy_wh

    def _planned(self, row: Recorded, event: p.PlanMade) -> None:
        for etp in event.etps_changed:
            delivery = self._delivery(etp.evse_id, etp.number)
            delivery.session_id = etp.session_id
            if delivery.state == "planned":
                delivery.profile = etp.profile
                delivery.changed_at = row.occurred_at
                delivery.position = row.position

    def _sent(self, row: Recorded, event: p.EtpSent) -> None:
        delivery = self._delivery(event.evse_id, event.number)
        delivery.profile = event.profile
        delivery.attempts = max(delivery.attempts, event.attempt)
        _turn(delivery, "sent", row)

    def _accepted(self, row: Recorded, event: p.EtpAccepted) -> None:
        delivery = self._delivery(event.evse_id, event.number)
        delivery.accepted = True
        _turn(delivery, "accepted", row)

    def _refused(self, row: Recorded, event: p.EtpRefused) -> None:
        delivery = self._delivery(event.evse_id, event.number)
        delivery.reason = event.reason
        _turn(delivery, "refused", row)

    def _timed_out(self, row: Recorded, event: p.EtpTimedOut) -> None:
        _turn(self._delivery(event.evse_id, event.number), "timed_out", row)

    def _confirmed(self, row: Recorded, event: p.EtpConfirmed) -> None:
        delivery = self._delivery(event.evse_id, event.number)
        delivery.accepted = True
        _turn(delivery, "confirmed", row)

    def _delivery(self, evse_id: str, number: int) -> Delivery:
        deliveries = self._evses.get(evse_id).view.deliveries
        delivery = deliveries.get(number)
        if delivery is None:
            delivery = deliveries[number] = Delivery(number)
            if len(deliveries) > _DELIVERIES_KEPT:
                _let_go(deliveries)
        return delivery


def _show_block(document: EvseDocument) -> None:
    evse, block = document.evse, document.unsafe or document.suspended
    evse.blocked = block.reason if block else ""
    evse.blocked_details = block.details if block else None
    evse.is_safety = document.unsafe is not None


def _let_go(deliveries: dict[int, Delivery]) -> None:
    """Drop the oldest delivery that is not the one in force."""
    in_force = max((n for n, d in deliveries.items() if d.accepted), default=None)
    del deliveries[min(number for number in deliveries if number != in_force)]


def _turn(delivery: Delivery, state: str, row: Recorded) -> None:
    """Give the delivery a state unless a later one is known."""
    planned = delivery.state == "planned"
    mark = (row.occurred_at, row.position)
    if planned or mark > (delivery.changed_at, delivery.position):
        delivery.state = state
        delivery.changed_at, delivery.position = mark


def _state_of(evse: Evse) -> str:
    if evse.blocked:
        return "blocked"
    if evse.session_id:
        return "occupied"
    return "reserved" if evse.reserved_for else "available"
