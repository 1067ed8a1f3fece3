"""M4 and M8 Firmware of a station and its logs, followed to the end of it.

The station says whether it begins; how far it came it tells by itself, until it is done
or failed. What it tells that no activity of ours is about is kept.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module, taking
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep, may_keep
from api.ocpp.peers import Peer
from api.ocpp.wire import Wire
from domain.model.activity_events import ActivityAsked, ActivityKind, Outcome
from domain.use_cases.clause_7_3_activities import (
    EndActivity,
    ProgressActivity,
    end_activity,
    load_activity,
    open_activities,
    progress_activity,
    request_number,
)
from domain.use_cases.shared_path import By

# Only told when asked for, and of nothing that runs.
_IDLE: Final = "Idle"
_ENDS: Final[Mapping[str, Outcome]] = {
    "Installed": Outcome.DONE,
    "DownloadFailed": Outcome.FAILED,
    "InstallationFailed": Outcome.FAILED,
    "InstallVerificationFailed": Outcome.FAILED,
    "InvalidSignature": Outcome.FAILED,
    "Uploaded": Outcome.DONE,
    "UploadFailed": Outcome.FAILED,
    "UploadFailure": Outcome.FAILED,
    "BadMessage": Outcome.FAILED,
    "NotSupportedOperation": Outcome.FAILED,
    "PermissionDenied": Outcome.FAILED,
    "AcceptedCanceled": Outcome.FAILED,
}


def _firmware_told(gateway: Gateway, desk: Desk, peer: Peer, request: Any) -> None:
    """Take in how far the station came with its firmware."""
    _told(desk, peer, request, ActivityKind.UPDATE_FIRMWARE)


def _log_told(gateway: Gateway, desk: Desk, peer: Peer, request: Any) -> None:
    """Take in how far the station came with uploading a log."""
    _told(desk, peer, request, ActivityKind.GET_LOG)


def _told(desk: Desk, peer: Peer, request: Any, kind: ActivityKind) -> None:
    activity = _activity_of(desk, peer, request, kind)
    if activity is None or request.status == _IDLE:
        keep(desk, peer, _action_of(request), request)
        return
    by = By(actor=peer.station_id, at=desk.now)
    outcome = _ENDS.get(request.status)
    if outcome is not None:
        ended = EndActivity(
            activity_id=activity.activity_id, outcome=outcome, detail=request.status
        )
        end_activity(desk.system, ended, by)
    elif may_keep(desk, peer):
        progressed = ProgressActivity(
            activity_id=activity.activity_id, step=request.status
        )
        progress_activity(desk.system, progressed, by)


def _activity_of(
    desk: Desk, peer: Peer, request: Any, kind: ActivityKind
) -> ActivityAsked | None:
    """Return what the station speaks of: by its number, else the newest it was asked.

    The last one cancels those before it.
    """
    number = getattr(request, "request_id", UNSET)
    found = None
    for activity in open_activities(desk.system, peer.station_id):
        is_asked = not load_activity(desk.system, activity.activity_id).is_waiting
        if activity.kind != kind or not is_asked:
            continue
        if number is UNSET or number == request_number(activity.activity_id):
            found = activity
    return found


def _action_of(request: Wire) -> str:
    return type(request).__name__.removesuffix("Request")


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "M4.Info1",
            "the station gets other firmware, and says how far it came",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("UpdateFirmware", "SignedUpdateFirmware"),
                    "out",
                    "signed where a signature is given; the other is only heard of",
                ),
                Carrier(
                    ("1.6",),
                    "=",
                    (
                        "FirmwareStatusNotification",
                        "SignedFirmwareStatusNotification",
                    ),
                    "in",
                ),
                Carrier(V2, "=", ("UpdateFirmware",), "out"),
                Carrier(V2, "=", ("FirmwareStatusNotification",), "in"),
            ),
        ),
        InformationExchange(
            "M8.Info1",
            "the station uploads a log, and says how far it came",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("GetDiagnostics", "GetLog"),
                    "out",
                    "`GetLog` for the security log",
                ),
                Carrier(
                    ("1.6",),
                    "=",
                    ("DiagnosticsStatusNotification", "LogStatusNotification"),
                    "in",
                ),
                Carrier(V2, "=", ("GetLog",), "out"),
                Carrier(V2, "=", ("LogStatusNotification",), "in"),
            ),
        ),
    ),
    handlers={
        ("1.6", "FirmwareStatusNotification"): taking(_firmware_told),
        ("1.6", "SignedFirmwareStatusNotification"): taking(_firmware_told),
        ("1.6", "DiagnosticsStatusNotification"): taking(_log_told),
        ("1.6", "LogStatusNotification"): taking(_log_told),
        ("2.0.1", "FirmwareStatusNotification"): taking(_firmware_told),
        ("2.0.1", "LogStatusNotification"): taking(_log_told),
        ("2.1", "FirmwareStatusNotification"): taking(_firmware_told),
        ("2.1", "LogStatusNotification"): taking(_log_told),
    },
)
