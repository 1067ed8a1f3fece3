"""7.5 Correction of recorded transactions."""

import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import session_events as s
from domain.model.sdr_information import information_of
from domain.model.values import HOUR, MINUTE
from domain.ports import Answer, Append, Batch
from domain.use_cases.clause_7_5_corrections import (
    CORRECTABLE,
    CorrectTransaction,
    correct_transaction,
)
from domain.use_cases.s6_sdr_information import increments_of
from tests.use_cases.small_site import E1, E2, E3, NINE, Site, by, requested


def correct(
    site: Site,
    session_id: str,
    position: int,
    field: str = "energy_wh",
    value: str = "6500",
    reason: str = "meter read by hand",
) -> Answer:
    command = CorrectTransaction(
        session_id=session_id,
        position=position,
        field=field,
        value=value,
        reason=reason,
    )
    return correct_transaction(site.system, command, by(NINE + HOUR, "auditor"))


def position_of(site: Site, session_id: str, type_name: str) -> int:
    rows = site.log.read_stream(f"session-{session_id}")
    return next(row.position for row in rows if row.type == type_name)


def charged(site: Site, evse_id: str = E1) -> tuple[str, int]:
    """Return a session whose EV was unplugged, and where its transfer ended."""
    session_id = site.plug(evse_id)
    site.unplug(evse_id)
    return session_id, position_of(site, session_id, "transfer.ended")


@pytest.mark.requirement("7.5.1")
def test_a_correction_is_recorded_and_the_first_stays_readable(site: Site) -> None:
    session_id, position = charged(site)
    first = site.log.read(after=position - 1, limit=1)[0].event
    correct(site, session_id, position)
    row = site.log.read_stream(f"session-{session_id}")[-1]
    assert row.event == s.TransactionCorrected(
        session_id=session_id,
        position=position,
        field="energy_wh",
        value="6500",
        by="auditor",
        reason="meter read by hand",
    )
    assert row.is_decision
    assert site.log.read(after=position - 1, limit=1)[0].event == first


def test_a_closed_session_is_corrected_too(site: Site) -> None:
    session_id, position = charged(site)
    site.close(session_id)
    correct(site, session_id, position)
    assert site.types(session_id)[-1] == "transaction.corrected"


def test_a_transaction_of_a_merged_session_is_corrected_in_the_one_that_stays(
    site: Site,
) -> None:
    (gone, position), kept = charged(site), site.add(s.ParkingStarted(session_id=""))
    site.merge(gone, kept)
    correct(site, gone, position)
    correct(site, kept, position, value="6600")
    assert site.types(kept)[-2:] == ["transaction.corrected"] * 2


def test_a_text_is_corrected_as_json(site: Site) -> None:
    session_id = site.add(s.ParkingStarted(session_id="", place="row A"))
    position = position_of(site, session_id, "parking.started")
    correct(site, session_id, position, "place", ' "row B" ')
    corrected = site.events(session_id)[-1]
    assert isinstance(corrected, s.TransactionCorrected)
    assert corrected.value == '"row B"'


def test_a_correction_is_not_corrected_but_made_again(site: Site) -> None:
    session_id, position = charged(site)
    correction = correct(site, session_id, position).first
    with pytest.raises(Refused, match=f"correct the transaction at {position} again"):
        correct(site, session_id, correction, "value", '"7000"')
    correct(site, session_id, position, value="7000")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("session_id", '"x"', "transfer.ended has no field 'session_id' that can"),
        ("quality", '"good"', "has no field 'quality' that can"),
        ("evse", "1", "has no field 'evse' that can"),
        ("energy_wh", "", "energy_wh cannot be : .*truncated"),
        ("energy_wh", "NaN", "cannot be NaN"),
        ("energy_wh", "6.5", "cannot be 6.5: Expected `int`"),
        ("energy_wh", "null", "cannot be null"),
        ("energy_wh", '"6500"', "Expected `int`, got `str`"),
        ("energy_wh", "1" + "0" * 30, "energy_wh: 10{30} Wh is beyond"),
        ("energy_wh", "[" * 9_000, r"cannot be \[\[\["),
        ("reason", "7", "Expected `str`"),
        ("reason", "left", "cannot be left"),
        ("reason", '"jane@example.org"', "form of an address of mail"),
        ("reason", '"\udc00"', "cannot be"),
        ("reason", '"' + "x" * 501 + '"', "reason: more than 500 characters"),
    ],
)
def test_what_a_field_cannot_be_is_refused(
    site: Site, field: str, value: str, says: str
) -> None:
    session_id, position = charged(site)
    before = site.log.last_position()
    with pytest.raises(InvalidValue, match=says):
        correct(site, session_id, position, field, value)
    assert site.log.last_position() == before


