"""6.2 The order in which plugs and credentials join an open session."""

import pytest

from domain.errors import InvalidValue, Refused
from domain.model import session_events as s
from domain.model.values import HOUR, MINUTE
from domain.ports import Answer
from domain.use_cases.clause_6_2_joining import Reference
from domain.use_cases.clause_6_2_service_sessions import BindReference, bind_reference
from tests.use_cases.small_site import (
    ANNA,
    BEN,
    E1,
    E2,
    E3,
    E4,
    NINE,
    ZONE,
    Site,
    by,
    requested,
    ticket,
)


def test_a_reference_comes_before_everything_else(site: Site) -> None:
    parked = site.add(s.ParkingStarted(session_id=""), reference=ticket())
    site.reserve(evse_id=E1)
    assert site.plug(E1, reference=ticket()) == parked


@pytest.mark.parametrize(
    "place",
    [{"evse_id": E1}, {"station_id": "s1"}, {"evse_class": f"{ZONE}/AC"}],
    ids=["EVSE", "station", "class"],
)
def test_a_plug_joins_a_reservation_for_its_place(
    site: Site, place: dict[str, str]
) -> None:
    reserved = site.reserve(**place)  # type: ignore[arg-type]
    assert site.plug(E4) != reserved
    assert site.plug(E1) == reserved


def test_a_reservation_for_the_evse_comes_before_station_and_class(site: Site) -> None:
    of_class = site.reserve(evse_class=f"{ZONE}/AC")
    of_station = site.reserve(station_id="s1")
    of_evse = site.reserve(evse_id=E1)
    assert [site.plug(E1), site.plug(E2), site.plug(E3)] == [
        of_evse,
        of_station,
        of_class,
    ]


@pytest.mark.parametrize("at", [NINE - 1, NINE + HOUR])
def test_a_reservation_is_not_joined_outside_of_its_time(site: Site, at: int) -> None:
    reserved = site.reserve(evse_id=E1)
    assert site.plug(E1, at) != reserved


@pytest.mark.parametrize("at", [NINE, NINE + HOUR - 1])
def test_a_reservation_is_joined_within_its_time(site: Site, at: int) -> None:
    reserved = site.reserve(evse_id=E1)
    assert site.plug(E1, at) == reserved


def test_a_changed_reservation_is_joined_in_its_new_time(site: Site) -> None:
    reserved = site.reserve(evse_id=E1)
    changed = s.ReservationChanged(
        session_id="", from_at=NINE + 2 * HOUR, until_at=NINE + 3 * HOUR
    )
    site.add(changed, reserved)
    assert site.plug(E1, NINE) != reserved
    site.unplug(E1, NINE + HOUR)
    assert site.plug(E1, NINE + 2 * HOUR) == reserved


def test_a_plug_joins_the_authorization_waiting_at_its_evse(site: Site) -> None:
    session_id = site.present(E1)
    assert site.plug(E2) != session_id
    assert site.plug(E1) == session_id


def test_credentials_join_the_plug_that_waits_for_them(site: Site) -> None:
    plugged = site.plug(E1)
    assert site.present(E1) == plugged


def test_credentials_do_not_join_an_authorized_session_of_another(site: Site) -> None:
    plugged = site.plug(E1)
    site.present(E1, ANNA)
    site.add(s.AuthorizationAccepted(session_id="", by="emsp"), plugged)
    assert site.present(E1, BEN) != plugged
    assert site.present(E1, ANNA) == plugged


def test_credentials_do_not_join_what_was_authorized_otherwise(site: Site) -> None:
    """Given an occupant of no known subject, authorized by external means."""
    plugged = site.plug(E1)
    site.add(s.AuthorizationAccepted(session_id="", by="emsp"), plugged)
    assert site.present(E1, BEN) != plugged


def test_a_plug_joins_the_session_of_the_same_subject_at_the_station(
    site: Site,
) -> None:
    session_id = site.plug(E1, subject_id=ANNA)
    site.unplug(E1, NINE + 5 * MINUTE)
    assert site.plug(E3, NINE + 6 * MINUTE, subject_id=ANNA) != session_id
    assert site.plug(E2, NINE + 6 * MINUTE, subject_id=ANNA) == session_id


def test_a_plug_that_nothing_speaks_for_opens_a_session(site: Site) -> None:
    session_ids = {site.plug(evse_id) for evse_id in (E1, E2, E3, E4)}
    assert len(session_ids) == 4


