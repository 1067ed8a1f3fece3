"""E1.Info1 What meters show: MeterValues, and values within transactions' messages.

Power and import register of an EVSE with a transaction go to the loop, when they are
news; all else is kept as measures. Late ones of a transaction go to its books.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET, UnsetType

from api.ocpp.clock import measure_clock, our_time
from api.ocpp.codec import encode
from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module, taking
from api.ocpp.gateway import Gateway
from api.ocpp.kept import may_keep
from api.ocpp.meter_values import Metered, MeterValue, metered
from api.ocpp.open_transactions import runs
from api.ocpp.peers import OpenTransaction, Peer
from api.ocpp.unreadable import keep_message
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from api.ocpp.wire import Wire
from domain.loop.observer import Reading
from domain.model.metering import MeterPoint
from domain.model.values import MINUTE, Current, Quality, instant_of
from domain.use_cases.clause_7_5_station_transactions import (
    Reported,
    ReportTransaction,
    report_transaction,
)
from domain.use_cases.shared_path import By

# What is older is late: nothing for the loop.
NEWS_FOR: Final = 5 * MINUTE
# What a row of readings holds; beyond, a value is kept as a measure.
_LARGEST: Final = 2**31 - 1
# Power so many times of what an EVSE can give is none; nor is a voltage beyond these.
_MOST_POWER: Final = 2
_AC_VOLTS_SHARE: Final = (0.8, 1.2)
_DC_VOLTS: Final = (50.0, 1_500.0)


def _meter_values_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.MeterValuesRequest
) -> None:
    """Take readings of 1.6; connector 0 is the meter of the main."""
    number, told_id = request.connector_id, request.transaction_id
    values = request.meter_value
    transaction = _of_connector(peer, number, told_id, values)
    found = _take(desk, peer, number, values, transaction)
    if transaction is not None:
        _book(gateway, desk, peer, transaction, found)
    elif told_id is not UNSET:
        late = _late(desk, found)
        evse_id = peer.evse_id(number) or ""
        _report(desk, peer, str(told_id), evse_id, late, is_late=True)
    _hand_over(gateway, desk, peer, request, number, found, transaction)


def _of_connector(
    peer: Peer,
    number: int,
    told_id: int | UnsetType,
    meter_values: Sequence[MeterValue],
) -> OpenTransaction | None:
    """Return whose readings they are; a transaction that is late may have no number.

    What a connector's meter shows after a transaction began there is of that one, also
    under a number that we gave to none.
    """
    running = peer.transactions.get(number)
    if isinstance(told_id, int) and told_id > 0:
        known = peer.open_transactions.get(told_id)
        if known is not None or running is None:
            return known
        at = our_time(peer, instant_of(meter_values[0].timestamp))
        return running if at >= running.started_at else None
    if running is not None or told_id is UNSET:
        return running
    late = peer.open_transactions.values()
    return next((one for one in late if one.evse_number == number), None)


def _meter_values_2(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: v201.MeterValuesRequest | v21.MeterValuesRequest,
) -> None:
    """Take readings of 2.x; EVSE 0 is the meter of the main."""
    number = request.evse_id
    transaction = peer.transactions.get(number)
    values = request.meter_value
    found = _take(desk, peer, number, values, transaction)
    _hand_over(gateway, desk, peer, request, number, found, transaction)


def _take(
    desk: Desk,
    peer: Peer,
    number: int,
    meter_values: Sequence[MeterValue],
    transaction: OpenTransaction | None,
) -> list[Metered]:
    measure_clock(desk, peer, instant_of(meter_values[-1].timestamp))
    evse_id = peer.evse_id(number) or ""
    return read(desk, peer, meter_values, evse_id, transaction)


def _hand_over(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    request: Wire,
    number: int,
    found: Sequence[Metered],
    transaction: OpenTransaction | None,
) -> None:
    evse_id = peer.evse_id(number) or ""
    if evse_id or number == 0:
        live = peer.transactions.get(number)
        live = live if live is transaction else None
        hand_over(gateway, desk, peer, found, evse_id, live)
    else:
        peer.unreadable["UNKNOWN_EVSE"] += 1
    keep_aside(desk, peer, "MeterValues", request, number, found)


def _late(desk: Desk, found: Sequence[Metered]) -> tuple[MeterPoint, ...]:
    oldest = desk.now - NEWS_FOR
    return points_of([one for one in found if one.at < oldest])


def _book(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    transaction: OpenTransaction,
    found: Sequence[Metered],
) -> None:
    """Report what is late, and the first news of a transaction that began late.

    In 2.x what is for the books comes with the transaction's own messages.
    """
    transaction_id, evse_id = str(transaction.transaction_id), transaction.evse_id
    _report(desk, peer, transaction_id, evse_id, _late(desk, found), is_late=True)
    if peer.transactions.get(transaction.evse_number) is transaction:
        return
    oldest = desk.now - NEWS_FOR
    news = points_of([one for one in found if one.at >= oldest])
    told = _report(desk, peer, transaction_id, evse_id, news, is_late=False)
    if told is not None and told.is_news:
        transaction.session_id = told.session_id
        runs(gateway, peer, transaction)


def _report(
    desk: Desk,
    peer: Peer,
    transaction_id: str,
    evse_id: str,
    points: tuple[MeterPoint, ...],
    *,
    is_late: bool,
) -> Reported | None:
    """Report registers of a transaction, if there are any."""
    if not points:
        return None
    command = ReportTransaction(
        station_id=peer.station_id,
        kind="updated",
        evse_id=evse_id,
        transaction_id=transaction_id,
        is_offline=is_late,
        points=points,
    )
    by = By(actor=peer.station_id, at=points[-1].at)
    return report_transaction(desk.system, command, by)


def read(
    desk: Desk,
    peer: Peer,
    meter_values: Sequence[MeterValue],
    evse_id: str,
    transaction: OpenTransaction | None,
) -> list[Metered]:
    """Return what meter values say, each at its instant by our clock."""
    rank = None if transaction is None else transaction.meter.rank
    now = desk.now
    found = []
    for meter_value in meter_values:
        at = min(our_time(peer, instant_of(meter_value.timestamp)), now)
        one = metered(meter_value, evse_id, at, rank)
        if rank is None and one.import_milli is not None:
            rank = one.rank
        found.append(one)
    if transaction is not None:
        transaction.meter.rank = rank
    return found


def points_of(found: Sequence[Metered]) -> tuple[MeterPoint, ...]:
    """Return all registers among what meters showed."""
    return tuple(
        MeterPoint(m.at, m.register_wh, m.export_wh)
        for m in found
        if m.import_milli is not None or m.export_milli is not None
    )


def hand_over(
    gateway: Gateway,
    desk: Desk,
    peer: Peer,
    found: Sequence[Metered],
    evse_id: str,
    transaction: OpenTransaction | None,
) -> None:
    """Hand the loop what is news of a transaction, and keep all else as measures."""
    zone_id = peer.zone_id
    if not zone_id:
        return
    oldest = desk.now - NEWS_FOR
    for one in found:
        reading = None
        if transaction is not None and evse_id and one.at >= oldest:
            reading = _reading(peer, transaction, evse_id, one)
            _learn(gateway, peer, transaction, one)
        if reading is None:
            for measure in one.totals:
                desk.measure(zone_id, measure)
        else:
            desk.reading(zone_id, reading)
        for measure in one.others:
            desk.measure(zone_id, measure)


def _reading(
    peer: Peer, transaction: OpenTransaction, evse_id: str, one: Metered
) -> Reading | None:
    """Return power and import register; None where the meter does not tell both."""
    meter = transaction.meter
    most_w = _MOST_POWER * peer.evses[evse_id].max_w
    power_w = meter.power(one.at, one.import_milli, one.export_milli)
    mean_since = meter.mean_since
    if one.power_w is not None:
        if abs(one.power_w) <= most_w:
            power_w, mean_since = one.power_w, 0
        else:
            one.faults.append(f"{one.power_w} W at {evse_id}")
    if power_w is None or meter.register_milli is None:
        return None
    register_wh = meter.register_milli // 1_000
    if register_wh > _LARGEST or abs(power_w) > most_w:
        return None
    is_held = _is_held(peer, transaction)
    return Reading(evse_id, one.at, power_w, register_wh, mean_since, is_held)


def _is_held(peer: Peer, transaction: OpenTransaction) -> bool:
    """Whether the station said last that it, not the EV, lets nothing flow."""
    place = (transaction.evse_number, 1)  # 1.6 has one connector an EVSE
    status = peer.statuses.get(place, ("", "", 0))[0]
    return transaction.state == "suspended-evse" or status == "SuspendedEVSE"


def _learn(
    gateway: Gateway, peer: Peer, transaction: OpenTransaction, one: Metered
) -> None:
    """Keep what the encoder needs to know of an EV's phases and voltage.

    Phases only add up: an EV that tapers may leave some and come back to them.
    """
    if one.soc is not None:
        transaction.soc = one.soc
    evse = peer.evses[transaction.evse_id]
    if one.voltage_v is not None:
        low, high = _DC_VOLTS
        if evse.current is Current.AC:
            low, high = (evse.voltage_v * share for share in _AC_VOLTS_SHARE)
        if low <= one.voltage_v <= high:
            was_unknown = transaction.measured_v is None
            transaction.measured_v = one.voltage_v
            if was_unknown:  # a limit in amperes depends on it
                gateway.transaction_began(peer, transaction.evse_number)
    known = transaction.phases_in_use
    if one.phases is not None and (known is None or one.phases > known):
        use_phases(gateway, peer, transaction, one.phases)


def use_phases(
    gateway: Gateway, peer: Peer, transaction: OpenTransaction, phases: int
) -> None:
    """Take in how many phases an EV uses; a limit in amperes depends on it."""
    if transaction.phases_in_use == phases:
        return
    transaction.phases_in_use = phases
    gateway.transaction_began(peer, transaction.evse_number)


def keep_aside(
    desk: Desk,
    peer: Peer,
    action: str,
    request: Wire,
    number: int,
    found: Sequence[Metered],
) -> None:
    """Keep a message as it came where values are none, once a run, or are signed."""
    faults = [fault for one in found for fault in one.faults]
    if faults:
        peer.unreadable["IMPLAUSIBLE_VALUE"] += len(faults)
        if number not in peer.implausible_at and may_keep(desk, peer):
            rule = "; ".join(faults)[:255]
            payload = encode(request)
            keep_message(desk, peer, action, Quality.IMPLAUSIBLE, rule, payload)
            peer.implausible_at.add(number)
    elif number in peer.implausible_at:
        peer.implausible_at.discard(number)
    if any(one.is_signed for one in found) and may_keep(desk, peer):
        keep_message(desk, peer, action, Quality.GOOD, "signed", encode(request))


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "E1.Info1",
            "what meters show",
            (
                Carrier(V2, "=", ("MeterValues", "TransactionEvent"), "in"),
                Carrier(
                    ("1.6",),
                    "~",
                    ("MeterValues", "StopTransaction"),
                    "in",
                    "values are text; without exponents",
                ),
            ),
        ),
    ),
    handlers={
        ("1.6", "MeterValues"): taking(_meter_values_1_6),
        ("2.0.1", "MeterValues"): taking(_meter_values_2),
        ("2.1", "MeterValues"): taking(_meter_values_2),
    },
)
