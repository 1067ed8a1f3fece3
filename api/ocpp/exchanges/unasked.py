"""What else a station sends unasked: answered with the least promise, and kept.

Nothing here has a use case yet. What is kept is sealed, and a flood of it only counted.
What a station notes for security is also noted in our security log (7.9.4.6).
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from api.ocpp.desk import Desk
from api.ocpp.exchange import (
    ALL_VERSIONS,
    Carrier,
    Handler,
    InformationExchange,
    Module,
)
from api.ocpp.gateway import Gateway
from api.ocpp.kept import keep
from api.ocpp.peers import Peer
from api.ocpp.v16 import messages as m16
from api.ocpp.v21 import datatypes as d21
from api.ocpp.v21 import messages as m21
from api.ocpp.v201 import messages as m201
from api.ocpp.violations import Version
from api.ocpp.wire import Wire
from api.security.notes import Kind
from domain.model.values import DAY, datetime_of

SECURITY: Final = "SecurityEventNotification"

# Told and no more: the answer has nothing in it.
_TOLD_2: Final = (
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyMonitoringReport",
    "PublishFirmwareStatusNotification",
)
_TOLD_2_1: Final = (
    "BatterySwap",
    "ClosePeriodicEventStream",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifySettlement",
    "ReportDERControl",
)
# Asked for, and not given: the members of the answer.
_REFUSED_2: Final[Mapping[str, Mapping[str, str]]] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "Get15118EVCertificate": {"status": "Failed", "exi_response": ""},
    "GetCertificateStatus": {"status": "Failed"},
    "SignCertificate": {"status": "Rejected"},
}
_REFUSED_1_6: Final[Mapping[str, Mapping[str, str]]] = {
    "DataTransfer": {"status": "UnknownVendorId"},
    "SignCertificate": {"status": "Rejected"},
}
_REFUSED_2_1: Final[Mapping[str, Mapping[str, str]]] = {
    "OpenPeriodicEventStream": {"status": "Rejected"},
    "PullDynamicScheduleUpdate": {"status": "Rejected"},
}

Respond = Callable[[Desk, Any], Wire]


def _always(response: Wire) -> Respond:
    def respond(desk: Desk, request: Any) -> Wire:
        return response

    return respond


def _answers(
    messages: ModuleType,
    told: tuple[str, ...],
    refused: Mapping[str, Mapping[str, str]],
) -> dict[str, Respond]:
    members = {action: dict[str, str]() for action in told} | dict(refused)
    return {
        action: _always(getattr(messages, f"{action}Response")(**of_answer))
        for action, of_answer in members.items()
    }


def _vat_number(desk: Desk, request: m21.VatNumberValidationRequest) -> Wire:
    return m21.VatNumberValidationResponse(
        vat_number=request.vat_number, status="Rejected"
    )


def _chain_status(desk: Desk, request: m21.GetCertificateChainStatusRequest) -> Wire:
    """Say of each certificate that its status is not known; ask again in a day."""
    return m21.GetCertificateChainStatusResponse(
        certificate_status=tuple(
            d21.CertificateStatus(
                certificate_hash_data=asked.certificate_hash_data,
                source=asked.source,
                status="Failed",
                next_update=datetime_of(desk.now + DAY),
            )
            for asked in request.certificate_status_requests
        )
    )


def _not_answered(desk: Desk, request: Wire) -> Wire:
    """Answer a SEND: what is returned goes nowhere."""
    return request


_BY_VERSION: Final[Mapping[Version, Mapping[str, Respond]]] = {
    "1.6": _answers(m16, (SECURITY,), _REFUSED_1_6),
    "2.0.1": _answers(m201, (SECURITY, *_TOLD_2), _REFUSED_2),
    "2.1": {
        **_answers(m21, (SECURITY, *_TOLD_2), _REFUSED_2),
        **_answers(m21, _TOLD_2_1, _REFUSED_2_1),
        "GetCertificateChainStatus": _chain_status,
        "VatNumberValidation": _vat_number,
        "NotifyPeriodicEventStream": _not_answered,
    },
}


def _kept(action: str, respond: Respond) -> Handler:
    def handle(gateway: Gateway, desk: Desk, peer: Peer, request: Any) -> Wire:
        if action == SECURITY and peer.connection is not None:
            origin, type_ = peer.connection.origin, str(request.type)
            desk.note(Kind.STATION_EVENT, origin, actor=peer.station_id, detail=type_)
        keep(desk, peer, action, request)
        return respond(desk, request)

    return handle


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "7.9.4.6",
            "what a station notes for security",
            (Carrier(ALL_VERSIONS, "=", (SECURITY,), "in"),),
        ),
        InformationExchange(
            "7.3",
            "what else a station sends: kept, sealed, within a bound an hour",
            tuple(
                Carrier(
                    (version,),
                    "~",
                    tuple(sorted(set(answers) - {SECURITY})),
                    "in",
                    "answered with the least promise",
                )
                for version, answers in _BY_VERSION.items()
            ),
        ),
    ),
    handlers={
        (version, action): _kept(action, respond)
        for version, answers in _BY_VERSION.items()
        for action, respond in answers.items()
    },
)
