"""7.4 What an EV user decides: limits of cost, consent to V2G."""

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import session_events as s
from domain.model.values import HOUR
from domain.ports import Answer
from domain.use_cases.clause_7_4_ev_user import (
    ConsentToV2g,
    WithdrawV2g,
    consent_to_v2g,
    withdraw_v2g,
)
from domain.use_cases.e1_smart_charging import (
    COST_LIMIT_MINOR,
    StateNeeds,
    state_needs,
)
from tests.use_cases.small_site import E1, NINE, Site, by

NEEDS = StateNeeds(
    session_id="",
    departure_at=NINE + 4 * HOUR,
    energy_target_wh=20_000,
    cost_limit_minor=1_250,
    currency="EUR",
)


def state(site: Site, session_id: str, **change: object) -> Answer:
    command = msgspec.structs.replace(NEEDS, session_id=session_id, **change)
    return state_needs(site.system, command, by())


def consent(
    site: Site, session_id: str, contract: str = "v2g-17", energy_min_wh: int = 8_000
) -> Answer:
    command = ConsentToV2g(
        session_id=session_id, contract=contract, energy_min_wh=energy_min_wh
    )
    return consent_to_v2g(site.system, command, by())


def withdraw(site: Site, session_id: str) -> Answer:
    return withdraw_v2g(site.system, WithdrawV2g(session_id=session_id), by())


@pytest.mark.requirement("7.4.1")
def test_departure_energies_and_the_limit_of_cost_are_recorded(site: Site) -> None:
    session_id = site.plug(E1)
    state(site, session_id)
    assert site.events(session_id)[-1] == s.NeedsStated(
        session_id=session_id,
        departure_at=NINE + 4 * HOUR,
        energy_target_wh=20_000,
        cost_limit_minor=1_250,
        currency="EUR",
    )


def test_the_limit_of_cost_outlives_plug_and_merge(site: Site) -> None:
    gone, kept = site.reserve(evse_id=E1), site.add(s.ParkingStarted(session_id=""))
    state(site, gone)
    site.plug(E1)
    site.merge(gone, kept)
    needs = site.session(kept).needs
    assert needs is not None
    assert (needs.cost_limit_minor, needs.currency) == (1_250, "EUR")
    assert needs.session_id == kept


def test_a_limit_of_nothing_is_a_limit(site: Site) -> None:
    state(site, site.plug(E1), cost_limit_minor=0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"currency": ""}, "currency '' is not three capital letters"),
        ({"currency": "eur"}, "currency 'eur' is not"),
        ({"currency": "EURO"}, "currency 'EURO' is not"),
        ({"currency": "ÄÖÜ"}, "currency 'ÄÖÜ' is not"),
        ({"cost_limit_minor": None}, "'EUR' without a limit of cost"),
        ({"cost_limit_minor": -1}, "-1 minor units is not within 0"),
        ({"cost_limit_minor": COST_LIMIT_MINOR + 1}, "is not within 0 and 10{12}"),
    ],
)
def test_a_limit_of_cost_that_cannot_be_is_refused(
    site: Site, change: dict[str, object], says: str
) -> None:
    session_id = site.plug(E1)
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says):
        state(site, session_id, **change)
    assert site.log.last_position() == before


@pytest.mark.requirement("7.4.1")
def test_a_consent_is_recorded_replaced_and_withdrawn(site: Site) -> None:
    session_id = site.plug(E1)
    consent(site, session_id)
    assert site.events(session_id)[-1] == s.V2gConsented(
        session_id=session_id, contract="v2g-17", energy_min_wh=8_000
    )
    consent(site, session_id, energy_min_wh=0)
    held = site.session(session_id).consent
    assert held is not None
    assert held.energy_min_wh == 0
    withdraw(site, session_id)
    assert site.session(session_id).consent is None
    with pytest.raises(Refused, match="has no consent to V2G to withdraw"):
        withdraw(site, session_id)


def test_a_consent_goes_on_in_the_session_that_stays(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(s.ParkingStarted(session_id=""))
    consent(site, gone)
    site.merge(gone, kept)
    held = site.session(kept).consent
    assert held == s.V2gConsented(
        session_id=kept, contract="v2g-17", energy_min_wh=8_000
    )


def test_the_consent_of_the_session_that_stays_is_not_replaced(site: Site) -> None:
    gone, kept = site.plug(E1), site.add(s.ParkingStarted(session_id=""))
    consent(site, kept, "own")
    consent(site, gone, "other")
    site.merge(gone, kept)
    held = site.session(kept).consent
    assert held is not None
    assert held.contract == "own"


@pytest.mark.parametrize(
    ("contract", "energy_wh", "says"),
    [
        ("", 0, "contract '' is not 1 to 64"),
        ("DE-8AA-C12345678-9", 0, "contract has the form of an EMAID"),
        ("v2g", -1, "minimum -1 Wh is not within"),
        ("v2g", 10**9, "minimum 1000000000 Wh is not within"),
    ],
)
def test_a_consent_that_cannot_be_is_refused(
    site: Site, contract: str, energy_wh: int, says: str
) -> None:
    session_id = site.plug(E1)
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says) as refused:
        consent(site, session_id, contract, energy_wh)
    assert "12345678" not in str(refused.value)
    assert site.log.last_position() == before


def test_consent_and_withdrawal_need_an_open_session(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""))
    consent(site, session_id)
    site.close(session_id)
    for act in (consent, withdraw):
        with pytest.raises(Refused, match=f"{session_id} is closed"):
            act(site, session_id)
        with pytest.raises(Unknown, match="'nobody' was never opened"):
            act(site, "nobody")