def test_an_instant_beyond_the_calendar_is_refused(site: Site) -> None:
    session_id = site.reserve(evse_id=E1)
    position = position_of(site, session_id, "reservation.made")
    for value in ("-1", "253402300800000000"):
        with pytest.raises(InvalidValue, match="between the years 1970 and 9999"):
            correct(site, session_id, position, "until_at", value)


@pytest.mark.requirement("7.5.1")
def test_when_a_transaction_happened_is_corrected_too(site: Site) -> None:
    session_id, position = charged(site)
    at = NINE + 30 * MINUTE
    correct(site, session_id, position, "occurred_at", str(at))
    told = information_of(
        session_id, increments_of(site.system, session_id), lambda *_: None
    )
    (transfer,) = told.parts
    assert (transfer.begun_at, transfer.ended_at) == (NINE, at)
    (correction,) = told.corrections
    assert correction.first_value == str(NINE + HOUR)
    assert correction.value == str(at)
    assert site.log.read(after=position - 1, limit=1)[0].occurred_at == NINE + HOUR


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (str(NINE + HOUR + 1), r"transfer\.ended\.occurred_at: .* has not come yet"),
        ("-1", "between the years 1970 and 9999"),
        ('"2026-01-01T00:00:00Z"', "Expected `int`, got `str`"),
    ],
)
def test_a_transaction_happened_at_no_time_to_come(
    site: Site, value: str, says: str
) -> None:
    session_id, position = charged(site)
    with pytest.raises(InvalidValue, match=says):
        correct(site, session_id, position, "occurred_at", value)


def test_sealed_fields_and_ids_are_left_alone(site: Site) -> None:
    session_id = site.add(requested(E1))
    position = position_of(site, session_id, "authorization.requested")
    for field in ("credential", "subject_id", "evse_id"):
        with pytest.raises(InvalidValue, match="that can be corrected"):
            correct(site, session_id, position, field, "null")


def test_only_a_transaction_of_that_session_is_corrected(site: Site) -> None:
    """Another's position is answered as one where nothing is."""
    session_id, _ = charged(site)
    _, elsewhere = charged(site, E2)
    opened = position_of(site, session_id, "session.opened")
    zone = site.log.read_stream("zone-garage")[0].position
    for position in (elsewhere, zone, 0, -1, site.log.last_position() + 1, 10**30):
        with pytest.raises(Refused, match=f"no transaction at position {position}$"):
            correct(site, session_id, position)
    with pytest.raises(Refused, match=r"session\.opened, which is no transaction"):
        correct(site, session_id, opened, "party", '"cso"')
    with pytest.raises(Unknown, match="'nobody' was never opened"):
        correct(site, "nobody", elsewhere)


@pytest.mark.parametrize("reason", ["", "x" * 501])
def test_a_correction_needs_a_reason(site: Site, reason: str) -> None:
    session_id, position = charged(site, E3)
    with pytest.raises(InvalidValue, match=f"a reason of {len(reason)} characters"):
        correct(site, session_id, position, reason=reason)


def test_every_field_that_can_be_corrected_has_a_plain_type() -> None:
    """What is kept as text is compared with the field's type when it is read."""
    for cls in CORRECTABLE - {s.TransferSettled}:
        for name, kind in cls.__annotations__.items():
            if not name.endswith("_id") and name not in ("quality", "credential"):
                assert kind in (int, str), f"{cls.__name__}.{name}"


def test_of_what_was_settled_only_plain_fields_can_be_corrected(site: Site) -> None:
    settled = s.TransferSettled(
        session_id=site.plug(E1),
        station_id="s1",
        evse_id=E1,
        zone_id="garage",
        transaction_id="t1",
        begun_at=NINE,
        ended_at=NINE + HOUR,
        energy_wh=5_000,
        reason="",
    )
    stream = f"session-{settled.session_id}"
    append = Append(stream, (settled,), NINE + HOUR)
    position = site.log.append(Batch(appends=(append,))).first
    correct(site, settled.session_id, position)
    for field in ("intervals", "replaces", "is_accepted", "quality"):
        with pytest.raises(InvalidValue, match="no field"):
            correct(site, settled.session_id, position, field, "[]")