@pytest.mark.parametrize("how", ["reference", "reservation", "waiting", "subject"])
def test_a_session_plugged_elsewhere_is_never_joined(site: Site, how: str) -> None:
    match how:
        case "reference":
            site.plug(E1, reference=ticket())
            site.plug(E2, reference=ticket())
        case "reservation":
            site.reserve(station_id="s1")
            site.plug(E1)
            site.plug(E2)
        case "waiting":
            site.present(E2)
            site.plug(E1, subject_id=ANNA)
            site.plug(E2)
        case "subject":
            site.plug(E1, subject_id=ANNA)
            site.plug(E2, subject_id=ANNA)
    first, second = (site.log.owner("occupant", evse_id) for evse_id in (E1, E2))
    assert first
    assert second
    assert first != second
    assert site.session(first).evse_id == E1
    assert site.session(second).evse_id == E2


def test_nobody_joins_what_is_known_to_be_anothers(site: Site) -> None:
    """Not by a reservation of a class, not by an authorization that waits."""
    reserved = site.reserve(evse_class=f"{ZONE}/AC")
    site.add(requested("", ANNA), reserved)
    waiting = site.present(E1, ANNA)
    assert waiting == reserved
    assert site.present(E1, BEN) != reserved


def test_the_last_credential_presented_is_the_one_that_waits(site: Site) -> None:
    anna, ben = site.present(E1, ANNA), site.present(E1, BEN)
    assert anna != ben
    assert site.plug(E1) == ben


@pytest.mark.parametrize(
    "end",
    [
        s.AuthorizationRefused(session_id="", by="emsp", reason="unknown"),
        s.AuthorizationEnded(session_id=""),
    ],
    ids=["refused", "ended"],
)
def test_an_authorization_that_ended_waits_no_longer(
    site: Site, end: s.AuthorizationRefused
) -> None:
    session_id = site.present(E1)
    site.add(s.AuthorizationAccepted(session_id="", by="emsp"), session_id)
    site.add(end, session_id)
    assert site.plug(E1) != session_id


def test_a_closed_session_is_never_joined(site: Site) -> None:
    reserved = site.reserve(evse_id=E1, reference=ticket())
    site.present(E1)
    site.close(reserved)
    assert site.plug(E1, reference=ticket(), subject_id=ANNA) != reserved


def test_a_reference_stays_with_the_session_it_was_bound_to(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""), reference=ticket())
    site.close(session_id)
    site.plug(E1, reference=ticket())
    assert site.log.owner("reference", ticket().key) == session_id


def test_a_transaction_with_the_reference_of_a_closed_session_is_refused(
    site: Site,
) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""), reference=ticket())
    site.close(session_id)
    with pytest.raises(Refused, match=f"service session {session_id} is closed"):
        site.add(s.ParkingEnded(session_id=""), reference=ticket())


def test_the_reference_of_a_plug_finds_its_session_later(site: Site) -> None:
    session_id = site.plug(E1, reference=ticket())
    assert s.ReferenceBound(
        session_id=session_id, party="parkco", kind="ticket", reference="ticket 1"
    ) in site.events(session_id)
    parked = s.ParkingStarted(session_id="")
    assert site.add(parked, reference=ticket()) == session_id


def test_a_reference_is_bound_once(site: Site) -> None:
    session_id = site.plug(E1, reference=ticket())
    site.add(s.ParkingStarted(session_id=""), session_id, reference=ticket())
    assert site.types(session_id).count("session.reference_bound") == 1


def test_a_reference_of_another_session_is_refused(site: Site) -> None:
    first = site.plug(E1, reference=ticket())
    second = site.plug(E2)
    with pytest.raises(Refused, match="ticket 1 belongs to another") as refused:
        site.add(s.ParkingStarted(session_id=""), second, reference=ticket())
    assert first not in str(refused.value)


DRAWN = ticket("1-6c0e92b7f1d24a")


def bind(
    site: Site, session_id: str, reference: Reference, *, is_by_staff: bool = False
) -> Answer:
    command = BindReference(
        session_id=session_id, reference=reference, is_by_staff=is_by_staff
    )
    return bind_reference(site.system, command, by())


def test_a_partys_reference_is_bound_so_that_it_adds_to_the_session(site: Site) -> None:
    session_id = site.plug(E1)
    bind(site, session_id, DRAWN)
    assert site.events(session_id)[-1] == s.ReferenceBound(
        session_id=session_id, party="parkco", kind="ticket", reference=DRAWN.text
    )
    assert site.add(s.ParkingStarted(session_id=""), reference=DRAWN) == session_id
    assert "parkco" in site.session(session_id).parties


def test_a_reference_bound_again_changes_nothing(site: Site) -> None:
    session_id = site.plug(E1, reference=DRAWN)
    before = site.rows()
    assert bind(site, session_id, DRAWN).count == 0
    assert site.rows() == before


