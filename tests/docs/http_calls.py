"""The calls of docs/http.md, in the order in which they are made.

``$operation.field`` stands for what an earlier call answered.
"""

from typing import Any

import msgspec

EVSE, SECOND_EVSE = "DE*ABC*E100", "DE*ABC*E101"
_BOOKING = {"kind": "booking", "text": "B-2026-0601"}
_TICKET = {"kind": "ticket", "text": "P-4711"}
_SESSION = {"session_id": "$post_reservation.session_id"}
_READ_AT = "2019-10-29T08:00:00Z"
_AT_EVSE = {"evse_id": EVSE}
_AT_STATION = {"station_id": "cs-1"}


class Call(msgspec.Struct, frozen=True):
    """A call of an operation; with ``is_signed``, its body has a ``Content-Digest``."""

    operation: str
    path: dict[str, Any] = msgspec.field(default_factory=dict)
    query: dict[str, Any] = msgspec.field(default_factory=dict)
    body: Any = None
    is_signed: bool = False


def evse(evse_id: str) -> dict[str, Any]:
    return {
        "evse_id": evse_id,
        "current": "DC",
        "phases": 3,
        "voltage_v": 400,
        "max_w": 22_000,
        "floor_w": 4_140,
        "min_w": -10_000,
        "v2g": True,
    }


