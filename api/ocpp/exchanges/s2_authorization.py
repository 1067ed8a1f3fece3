"""S2 A driver shows a token at a station, which asks whether it may serve it.

Authorize names no EVSE. When the same token is told for an EV that is plugged there,
what waited at the station proves to be that EV's session, and goes on in it.
"""

from typing import Final

from api.ocpp import tokens
from api.ocpp.desk import Desk
from api.ocpp.exchange import V2, Carrier, InformationExchange, Module
from api.ocpp.gateway import Gateway
from api.ocpp.peers import Peer
from api.ocpp.v16 import messages as v16
from api.ocpp.v21 import messages as v21
from api.ocpp.v201 import messages as v201
from domain.model import session_events as s
from domain.model.session import at_station
from domain.ports import Recorded
from domain.use_cases.clause_6_2_joining import resolve
from domain.use_cases.clause_6_2_merging import MergeSessions, merge_sessions
from domain.use_cases.shared_path import By


def authorize_1_6(
    gateway: Gateway, desk: Desk, peer: Peer, request: v16.AuthorizeRequest
) -> v16.AuthorizeResponse:
    """Answer for a token of 1.6."""
    judged = tokens.authorize(desk, peer, request.id_tag)
    return v16.AuthorizeResponse(id_tag_info=tokens.id_tag_info(judged))


def authorize_2_0_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v201.AuthorizeRequest
) -> v201.AuthorizeResponse:
    """Answer for a token of 2.0.1; of its certificate nothing is promised."""
    token = request.id_token
    judged = tokens.authorize(desk, peer, token.id_token, token.type)
    return v201.AuthorizeResponse(id_token_info=tokens.id_token_info_2_0_1(judged))


def authorize_2_1(
    gateway: Gateway, desk: Desk, peer: Peer, request: v21.AuthorizeRequest
) -> v21.AuthorizeResponse:
    """Answer for a token of 2.1; of its certificate nothing is promised."""
    token = request.id_token
    judged = tokens.authorize(desk, peer, token.id_token, token.type)
    return v21.AuthorizeResponse(id_token_info=tokens.id_token_info_2_1(judged))


def _meets(gateway: Gateway, desk: Desk, row: Recorded) -> None:
    """Merge what only waited at a station into the session of its subject's EV."""
    event = row.event
    assert isinstance(event, s.AuthorizationRequested)
    peer = gateway.peers.by_id.get(event.station_id)
    if peer is None or not (event.evse_id and event.subject_id):
        return
    system = desk.system
    kept = resolve(system, event.session_id)
    if not kept.is_open or kept.evse_id != event.evse_id:
        return
    shown = frozenset({(at_station(event.station_id), event.subject_id)})
    place = f"{event.station_id}/{event.subject_id}/"
    for claim in system.log.claims("subject-at", place):
        gone = resolve(system, claim.owner)
        is_other = gone.session_id != kept.session_id
        if is_other and gone.is_idle and gone.presented == shown:
            merge = MergeSessions(
                session_id=gone.session_id, into_session_id=kept.session_id
            )
            merge_sessions(system, merge, By(actor=peer.station_id, at=desk.now))


MODULE: Final = Module(
    exchanges=(
        InformationExchange(
            "S2.Info1",
            "credentials are presented",
            (
                Carrier(("1.6",), "~", ("Authorize",), "in", "no kind of credential"),
                Carrier(V2, "=", ("Authorize",), "in"),
            ),
        ),
        InformationExchange(
            "S2.Info2",
            "accepted, or refused for a reason; references",
            (
                Carrier(
                    ("1.6",),
                    "~",
                    ("Authorize",),
                    "in",
                    "its answer: `idTagInfo.status`; no references",
                ),
                Carrier(
                    V2,
                    "~",
                    ("Authorize",),
                    "in",
                    "its answer: `idTokenInfo.status`; the session in `customData`",
                ),
            ),
        ),
    ),
    handlers={
        ("1.6", "Authorize"): authorize_1_6,
        ("2.0.1", "Authorize"): authorize_2_0_1,
        ("2.1", "Authorize"): authorize_2_1,
    },
    followers={s.AuthorizationRequested: _meets},
)
