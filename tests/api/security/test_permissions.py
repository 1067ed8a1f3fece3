"""7.9.4.5 The table of permissions, cell by cell: what it says, and that it holds."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.security.permissions import TABLE, Permission
from api.security.principal import Role
from tests.api.conftest import listening, port_of
from tests.api.security.world import KEY, World, caller, world

# admin, operator, analyst, integrator, cso, parking, resource manager, station, auditor
EXPECTED = """
zones.read            x x x x x . x . .
envelopes.read        x x x x . . x . .
evses.read            x x x . x . . x .
stations.read         x x x . . . . . .
incentives.read       x x x . x . x . .
activities.read       x x x . x . . . .
sessions.read         x x x . x x . . .
plans.read            x x x x . . . . .
figures.read          x x x x . . . . .
events.read           x x x . . . . . .
readings.read         x x x . . . x . .
exports.read          x . x . . . . . .
sdr.read              x x . . x . . . .
contracts.read        x x . . . . . . .
operation.read        x x . x . . . . .
keys.read             x . . . . . . . x
security.read         . . . . . . . . x
api.read              x x x x x x x x x
zones.commission      x x . . . . . . .
stations.keep         x x . . . . . . .
stations.operate      x x . . . . . . .
remote.start          . x . . x . . . .
constraints.send      x x . . . . . . .
pre.set               . . . . . . x . .
incentives.send       . . . . x . x . .
evse.report           . . . . . . . x .
evse.suspend          x x . . . . . . .
safety.report         x x . . . . . x .
safety.assess         x x . . . . . . .
reservation.make      . . . . x . . . .
parking.report        . . . . . x . . .
other.report          . . . . x x . . .
authorization.ask     . . . . x . . x .
authorization.answer  . . . . x . . . .
needs.state           . x . . x . . . .
v2g.consent           . x . . x . . . .
reference.bind        . x . . x . . . .
session.close         x x . . x . . . .
session.correct       x . . . x . . . .
sdr.receive           . . . . x . . . .
contracts.keep        x x . . . . . . .
keys.keep             x . . . . . . . .
"""


def expected() -> dict[str, list[bool]]:
    """Return the table as it was agreed: one who changes it changes it twice."""
    lines = [line.split() for line in EXPECTED.strip().splitlines()]
    return {name: [cell == "x" for cell in cells] for name, *cells in lines}


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


def test_the_table_is_what_was_agreed() -> None:
    told = {p.value: [role in TABLE[p] for role in Role] for p in Permission}
    assert told == expected()


@pytest.mark.requirement("7.9.4.5")
@pytest.mark.parametrize("role", Role)
def test_each_role_passes_where_the_table_lets_it_and_nowhere_else(
    settled: World, role: Role
) -> None:
    app = settled.app_for(caller(role, zones=frozenset({"*"}), party="Qxcso1a"))
    operations = list(operations_of(app.openapi()))
    wrong: list[str] = []
    with listening(app) as server, client_of(port_of(server)) as client:
        for method, path, permission in operations:
            granted = expected()[permission][list(Role).index(role)]
            if granted != passes(client, method, path):
                wrong.append(f"{method} {path}: {permission} is {granted}")
    assert wrong == []
    assert {permission for _, _, permission in operations} == set(expected())


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path != "/v1/health":
                yield method, path, operation["x-permission"]


def client_of(port: int) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "cells"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers)


def passes(client: httpx.Client, method: str, path: str) -> bool:
    """Whether a request gets past the table; what comes of it does not matter."""
    url = path.replace("{position}", "1").replace("{", "").replace("}", "")
    # The feed does not end: its head says enough.
    with client.stream(method.upper(), url) as answer:
        return answer.status_code != 403


def test_nobody_unknown_gets_past_the_gate(settled: World) -> None:
    app = settled.app_for(caller(Role.ADMIN, zones=frozenset({"*"})))
    with listening(app) as server:
        base = f"http://127.0.0.1:{port_of(server)}"
        for method, path, _ in operations_of(app.openapi()):
            for headers in ({}, {"Authorization": "Bearer x"}):
                answer = httpx.request(method, f"{base}{path}", headers=headers)
                assert answer.status_code == 401, path
        assert httpx.get(f"{base}/v1/nothing").status_code == 401
        assert httpx.get(f"{base}/v1/health").status_code == 200
