"""7.4 What an EV user decides: consent to energy from the EV (IEC 63110-1 7.4).

Departure, energies and the limit of cost are needs, stated in `e1_smart_charging`. By
`shared_path`.
"""

import msgspec

from domain.errors import InvalidValue, Refused
from domain.model import ids
from domain.model import session_events as s
from domain.ports import Answer, Batch, System
from domain.use_cases.clause_6_2_joining import check_impersonal, resolve
from domain.use_cases.e1_smart_charging import WISH_LIMIT_WH
from domain.use_cases.shared_path import By, decision, record


class ConsentToV2g(msgspec.Struct, frozen=True, kw_only=True):
    """The EV user lets the site take energy from the EV, under a contract.

    ``contract`` is the contract's own id, no credential. ``energy_min_wh`` counts from
    the arrival on, as the needs do: the EV is never left with less than that.
    """

    session_id: str
    contract: str
    energy_min_wh: int = 0


def consent_to_v2g(system: System, command: ConsentToV2g, by: By) -> Answer:
    """Record the consent; another one replaces it."""

    def decide() -> Batch:
        check_impersonal("contract", ids.name_of("contract", command.contract))
        if not 0 <= command.energy_min_wh <= WISH_LIMIT_WH:
            raise InvalidValue(
                f"consent: minimum {command.energy_min_wh} Wh is not within 0 and "
                f"{WISH_LIMIT_WH} Wh"
            )
        state = resolve(system, command.session_id)
        state.check_open()
        event = s.V2gConsented(
            session_id=state.session_id,
            contract=command.contract,
            energy_min_wh=command.energy_min_wh,
        )
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(decision(stream, state, by.at, event),))

    return record(system, by, command, decide)


class WithdrawV2g(msgspec.Struct, frozen=True, kw_only=True):
    """The EV user no longer lets the site take energy from the EV."""

    session_id: str


def withdraw_v2g(system: System, command: WithdrawV2g, by: By) -> Answer:
    """Record the withdrawal; without a consent it is refused."""

    def decide() -> Batch:
        state = resolve(system, command.session_id)
        state.check_open()
        if state.consent is None:
            raise Refused(
                f"service session {state.session_id} has no consent to V2G to withdraw"
            )
        event = s.V2gWithdrawn(session_id=state.session_id)
        stream = ids.session_stream(state.session_id)
        return Batch(appends=(decision(stream, state, by.at, event),))

    return record(system, by, command, decide)