_COMMISSIONING = [
    Call("get_health"),
    Call("get_openapi"),
    Call(
        "post_zone",
        body={
            "zone_id": "yard",
            "name": "The yard",
            "limit_w": 50_000,
            "safe_upper_w": 9_000,
        },
    ),
    Call(
        "post_zone_limits",
        {"zone_id": "yard"},
        body={"limit_w": 40_000, "safe_upper_w": 8_000},
    ),
    Call(
        "post_zone_enforcement",
        {"zone_id": "yard"},
        body={"may_stop": True, "may_reset": False},
    ),
    Call(
        "post_station",
        body={"station_id": "cs-1", "zone_id": "yard", "evses": [evse(EVSE)]},
    ),
    Call("post_evse", {"station_id": "cs-1"}, body=evse(SECOND_EVSE)),
    Call(
        "post_evse_limits",
        _AT_EVSE,
        body={"max_w": 11_000, "floor_w": 4_140, "min_w": -7_000},
    ),
    Call(
        "post_constraints",
        {"zone_id": "yard"},
        body={
            "constraints_id": "c-1",
            "from_at": "2026-06-01T08:00:00Z",
            "lower_w": 0,
            "upper_w": 33_000,
            "windows": [
                {
                    "until_at": "2026-06-01T16:00:00Z",
                    "lower_wh": 30_000,
                    "upper_wh": 90_000,
                }
            ],
        },
    ),
    Call(
        "post_pre",
        {"zone_id": "yard"},
        body={
            "pre_id": "pre-1",
            "start_at": "2026-06-01T08:00:00Z",
            "ranges": [{"duration_s": 900, "lower_w": 0, "upper_w": 20_000}],
        },
    ),
    Call(
        "post_pre_revocation",
        {"zone_id": "yard", "pre_id": "pre-1"},
        body={},
    ),
]
_INCENTIVES = [
    Call(
        "post_incentive",
        {"zone_id": "yard"},
        body={
            "incentive_id": "morning-peak",
            "from_at": "2026-06-01T07:00:00Z",
            "until_at": "2026-06-01T11:00:00Z",
            "currency": "EUR",
            "tariff": [
                {"offset_s": 0, "minor_per_kwh": 45},
                {"offset_s": 7_200, "minor_per_kwh": 30},
            ],
            "co2": [{"offset_s": 0, "g_per_kwh": 380}],
            "maximum_w": 7_000,
            "peak": "Peak hour: charging is dearer and slower until nine.",
        },
    ),
    Call(
        "post_incentive_answer",
        {"session_id": "$post_remote_start.session_id"},
        body={"is_accepted": False},
    ),
    Call("list_incentives", {"zone_id": "yard"}),
    Call(
        "post_incentive_withdrawal",
        {"zone_id": "yard", "incentive_id": "morning-peak"},
        body={"reason": "the peak stayed away"},
    ),
]
_STATIONS = [
    Call(
        "post_station_registration",
        _AT_STATION,
        body={"identity": "CS-0001", "security_profile": 1},
    ),
    Call("post_station_credentials", _AT_STATION, body={"security_profile": 2}),
    Call(
        "post_station_deviations",
        _AT_STATION,
        body={"deviations": ["instant-without-offset"]},
    ),
    Call("post_station_block", _AT_STATION, body={"reason": "stolen from its post"}),
    Call("post_station_unblock", _AT_STATION, body={"reason": "found again"}),
    Call("list_stations", query={"zone_id": "yard"}),
    Call("get_station", _AT_STATION),
    Call(
        "post_station_registration",
        {"station_id": "cs-0"},
        body={
            "identity": "CS-0000",
            "security_profile": 3,
            "certificate_name": "cs-0.depot.example",
        },
    ),
    Call("post_station_retire", {"station_id": "cs-0"}, body={"reason": "sold"}),
]
_ACTIVITIES = [
    Call(
        "post_remote_start",
        {"evse_id": SECOND_EVSE},
        body={"token": {"kind": "rfid", "text": "04A2B3C4D5E6F8"}},
    ),
    Call("get_activity", {"activity_id": "$post_remote_start.activity_id"}),
    Call("post_plug", {"evse_id": SECOND_EVSE}, body={"register_wh": 56_000}),
    Call(
        "post_remote_stop",
        {"session_id": "$post_remote_start.session_id"},
        body={},
    ),
    Call("post_reset", _AT_STATION, body={"how": "on-idle", "due_within_s": 3_600}),
    Call("post_availability", _AT_STATION, body={"operative": False, **_AT_EVSE}),
    Call("post_unlock", _AT_STATION, body=_AT_EVSE),
    Call("post_trigger", _AT_STATION, body={"message": "StatusNotification"}),
    Call(
        "post_variable_read",
        _AT_STATION,
        body={"names": ["OCPPCommCtrlr.HeartbeatInterval"]},
    ),
    Call(
        "post_variable_change",
        _AT_STATION,
        body={"values": {"OCPPCommCtrlr.HeartbeatInterval": "300"}},
    ),
    Call(
        "post_display_message",
        _AT_STATION,
        body={"text": "The garage closes at ten."},
    ),
]
_UPKEEP = [
    Call("post_credentials_rotation", _AT_STATION, body={"due_within_s": 300}),
    Call(
        "post_firmware",
        _AT_STATION,
        body={"location": "https://firmware.example/acme-2.4.bin"},
    ),
    Call(
        "post_log_upload",
        _AT_STATION,
        body={"location": "https://logs.example/cs-1/", "log": "diagnostics"},
    ),
    Call("post_cache_clear", _AT_STATION, body={}),
    Call("post_local_list", _AT_STATION, body={"update": "full"}),
    Call("post_local_list_version", _AT_STATION, body={}),
    Call(
        "post_data_transfer",
        _AT_STATION,
        body={"vendor_id": "com.example", "message_id": "lamp", "data": "on"},
    ),
    Call(
        "post_network_profile",
        _AT_STATION,
        body={
            "slot": 1,
            "url": "wss://csms.example/ocpp",
            "security_profile": 2,
            "interface": "Wired0",
        },
    ),
    Call(
        "post_charging_schedule",
        _AT_STATION,
        body={**_AT_EVSE, "duration_s": 600, "unit": "W"},
    ),
    Call("post_charging_profile_clear", _AT_STATION, body={"profile_id": 77}),
    Call("post_reservation_cancel", _AT_STATION, body={"number": 4_711}),
]
_SESSIONS = [
    Call(
        "post_reservation",
        body={
            "reference": _BOOKING,
            "evse_id": EVSE,
            "from_at": "2026-06-01T08:00:00Z",
            "until_at": "2026-06-01T10:00:00Z",
        },
    ),
    Call(
        "post_reservation_change",
        body={
            "reference": _BOOKING,
            "from_at": "2026-06-01T07:00:00Z",
            "until_at": "2026-06-01T11:00:00Z",
        },
    ),
    Call("post_reservation_match", body={"reference": _BOOKING}),
    Call(
        "post_authorization",
        body={
            "session_id": "$post_reservation.session_id",
            "evse_id": EVSE,
            "token": {"kind": "rfid", "text": "04A2B3C4D5E6F7"},
        },
    ),
    Call("post_authorization_answer", body={**_SESSION, "accepted": True}),
    Call(
        "post_needs",
        _SESSION,
        body={
            "departure_at": "2026-06-01T17:30:00Z",
            "energy_target_wh": 20_000,
            "energy_min_wh": 5_000,
            "cost_limit_minor": 900,
            "currency": "EUR",
        },
    ),
    Call(
        "post_consent",
        _SESSION,
        body={"contract": "c-2026-17", "energy_min_wh": 10_000},
    ),
    Call("post_withdrawal", _SESSION, body={}),
    Call(
        "post_reference",
        _SESSION,
        body={"party": "fleet", "kind": "ticket", "text": "P-4711"},
    ),
    Call("post_parking_start", body={"reference": _TICKET, "place": "P7"}),
    Call("post_other_start", body={"reference": _TICKET, "service": "valet"}),
    Call("post_plug", _AT_EVSE, body={"register_wh": 1_234_000}),
    Call("post_pause", _AT_EVSE, body={"paused": True}),
    Call("post_unplug", _AT_EVSE, body={"energy_wh": 18_400}),
    Call("post_other_end", body={"reference": _TICKET, "service": "valet"}),
    Call("post_parking_end", body={"reference": _TICKET}),
    Call("list_events", query={"type": "parking.started"}),
    Call(
        "post_correction",
        _SESSION,
        body={
            "position": "$list_events.items.1.position",
            "field": "place",
            "value": "P8",
            "reason": "the sign was read again",
        },
        is_signed=True,
    ),
    Call("post_authorization_end", body=_SESSION),
    Call("post_reservation_end", body={"reference": _BOOKING, "reason": "used"}),
    Call("post_closing", _SESSION, body={"reason": "user gone"}),
]
_BACK_OFFICE = [
    Call("get_sdr_information", _SESSION),
    Call("list_sdr_information", query={"limit": 1}),
    Call("post_sdr_receipt", _SESSION, body={"sequence": 1}),
    Call(
        "post_contract",
        body={
            "token": {"kind": "rfid", "text": "04F1E2D3C4B5A6"},
            "holder": "Fleet car 12",
            "contract_id": "c-2026-17",
            "valid_from_at": "2026-06-01T00:00:00Z",
        },
    ),
    Call("list_contracts", query={"limit": 1}),
    Call("get_contract", {"contract_id": "c-2026-17"}),
    Call(
        "post_contract_end",
        {"contract_id": "c-2026-17"},
        body={"reason": "moved away"},
    ),
]
_SAFETY = [
    Call("post_evse_limit", _AT_EVSE, body={"max_w": 3_700}),
    Call("post_suspension", _AT_EVSE, body={"reason": "broken cable"}),
    Call("post_release", _AT_EVSE, body={"reason": "cable replaced"}),
    Call(
        "post_safety_issue",
        _AT_EVSE,
        body={"issue": "residual-current", "details": "seen by the janitor"},
    ),
    Call(
        "post_assessment",
        _AT_EVSE,
        body={
            "issue_number": 1,
            "is_safe": True,
            "notes": "breaker replaced and measured",
        },
    ),
]
_MERGING = [
    # The same operation again, so that there are two sessions.
    Call("post_parking_start", body={"reference": {"kind": "ticket", "text": "P-1"}}),
    Call("post_other_start", body={"service": "valet"}),
    Call(
        "post_merging",
        {"session_id": "$post_other_start.session_id"},
        body={"into_session_id": "$post_parking_start.session_id"},
    ),
]
_READING = [
    Call("list_zones"),
    Call("get_zone", {"zone_id": "garage"}),
    Call("get_pre", {"zone_id": "garage"}, {"valid_at": "2019-10-29T04:00:00Z"}),
    Call("get_aetp", {"zone_id": "garage"}),
    Call("list_etps", {"zone_id": "garage"}, {"limit": 1}),
    Call("list_evses", query={"zone_id": "yard"}),
    Call("get_evse", _AT_EVSE),
    Call("list_evse_readings", {"evse_id": "US*CAL*E1"}, {"valid_at": _READ_AT}),
    Call("list_evse_measures", {"evse_id": "US*CAL*E1"}, {"from_at": _READ_AT}),
    Call("list_zone_readings", {"zone_id": "garage"}, {"from_at": _READ_AT}),
    Call("list_sessions", query={"limit": 1}),
    Call("get_session", _SESSION),
    Call("list_plans", query={"limit": 1}),
    Call("get_plan", {"position": "$list_plans.items.0.position"}),
    Call("get_key_figures", query={"zone_id": "garage"}),
    Call("follow_events", query={"after": 0}),
    Call("export_events", query={"from": 1, "until": 50}),
    Call("export_samples", query={"day": "2019-10-29"}),
    Call("get_operation"),
    Call("get_metrics"),
]
_KEYS = [
    Call(
        "post_key",
        body={"label": "Back office of Fleet Ltd", "roles": ["cso"], "party": "fleet"},
    ),
    Call("list_keys", query={"limit": 1}),
    Call(
        "post_key_revocation",
        {"key_id": "$post_key.key_id"},
        body={"reason": "lost"},
    ),
    Call("list_audit", query={"limit": 1}),
    Call("list_security_events", query={"limit": 1}),
    Call("list_security_counters", query={"limit": 1}),
]

CALLS = [
    *_COMMISSIONING,
    *_SESSIONS,
    *_BACK_OFFICE,
    *_SAFETY,
    *_MERGING,
    *_STATIONS,
    *_ACTIVITIES,
    *_UPKEEP,
    *_INCENTIVES,
    *_READING,
    *_KEYS,
]
