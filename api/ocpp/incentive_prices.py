"""Prices of an incentive go to the EV with its ETP, where EV and station take them.

Only an EV that told its needs (ISO 15118) reads them. A station that refuses an ETP for
them gets it without, then and from then on: the power of an ETP comes first.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from api.ocpp.calls import Answered, Call, NotAnswered, Refusal
from api.ocpp.charging_profiles import Request
from api.ocpp.desk import Desk
from api.ocpp.incentive_messages import with_prices
from api.ocpp.peers import OpenTransaction, Peer
from domain.model.incentive_events import IncentiveReceived
from domain.use_cases.e2_demand_response import RecordTold, record_told
from domain.use_cases.e2_incentive_effects import load_incentives, part_of
from domain.use_cases.shared_path import By

if TYPE_CHECKING:
    from api.ocpp.gateway import Gateway

Tell = Callable[["Gateway", Desk, Peer, int], None]


def priced(
    desk: Desk, peer: Peer, call: Call, transaction: OpenTransaction, tell: Tell
) -> Call:
    """Return the call of an ETP with the prices of an incentive, if there are any.

    ``tell`` tells the newest ETP of an EVSE: without prices, once they were refused.
    """
    incentive = None
    if reads_prices(peer, transaction.evse_number):
        incentive = _next(desk, peer, transaction.session_id)
    if incentive is None or peer.clock_offset is None:
        return call
    plain = cast(Request, call.request)
    request = with_prices(plain, incentive, peer.clock_offset)
    if request is plain:
        return call
    on_answer = partial(
        _answered, plain=call, incentive=incentive, transaction=transaction, tell=tell
    )
    return call._replace(request=request, on_answer=on_answer)


def reads_prices(peer: Peer, evse_number: int) -> bool:
    """Whether an EVSE's EV reads prices, and its station carries them."""
    transaction = peer.transactions.get(evse_number)
    return (
        peer.version != "1.6"
        and peer.takes_prices
        and transaction is not None
        and transaction.max_periods is not None
    )


def _next(desk: Desk, peer: Peer, session_id: str) -> IncentiveReceived | None:
    """Return the incentive with prices that holds, or the next one that will."""
    ahead = load_incentives(desk.system, peer.zone_id).ahead(desk.now)
    found = [each for each in ahead if each.tariff or each.co2]
    if found and session_id:
        refused = part_of(desk.system, session_id).refused
        found = [each for each in found if each.incentive_id not in refused]
    return min(found, key=lambda each: each.from_at, default=None)


def _answered(
    gateway: "Gateway",
    desk: Desk,
    peer: Peer,
    answered: Answered,
    *,
    plain: Call,
    incentive: IncentiveReceived,
    transaction: OpenTransaction,
    tell: Tell,
) -> None:
    is_accepted = getattr(answered, "status", "") == "Accepted"
    if isinstance(answered, NotAnswered):
        outcome = "not-told"
    else:
        outcome = "accepted" if is_accepted else "refused"
    detail = answered.code if isinstance(answered, Refusal) else ""
    command = RecordTold(
        zone_id=incentive.zone_id,
        incentive_id=incentive.incentive_id,
        evse_id=transaction.evse_id or peer.evse_id(transaction.evse_number) or "",
        how="price",
        outcome=outcome,
        session_id=transaction.session_id,
        detail=detail,
    )
    record_told(desk.system, command, By(actor=peer.station_id, at=desk.now))
    if outcome != "refused":
        plain.on_answer(gateway, desk, peer, answered)
        return
    peer.takes_prices = False
    plain.on_answer(gateway, desk, peer, NotAnswered.SUPERSEDED)
    tell(gateway, desk, peer, transaction.evse_number)
