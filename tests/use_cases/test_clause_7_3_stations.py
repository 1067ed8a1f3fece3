"""7.3 Stations that may connect."""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from domain.errors import InvalidValue, Refused, Unknown
from domain.model import station_events as t
from domain.model.deviations import EXPLAINED, Deviation
from domain.model.site import Station, evolve_station
from domain.ports import Answer, System
from domain.use_cases.clause_7_3_commissioning import (
    CommissionStation,
    commission_station,
)
from domain.use_cases.clause_7_3_stations import (
    BlockStation,
    ChangeCredentials,
    RegisterStation,
    RetireStation,
    TolerateDeviations,
    UnblockStation,
    block_station,
    change_credentials,
    digest_of,
    draw_password,
    register_station,
    retire_station,
    tolerate_deviations,
    unblock_station,
)
from domain.use_cases.shared_path import fold
from tests.store.fakes import SeededIds
from tests.use_cases.small_site import ZONE, Site, by, evse_data

FIRST, SECOND = digest_of("first"), digest_of("second")
HALL = RegisterStation(station_id="hall", identity="HALL-1", security_profile=1)


def registered(system: System, **changes: Any) -> Answer:
    command = msgspec.structs.replace(HALL, **changes)
    return register_station(system, command, by(), password_digest=FIRST)


def state_of(system: System, station_id: str = "hall") -> Station:
    return fold(system, f"station-{station_id}", Station(), evolve_station)


@pytest.mark.requirement("7.9.4.2")
def test_only_the_digest_of_a_station_s_password_is_kept(system: System) -> None:
    password = draw_password(SeededIds("passwords"))
    assert len(bytes.fromhex(password)) * 8 >= 128
    register_station(system, HALL, by(), password_digest=digest_of(password))
    (row,) = system.log.read_stream("station-hall")
    assert row.event == t.StationRegistered(
        station_id="hall",
        identity="HALL-1",
        security_profile=1,
        password_digest=hashlib.sha256(password.encode()).digest(),
    )


def test_passwords_differ() -> None:
    drawn = SeededIds("passwords")
    assert len({draw_password(drawn) for _ in range(100)}) == 100


def test_a_commissioned_station_is_registered_and_keeps_its_evses(site: Site) -> None:
    registered(site.system, station_id="s1")
    state = state_of(site.system, "s1")
    assert state.registered is not None
    assert state.commissioned is not None
    assert len(state.commissioned.evse_ids) == 2


@pytest.mark.requirement("7.9.4.2")
def test_new_credentials_take_the_place_of_those_before(system: System) -> None:
    registered(system)
    rotate = ChangeCredentials(station_id="hall", security_profile=2)
    change_credentials(system, rotate, by(), password_digest=SECOND)
    now = state_of(system).registered
    assert now is not None
    assert (now.security_profile, now.password_digest) == (2, SECOND)
    by_certificate = ChangeCredentials(
        station_id="hall", security_profile=3, certificate_name="hall.depot.example"
    )
    change_credentials(system, by_certificate, by())
    now = state_of(system).registered
    assert now is not None
    assert (now.password_digest, now.certificate_name) == (b"", "hall.depot.example")
    assert now.identity == "HALL-1"


def test_a_repeated_command_is_known_whatever_password_was_drawn_for_it(
    system: System,
) -> None:
    first, again = (
        register_station(
            system, HALL, by(command_id="r"), password_digest=digest_of(password)
        )
        for password in ("a", "b")
    )
    assert (first.repeated, again.repeated) == (False, True)
    state = state_of(system).registered
    assert state is not None
    assert state.password_digest == digest_of("a")


def test_deviations_are_set_as_a_whole_and_in_the_order_of_their_list(
    system: System,
) -> None:
    registered(system, deviations=("null-member",))
    wanted = TolerateDeviations(
        station_id="hall",
        deviations=("unknown-member", "instant-without-offset", "unknown-member"),
    )
    tolerate_deviations(system, wanted, by())
    state = state_of(system).registered
    assert state is not None
    assert state.deviations == ("instant-without-offset", "unknown-member")


def test_every_deviation_is_explained() -> None:
    assert set(EXPLAINED) == set(Deviation)


