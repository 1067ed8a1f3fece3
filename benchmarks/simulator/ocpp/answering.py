"""What stations of all versions answer alike: to profiles, and when triggered."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.simulator.ocpp.evse import VirtualEvse
from benchmarks.simulator.ocpp.profiles import (
    NO_LIMIT,
    Json,
    Unacceptable,
    profile_of,
)
from benchmarks.simulator.ocpp.speech import Afterwards
from benchmarks.simulator.ocpp.station import Station
from domain.model.values import SECOND, Instant, iso_of


def evse_of(station: Station, number: int) -> VirtualEvse | None:
    """Return the EVSE of a number."""
    return station.evses[number - 1] if 1 <= number <= len(station.evses) else None


def evse_of_transaction(
    station: Station, transaction_id: str | int
) -> VirtualEvse | None:
    """Return the EVSE of an open transaction."""
    for evse in station.evses:
        transaction = evse.open_transaction
        if transaction is not None and transaction.id == transaction_id:
            return evse
    return None


def store(station: Station, number: int, raw: Json) -> str:
    """Store a profile; return why not, empty when it was."""
    if station.behaviour.refuses_profiles:
        return "NotNow"
    if station.offline_since:
        return ""  # it does not listen
    evse = evse_of(station, number)
    if evse is None and number != 0:
        return "UnknownEvse"
    transaction = None if evse is None else evse.open_transaction
    active = None if transaction is None else transaction.id
    try:
        station.profiles.put(profile_of(raw, number), active)
    except Unacceptable as refusal:
        return str(refusal)
    return ""


def apply(station: Station, number: int) -> None:
    """Let profiles that were stored or cleared take effect."""
    for evse in station.evses:
        if number in (0, evse.number):
            station.apply(evse)


def composite(
    station: Station, evse: VirtualEvse, duration_s: int, unit: str
) -> tuple[Instant, list[Json]]:
    """Return what the station will allow: its start and its periods."""
    moment = station.moment(evse)
    start_at = at = moment.at
    periods: list[Json] = []
    while at < start_at + duration_s * SECOND:
        limit_w = station.profiles.limit_w(moment, evse.wiring)
        most_w = evse.max_w if limit_w == NO_LIMIT else min(limit_w, evse.max_w)
        limit = most_w
        if unit == "A":
            lines = 1 if evse.wiring.is_dc else evse.wiring.phases
            limit = most_w / evse.wiring.voltage_v / lines
        period = {"startPeriod": (at - start_at) // SECOND, "limit": round(limit, 1)}
        if not periods or periods[-1]["limit"] != period["limit"]:
            periods.append(period)
        change_at = station.profiles.next_change(moment)
        if change_at is None:
            break
        # Periods are of whole seconds: what changes within one, has from the next on.
        at = start_at - (start_at - change_at) // SECOND * SECOND
        moment = station.moment(evse, at)
    return start_at, periods


def trigger(
    station: Station,
    asked: str,
    evses: Sequence[VirtualEvse],
    read: Mapping[str, Callable[[VirtualEvse], None]],
    afterwards: Afterwards,
) -> Json:
    """Answer a TriggerMessage; ``read`` are the messages that tell readings."""
    if asked in read:
        afterwards += [partial(read[asked], evse) for evse in evses]
    elif asked == "StatusNotification":
        afterwards += [partial(station.tell_status, evse) for evse in evses]
    elif asked == "Heartbeat":
        afterwards.append(partial(station.tell, "Heartbeat", {}))
    elif asked == "BootNotification":
        afterwards.append(partial(station.boot, "Triggered"))
    else:
        return {"status": "NotImplemented"}
    return {"status": "Accepted"}


def start_text(start_at: Instant) -> str:
    """Return an instant as it is on the wire."""
    return iso_of(start_at)
