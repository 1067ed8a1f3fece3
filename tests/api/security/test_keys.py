"""Keys: their text, what each role needs, the register of a tenant."""

import re
import threading
from typing import Any

import msgspec
import pytest

from api.security.keys import (
    KeyRegister,
    check_privileges,
    check_tenant,
    draw_key,
    parts_of,
    roles_of,
)
from api.security.principal import Role
from domain.errors import InvalidValue, Unknown
from domain.use_cases.clause_7_9_4_5_access import RevokeKey, revoke_key
from domain.use_cases.shared_path import By
from tests.api.conftest import KeyFor, Served
from tests.projections.small_site import ZONE, DrawnIds

EVERYTHING = ("*",)


def test_a_key_names_its_tenant_and_id_and_has_256_bits() -> None:
    new = draw_key("depot-7", DrawnIds())
    parts = parts_of(new.text)
    assert parts is not None
    assert (parts.tenant, parts.key_id) == ("depot-7", new.key_id)
    assert re.fullmatch(r"[\w-]{43}", parts.secret)
    assert new.text != draw_key("depot-7", DrawnIds("other")).text


@pytest.mark.parametrize("name", ["", "A", "a.b", "a/b", "-a", "a" * 33, "a b"])
def test_a_tenant_has_a_name_that_a_key_can_carry(name: str) -> None:
    with pytest.raises(InvalidValue, match="tenant"):
        check_tenant(name)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(InvalidValue, match="'root'"):
        roles_of(["admin", "root"])


@pytest.mark.requirement("7.9.4.5")
@pytest.mark.parametrize(
    ("role", "party", "zones", "stations", "rule"),
    [
        (Role.CSO, "", EVERYTHING, (), "party"),
        (Role.PARKING_OPERATOR, "", (), (), "party"),
        (Role.PARKING_OPERATOR, "p", (ZONE,), (), "neither"),
        (Role.PARKING_OPERATOR, "p", (), ("s1",), "neither"),
        (Role.STATION, "", (), (), "stations"),
        (Role.STATION, "", (ZONE,), ("s1",), "no zones"),
        (Role.RESOURCE_MANAGER, "", (), (), "by name"),
        (Role.RESOURCE_MANAGER, "", EVERYTHING, (), "by name"),
        (Role.ADMIN, "", (ZONE,), (), "whole tenant"),
        (Role.ADMIN, "", (), (), "whole tenant"),
        (Role.AUDITOR, "", (ZONE,), (), "whole tenant"),
        (Role.OPERATOR, "", (), (), "zones or stations"),
        (Role.ANALYST, "", (), (), "zones or stations"),
        (Role.INTEGRATOR, "", (), (), "zones or stations"),
    ],
)
def test_a_role_with_another_reach_than_it_needs_is_refused(
    role: Role,
    party: str,
    zones: tuple[str, ...],
    stations: tuple[str, ...],
    rule: str,
) -> None:
    with pytest.raises(InvalidValue, match=rule):
        check_privileges(frozenset({role}), party, zones, stations)


@pytest.mark.parametrize(
    ("role", "party", "zones", "stations"),
    [
        (Role.CSO, "p", (), ()),
        (Role.CSO, "p", (ZONE,), ()),
        (Role.PARKING_OPERATOR, "p", (), ()),
        (Role.STATION, "", (), ("s1",)),
        (Role.RESOURCE_MANAGER, "", (ZONE,), ()),
        (Role.ADMIN, "", EVERYTHING, ()),
        (Role.OPERATOR, "", (ZONE,), ()),
        (Role.OPERATOR, "", (), ("s1",)),
    ],
)
def test_a_role_with_the_reach_it_needs_is_accepted(
    role: Role, party: str, zones: tuple[str, ...], stations: tuple[str, ...]
) -> None:
    check_privileges(frozenset({role}), party, zones, stations)


def test_a_register_knows_after_a_restart_what_it_knew(
    served: Served, key_for: KeyFor
) -> None:
    text = key_for("cso", party="fleet", zones=(ZONE,))["Authorization"]
    parts = parts_of(text.removeprefix("Bearer "))
    assert parts is not None
    again = KeyRegister("main", served.system)
    held = again.matching(parts.key_id, parts.secret)
    assert held == served.keys.matching(parts.key_id, parts.secret)
    assert held is not None
    assert held.principal.roles == {Role.CSO}
    assert held.principal.party == "fleet"
    assert held.principal.zones == {ZONE}
    assert again.matching(parts.key_id, parts.secret[:-1]) is None
    assert again.matching("nobody", parts.secret) is None


class SlowLog:
    """A log of which one reader waits, with what it read, until told to go on."""

    def __init__(self, log: Any) -> None:
        self.log = log
        self.is_slow = False
        self.has_read, self.go_on = threading.Event(), threading.Event()

    def read_stream(self, stream: str) -> Any:
        rows = self.log.read_stream(stream)
        if self.is_slow:
            self.is_slow = False
            self.has_read.set()
            self.go_on.wait(5)
        return rows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)


def test_a_revoked_key_stays_revoked_for_who_read_of_it_before(
    served: Served, key_for: KeyFor
) -> None:
    text = key_for("operator", zones=EVERYTHING)["Authorization"]
    key_id = text.split(".")[1]
    log = SlowLog(served.system.log)
    register = KeyRegister("main", msgspec.structs.replace(served.system, log=log))
    assert register.is_good(key_id)
    log.is_slow = True
    early, late = (
        threading.Thread(target=register.refresh, args=(key_id,)) for _ in range(2)
    )
    early.start()
    assert log.has_read.wait(5)
    revoke_key(
        served.system,
        RevokeKey(key_id=key_id, reason="lost"),
        By(actor="tester", at=served.clock.now()),
    )
    late.start()
    late.join(0.3)
    log.go_on.set()
    early.join(5)
    late.join(5)
    assert not register.is_good(key_id)


def test_a_secret_is_nowhere_in_the_store(served: Served, key_for: KeyFor) -> None:
    text = key_for("operator", zones=EVERYTHING)["Authorization"]
    secret = text.split(".")[2].encode()
    rows = served.system.log.read(after=-1, limit=1_000)
    assert any(row.type == "key.issued" for row in rows)
    for row in rows:
        assert secret not in repr(row).encode()


def test_a_key_for_a_zone_or_station_nobody_knows_is_refused(key_for: KeyFor) -> None:
    with pytest.raises(Unknown, match="elsewhere"):
        key_for("operator", zones=("elsewhere",))
    with pytest.raises(Unknown, match="elsewhere"):
        key_for("station", stations=("elsewhere",))