def test_a_reference_is_not_bound_to_two_sessions(site: Site) -> None:
    """And who asks does not learn whose it is."""
    first, second = site.plug(E1, reference=DRAWN), site.plug(E2)
    with pytest.raises(Refused, match="is not free to bind") as refused:
        bind(site, second, DRAWN)
    assert first not in str(refused.value)
    site.merge(first, site.add(s.ParkingStarted(session_id="")))
    with pytest.raises(Refused, match="is not free to bind"):
        bind(site, second, DRAWN)
    assert site.guards()["reference"] == [DRAWN.key]
    assert "session.reference_bound" not in site.types(second)


def test_a_reference_is_bound_to_an_open_session_only(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id=""))
    site.close(session_id)
    with pytest.raises(Refused, match=f"{session_id} is closed"):
        bind(site, session_id, DRAWN)
    with pytest.raises(InvalidValue, match="is personal data"):
        bind(site, session_id, Reference("cso", "token", "04A2"))


@pytest.mark.parametrize("text", ["1", "2", "1-6c0e92b7f1d24"])
def test_what_a_party_could_come_with_itself_no_other_binds_for_it(
    site: Site, text: str
) -> None:
    """In the words for what is taken, so that trying tells nobody which there are."""
    taken = site.plug(E1, reference=ticket("1"))
    session_id = site.plug(E2)
    with pytest.raises(Refused, match="is not free to bind") as refused:
        bind(site, session_id, ticket(text))
    site.plug(E3, reference=DRAWN)
    with pytest.raises(Refused) as of_another:
        bind(site, session_id, DRAWN)
    words = str(refused.value).replace(ticket(text).key, DRAWN.key)
    assert words == str(of_another.value)
    assert taken not in words


def test_a_party_binds_its_own_and_the_staff_any_reference(site: Site) -> None:
    session_id = site.plug(E1)
    bind(site, session_id, Reference("cso", "booking", "7"))
    bind(site, session_id, ticket("7"), is_by_staff=True)
    assert site.types(session_id)[-2:] == ["session.reference_bound"] * 2


def test_nobody_is_led_to_reserve_in_the_session_of_another(site: Site) -> None:
    """Given a reference that another bound for a party, which then reserves by it."""
    led = site.add(s.OtherStarted(session_id="", service="washing"))
    bind(site, led, DRAWN)
    with pytest.raises(Refused, match="another party opened: name the session"):
        site.reserve(evse_id=E1, reference=DRAWN)
    assert site.reserve(evse_id=E1, session_id=led, reference=DRAWN) == led


def test_who_accepted_a_session_reserves_in_it_by_its_reference(site: Site) -> None:
    session_id = site.present(E1)
    reference = Reference("emsp", "booking", "7")
    bind(site, session_id, reference, is_by_staff=True)
    site.add(s.AuthorizationAccepted(session_id="", by="emsp"), session_id)
    assert site.reserve(evse_id=E1, reference=reference) == session_id


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("token", "04A2"), ("EMAID", "4711"), ("contract", "DE-8AA-C12345678-9")),
        *(("customer", "jane.doe@example.org"), ("customer", "+49 (40) 123-456")),
        *(("customer", "00:1a:2B:3c:4D:5e"), ("customer", "04-A2-B3-C4")),
        *(("customer", "04a2b3c4"), ("customer", "04A2B3C4D5E6F7")),
    ]
    + [("booking", text) for text in ("DE-8AA-C12345678-9", "de*8eo*caet5e4*3")],
)
def test_personal_data_is_no_reference(site: Site, kind: str, text: str) -> None:
    """References stand in the log as they are; a message does not name one either."""
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match="subject that the vault knows") as refused:
        site.plug(E1, reference=Reference("emsp", kind, text))
    assert text not in str(refused.value)
    assert site.log.last_position() == before


@pytest.mark.parametrize(
    "reference",
    [Reference("a b", "k", "t"), Reference("p", "", "t"), Reference("p", "k", "")],
)
def test_a_reference_that_names_nothing_is_refused(
    site: Site, reference: Reference
) -> None:
    with pytest.raises(InvalidValue):
        site.plug(E1, reference=reference)


def test_a_family_charges_two_cars_on_one_contract(site: Site) -> None:
    """Given two cars of one subject at a station, either may come and go."""
    first, second = site.present(E1), None
    site.plug(E1)
    second = site.present(E2)
    assert site.plug(E2) == second != first
    site.unplug(E1)
    site.unplug(E2)
    site.close(first)
    site.close(second)
    assert site.guards() == {}
