"""An incentive as messages to a station: a display's text, data, prices in an ETP.

Pure, by version. Prices and CO2 go to the EV as the sales tariff of its schedule (ISO
15118), relative to the dearest price: the protocol carries no more of them.
"""

from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import UNSET

from api.ocpp.activity_calls import display_message
from api.ocpp.charging_profiles import Request
from api.ocpp.tokens import VENDOR_ID
from api.ocpp.v16 import messages as m16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import datatypes as d201
from api.ocpp.v201 import messages as m201
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from domain.model.incentive_events import IncentiveReceived
from domain.model.profile import Change
from domain.model.values import SECOND, Instant, datetime_of, instant_of, iso_of

_DATATYPES: Final[dict[str, ModuleType]] = {"2.0.1": d201, "2.1": d21}
# Display messages of incentives have ids above those of operators' own.
_FIRST_ID: Final = 1_000


def text_of(incentive: IncentiveReceived) -> str:
    """Return what users at an EVSE are told."""
    told = [incentive.peak] if incentive.peak else []
    if incentive.tariff:
        told.append(f"{_range(incentive.tariff, 100)} {incentive.currency}/kWh")
    if incentive.co2:
        told.append(f"{_range(incentive.co2, 1)} g CO2/kWh")
    if incentive.maximum_w is not None:
        told.append(f"at most {incentive.maximum_w / 1000:g} kW")
    return "; ".join(told)


def _range(changes: Sequence[Change], unit: int) -> str:
    values = sorted({value / unit for _, value in changes})
    decimals = 2 if unit > 1 else 0
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(f"{value:.{decimals}f}" for value in ends)


def telling(
    version: Version, incentive: IncentiveReceived, ordinal: int, evse_number: int
) -> tuple[str, Wire]:
    """Return action and request that tell an EVSE of an incentive.

    ``ordinal`` counts the incentives of the zone.
    """
    if version == "1.6":
        return _data("incentive", _told_1_6(incentive, evse_number))
    return "SetDisplayMessage", display_message(
        version,
        _message_id(ordinal, evse_number),
        evse_number,
        text_of(incentive),
        start_date_time=datetime_of(incentive.from_at),
        end_date_time=datetime_of(incentive.until_at),
    )


def withdrawing(
    version: Version, incentive: IncentiveReceived, ordinal: int, evse_number: int
) -> tuple[str, Wire]:
    """Return what takes it back."""
    message_id = _message_id(ordinal, evse_number)
    match version:
        case "1.6":
            told = {"incentiveId": incentive.incentive_id, "connectorId": evse_number}
            return _data("incentive-withdrawn", told)
        case "2.0.1":
            return "ClearDisplayMessage", m201.ClearDisplayMessageRequest(id=message_id)
        case "2.1":
            return "ClearDisplayMessage", m21.ClearDisplayMessageRequest(id=message_id)


def _message_id(ordinal: int, evse_number: int) -> int:
    return _FIRST_ID * ordinal + evse_number


def _data(message_id: str, told: dict[str, Any]) -> tuple[str, Wire]:
    return "DataTransfer", m16.DataTransferRequest(
        vendor_id=VENDOR_ID,
        message_id=message_id,
        data=msgspec.json.encode(told).decode(),
    )


def _told_1_6(incentive: IncentiveReceived, connector_id: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "incentiveId": incentive.incentive_id,
        "connectorId": connector_id,
        "from": iso_of(incentive.from_at),
        "until": iso_of(incentive.until_at),
        "text": text_of(incentive),
    }
    if incentive.tariff:
        told["currency"] = incentive.currency
        told["minorUnitsPerKwh"] = incentive.tariff
    if incentive.co2:
        told["gramsCo2PerKwh"] = incentive.co2
    if incentive.maximum_w is not None:
        told["maximumW"] = incentive.maximum_w
    return told


def with_prices(
    request: Request, incentive: IncentiveReceived, clock_offset: Instant
) -> Request:
    """Return an ETP's message with tariff and CO2, as far as they are still to come.

    ``clock_offset`` is the station's clock less ours: the schedule begins by its clock.
    """
    if isinstance(request, m16.SetChargingProfileRequest):
        return request
    version = "2.1" if isinstance(request, m21.SetChargingProfileRequest) else "2.0.1"
    schedules = request.charging_profile.charging_schedule
    start_schedule = schedules[0].start_schedule
    if start_schedule is UNSET:
        return request
    start_at = instant_of(start_schedule) - clock_offset
    tariff = _sales_tariff(_DATATYPES[version], incentive, start_at)
    if tariff is None:
        return request
    changed: Any = tuple(
        msgspec.structs.replace(schedule, sales_tariff=tariff) for schedule in schedules
    )
    profile: Any = msgspec.structs.replace(
        request.charging_profile, charging_schedule=changed
    )
    priced: Request = msgspec.structs.replace(request, charging_profile=profile)
    return priced


def _sales_tariff(
    datatypes: ModuleType, incentive: IncentiveReceived, start_at: Instant
) -> Any:
    """Return the tariff of a schedule that starts at an instant; None: none is left."""
    levels = sorted({price for _, price in incentive.tariff})
    offsets = {offset_s for offset_s, _ in (*incentive.tariff, *incentive.co2)}
    points = [incentive.from_at + offset_s * SECOND for offset_s in sorted(offsets)]
    entries = []
    for at, end_at in pairwise([*points, incentive.until_at]):
        if end_at <= start_at:
            continue
        begin_s = max(0, (at - start_at) // SECOND)
        interval = datatypes.RelativeTimeInterval(
            start=begin_s, duration=(end_at - start_at) // SECOND - begin_s
        )
        offset_s = (at - incentive.from_at) // SECOND
        price = _value(incentive.tariff, offset_s)
        entries.append(
            datatypes.SalesTariffEntry(
                relative_time_interval=interval,
                e_price_level=UNSET if price is None else levels.index(price),
                consumption_cost=_costs(datatypes, incentive, price, offset_s),
            )
        )
    if not entries:
        return None
    return datatypes.SalesTariff(
        id=1,
        sales_tariff_description=incentive.incentive_id[:32],
        num_e_price_levels=len(levels) or UNSET,
        sales_tariff_entry=tuple(entries),
    )


def _value(changes: Sequence[Change], offset_s: int) -> int | None:
    held = [value for at_s, value in changes if at_s <= offset_s]
    return held[-1] if held else None


def _costs(
    datatypes: ModuleType,
    incentive: IncentiveReceived,
    price: int | None,
    offset_s: int,
) -> Any:
    """Return price and CO2 of an entry, the price as a share of the dearest one."""
    dearest = max((price for _, price in incentive.tariff), default=0)
    told = {}
    if price is not None and dearest > 0:
        told["RelativePricePercentage"] = round(100 * price / dearest)
    if (grams := _value(incentive.co2, offset_s)) is not None:
        told["CarbonDioxideEmission"] = grams
    if not told:
        return UNSET
    costs = tuple(
        datatypes.Cost(cost_kind=kind, amount=amount) for kind, amount in told.items()
    )
    return (datatypes.ConsumptionCost(start_value=0, cost=costs),)