def test_a_station_is_blocked_unblocked_and_retired_for_good(system: System) -> None:
    registered(system)
    block_station(system, BlockStation(station_id="hall", reason="stolen"), by())
    assert state_of(system).blocked == "stolen"
    found = UnblockStation(station_id="hall", reason="found")
    unblock_station(system, found, by())
    assert state_of(system).blocked == ""
    retire_station(system, RetireStation(station_id="hall", reason="sold"), by())
    assert state_of(system).retired == "sold"
    with pytest.raises(Refused, match="station hall was retired: sold"):
        unblock_station(system, found, by())
    with pytest.raises(Refused, match="identity 'HALL-1' is registered already"):
        registered(system, station_id="other")


def test_a_retired_station_is_not_commissioned(site: Site) -> None:
    registered(site.system)
    retire_station(site.system, RetireStation(station_id="hall", reason="sold"), by())
    evse = evse_data("US*CAL*E9")
    command = CommissionStation(station_id="hall", zone_id=ZONE, evses=(evse,))
    with pytest.raises(Refused, match="station hall was retired: sold"):
        commission_station(site.system, command, by())


Act = Callable[[System], Answer]


def registers(digest: bytes = FIRST, **changes: Any) -> Act:
    command = msgspec.structs.replace(
        HALL, **{"station_id": "new", "identity": "NEW", **changes}
    )
    return lambda system: register_station(
        system, command, by(), password_digest=digest
    )


def changes(station_id: str, security_profile: int, digest: bytes) -> Act:
    command = ChangeCredentials(
        station_id=station_id, security_profile=security_profile
    )
    return lambda system: change_credentials(
        system, command, by(), password_digest=digest
    )


def tolerates(station_id: str, *deviations: str) -> Act:
    command = TolerateDeviations(station_id=station_id, deviations=deviations)
    return lambda system: tolerate_deviations(system, command, by())


def blocks(station_id: str, reason: str) -> Act:
    command = BlockStation(station_id=station_id, reason=reason)
    return lambda system: block_station(system, command, by())


def unblocks(station_id: str, reason: str) -> Act:
    command = UnblockStation(station_id=station_id, reason=reason)
    return lambda system: unblock_station(system, command, by())


def retires(station_id: str, reason: str) -> Act:
    command = RetireStation(station_id=station_id, reason=reason)
    return lambda system: retire_station(system, command, by())


@pytest.mark.parametrize(
    ("act", "error", "says"),
    [
        (registers(identity="HALL-1"), Refused, "'HALL-1' is registered already"),
        (registers(station_id="hall"), Refused, "station hall is registered already"),
        (registers(identity="a/b"), InvalidValue, "identity 'a/b' is not 1 to 48"),
        (registers(identity=""), InvalidValue, "identity '' is not"),
        (registers(identity="a" * 49), InvalidValue, "is not 1 to 48 letters"),
        (registers(station_id="a b"), InvalidValue, "station id 'a b' is not"),
        (registers(via="a b"), InvalidValue, "local controller 'a b' is not"),
        (registers(security_profile=0), InvalidValue, "profile 0 is not 1 or 2"),
        (registers(security_profile=3), InvalidValue, "profile 3 is not 1 or 2"),
        (registers(b""), InvalidValue, "profile 1 is not 1 or 2 with a password"),
        (
            registers(b"", security_profile=3, certificate_name="x" * 201),
            InvalidValue,
            "longer than 200 characters",
        ),
        (registers(deviations=("typos",)), InvalidValue, "'typos' is not one of"),
        (changes("none", 1, FIRST), Unknown, "'none' was never registered"),
        (changes("hall", 3, FIRST), InvalidValue, "profile 3 is not 1 or 2"),
        (tolerates("none"), Unknown, "'none' was never registered"),
        (tolerates("hall", "all"), InvalidValue, "deviation 'all' is not one of"),
        (blocks("none", "x"), Unknown, "'none' was never registered"),
        (blocks("hall", " "), InvalidValue, "the reason has not 1 to 200"),
        (blocks("gate", "x"), Refused, "station gate is blocked already"),
        (unblocks("hall", "x"), Refused, "station hall is not blocked"),
        (unblocks("gate", ""), InvalidValue, "the reason has not 1 to 200"),
        (retires("none", "x"), Unknown, "'none' was never registered"),
        (retires("hall", "x" * 201), InvalidValue, "the reason has not 1 to 200"),
    ],
)
def test_what_breaks_a_rule_is_refused_and_nothing_recorded(
    system: System, act: Act, error: type[Exception], says: str
) -> None:
    registered(system)
    registered(system, station_id="gate", identity="GATE")
    block_station(system, BlockStation(station_id="gate", reason="stolen"), by())
    before = system.log.last_position()
    with pytest.raises(error, match=says):
        act(system)
    assert system.log.last_position() == before
