"""Sessions made by a seed, for studies without a file.

An office's week: on weekdays 70 % of the cars come around 8:30 and stay most of the
working day, the others come at any time of the day for some hours; weekends have a
third of the cars. Energies are around 9 kWh and never above 90 % of what the stay can
give at 6.656 kW. Four drivers of five state a wish: about 1.8 times the energy, and a
departure that half of them stay beyond. All figures are ours.
"""

import random
from datetime import UTC, date, datetime, timedelta

from benchmarks.data.sessions import ChargingRecord, Sessions
from domain.model.values import HOUR, MINUTE, Instant, instant_of

_FULL_W = 6_656
_WEEKEND_SHARE = 1 / 3


def generated_sessions(
    first: date, last: date, per_day: int, station_ids: tuple[str, ...], seed: int
) -> Sessions:
    """Return sessions arriving on days first..last, in UTC.

    A car that finds no free station goes away, so there may be fewer than ``per_day``
    on a weekday.
    """
    dice = random.Random(f"voltledger-generated-{seed}-{per_day}")
    free_at: dict[str, Instant] = dict.fromkeys(station_ids, 0)
    records: list[ChargingRecord] = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        cars = per_day if day.weekday() < 5 else round(per_day * _WEEKEND_SHARE)
        midnight = instant_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
        stays = sorted(_stay(dice) for _ in range(cars))
        for number, (minute, stay_min) in enumerate(stays):
            arrival_at = midnight + minute * MINUTE
            free = [s for s in station_ids if free_at[s] <= arrival_at]
            if not free:
                continue
            station = dice.choice(free)
            free_at[station] = arrival_at + stay_min * MINUTE
            session_id = f"{day}-{number:03}"
            records.append(_record(dice, session_id, station, arrival_at, stay_min))
    return Sessions(tuple(records))


def _stay(dice: random.Random) -> tuple[int, int]:
    """Return arrival and length of a stay [minutes]."""
    if dice.random() < 0.7:
        arrival, hours = dice.gauss(8.5, 1.2), dice.gauss(7.5, 2.0)
    else:
        arrival, hours = dice.uniform(7, 21), dice.lognormvariate(0.9, 0.6)
    return (
        round(60 * min(max(arrival, 0), 23.9)),
        round(60 * min(max(hours, 0.5), 20)),
    )


def _record(
    dice: random.Random,
    session_id: str,
    station_id: str,
    arrival_at: Instant,
    stay_min: int,
) -> ChargingRecord:
    most_wh = 0.9 * _FULL_W * stay_min / 60
    takes_wh = round(min(1_000 * dice.lognormvariate(2.0, 0.6), most_wh))
    departure_at = arrival_at + stay_min * MINUTE
    claimed = dice.random() < 0.8
    asked_wh, estimate_at = takes_wh, departure_at
    if claimed:
        asked_wh = round(takes_wh * max(1.0, dice.gauss(1.8, 0.6)))
        late = round(dice.gauss(0, 60)) * MINUTE
        estimate_at = max(departure_at - late, arrival_at + HOUR // 4)
    return ChargingRecord(
        session_id=session_id,
        station_id=station_id,
        arrival_at=arrival_at,
        departure_at=departure_at,
        requested_wh=asked_wh,
        delivered_wh=takes_wh,
        estimated_departure_at=estimate_at,
        claimed=claimed,
        utc_offset_s=0,
    )
