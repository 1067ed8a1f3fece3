"""Charging profiles of ours as the SetChargingProfile of each version."""

from typing import Final, Literal, NamedTuple

from msgspec import UNSET

from api.ocpp.capabilities import Capabilities, RateUnit
from api.ocpp.v2 import V2_TYPES
from api.ocpp.v16 import datatypes as v16_datatypes
from api.ocpp.v16 import messages as v16_messages
from api.ocpp.v21 import messages as v21_messages
from api.ocpp.v201 import messages as v201_messages
from api.ocpp.violations import Version
from domain.model.values import Instant, datetime_of, instant_of

Purpose = Literal["TxProfile", "TxDefaultProfile", "ChargingStationMaxProfile"]
RequestOf2 = (
    v201_messages.SetChargingProfileRequest | v21_messages.SetChargingProfileRequest
)
Request = v16_messages.SetChargingProfileRequest | RequestOf2

_PURPOSES: Final[tuple[Purpose, ...]] = (
    "TxProfile",
    "TxDefaultProfile",
    "ChargingStationMaxProfile",
)


class Draft(NamedTuple):
    """A charging profile, before it takes the shape of a version."""

    purpose: Purpose
    evse_number: int
    schedule_id: int
    start_at: Instant
    unit: RateUnit
    periods: tuple[tuple[int, float], ...]
    number_phases: int | None
    transaction_id: int | str | None = None
    max_offline_s: int | None = None


def profile_id(evse_number: int, purpose: Purpose) -> int:
    """Return the one id, unique in a station, of an EVSE's profile of this purpose.

    It is overwritten and never cleared: between the two there would be no limit, and
    another id at the same stack level is refused.
    """
    return evse_number * len(_PURPOSES) + _PURPOSES.index(purpose) + 1


def request(draft: Draft, capabilities: Capabilities) -> Request:
    """Return the SetChargingProfile of the station's version."""
    # One below the highest: some stations keep that for themselves.
    stack_level = max(0, capabilities.max_stack_level - 1)
    match capabilities.version:
        case "1.6":
            return _request_1_6(draft, stack_level)
        case "2.0.1" | "2.1" as version:
            return _request_2(draft, stack_level, version)


def _request_1_6(
    draft: Draft, stack_level: int
) -> v16_messages.SetChargingProfileRequest:
    transaction_id = draft.transaction_id
    return v16_messages.SetChargingProfileRequest(
        connector_id=draft.evse_number,
        cs_charging_profiles=v16_datatypes.CsChargingProfiles(
            charging_profile_id=profile_id(draft.evse_number, draft.purpose),
            stack_level=stack_level,
            charging_profile_purpose=(
                "ChargePointMaxProfile"
                if draft.purpose == "ChargingStationMaxProfile"
                else draft.purpose
            ),
            charging_profile_kind="Absolute",
            transaction_id=UNSET if transaction_id is None else int(transaction_id),
            charging_schedule=v16_datatypes.ChargingSchedule(
                charging_rate_unit=draft.unit,
                start_schedule=datetime_of(draft.start_at),
                charging_schedule_period=tuple(
                    v16_datatypes.ChargingSchedulePeriod(
                        start_period=start_s,
                        limit=limit,
                        number_phases=draft.number_phases or UNSET,
                    )
                    for start_s, limit in draft.periods
                ),
            ),
        ),
    )


def _request_2(draft: Draft, stack_level: int, version: Version) -> RequestOf2:
    messages, datatypes = V2_TYPES[version]
    transaction_id, offline_s = draft.transaction_id, draft.max_offline_s
    offline = {}
    if version == "2.1" and offline_s is not None:
        offline["max_offline_duration"] = offline_s
        offline["invalid_after_offline_duration"] = False
    message: RequestOf2 = messages.SetChargingProfileRequest(
        evse_id=draft.evse_number,
        charging_profile=datatypes.ChargingProfile(
            id=profile_id(draft.evse_number, draft.purpose),
            stack_level=stack_level,
            charging_profile_purpose=draft.purpose,
            charging_profile_kind="Absolute",
            transaction_id=UNSET if transaction_id is None else str(transaction_id),
            charging_schedule=(
                datatypes.ChargingSchedule(
                    id=draft.schedule_id,
                    charging_rate_unit=draft.unit,
                    start_schedule=datetime_of(draft.start_at),
                    charging_schedule_period=tuple(
                        datatypes.ChargingSchedulePeriod(
                            start_period=start_s,
                            limit=limit,
                            number_phases=draft.number_phases or UNSET,
                        )
                        for start_s, limit in draft.periods
                    ),
                ),
            ),
            **offline,
        ),
    )
    return message


def periods_of(message: Request) -> tuple[tuple[int, float], ...]:
    """Return the periods of a message's one schedule: (start in s, limit)."""
    if isinstance(message, v16_messages.SetChargingProfileRequest):
        in_1_6 = message.cs_charging_profiles.charging_schedule
        return tuple((p.start_period, p.limit) for p in in_1_6.charging_schedule_period)
    (schedule,) = message.charging_profile.charging_schedule
    found = []
    for period in schedule.charging_schedule_period:
        assert period.limit is not UNSET  # ours has one in each
        found.append((period.start_period, period.limit))
    return tuple(found)


def begin_of(message: Request) -> Instant:
    """Return when a message's one schedule begins, by the station's clock."""
    if isinstance(message, v16_messages.SetChargingProfileRequest):
        begin = message.cs_charging_profiles.charging_schedule.start_schedule
    else:
        begin = message.charging_profile.charging_schedule[0].start_schedule
    assert begin is not UNSET  # ours has one
    return instant_of(begin)


def evse_of_etp(number: int, n_evse: int) -> int:
    """Return the EVSE whose ETP has a profile's id; 0 where it is none of an ETP."""
    evse_number, purpose = divmod(number - 1, len(_PURPOSES))
    is_etp = _PURPOSES[purpose] == "TxProfile" and 1 <= evse_number <= n_evse
    return evse_number if is_etp else 0


def is_ours(number: int, n_evse: int) -> bool:
    """Whether a profile of a station with so many EVSEs has an id that we give."""
    return 1 <= number <= (n_evse + 1) * len(_PURPOSES)
