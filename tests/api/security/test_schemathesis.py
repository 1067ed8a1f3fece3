"""The whole OpenAPI with every role: schemathesis finds no mistake and no leak.

Each operation is asked with what its document allows and with what it does not. No
answer is a 5xx but 503, none has a status or a body that the document does not know,
and none tells an id out of the caller's reach. `VOLTLEDGER_FULL=1` asks far more often.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.security.principal import Principal, Role
from tests.api.security.test_id_walk import ENDLESS, foreign_to
from tests.api.security.world import KEY, World, caller, world

FULL = bool(os.environ.get("VOLTLEDGER_FULL"))
EXAMPLES = 100 if FULL else 1

CALLERS = {
    Role.ADMIN: caller(Role.ADMIN, zones=frozenset({"*"})),
    Role.OPERATOR: caller(Role.OPERATOR, zones=frozenset({"Qxzone1"})),
    Role.ANALYST: caller(Role.ANALYST, zones=frozenset({"Qxzone1"})),
    Role.INTEGRATOR: caller(Role.INTEGRATOR, zones=frozenset({"Qxzone1"})),
    Role.CSO: caller(Role.CSO, party="Qxcso1a"),
    Role.PARKING_OPERATOR: caller(Role.PARKING_OPERATOR, party="Qxpark1a"),
    Role.RESOURCE_MANAGER: caller(Role.RESOURCE_MANAGER, zones=frozenset({"Qxzone1"})),
    Role.STATION: caller(Role.STATION, stations=frozenset({"Qxstation1a"})),
    Role.AUDITOR: caller(Role.AUDITOR, zones=frozenset({"*"})),
}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


def test_every_role_is_tried() -> None:
    assert set(CALLERS) == set(Role)


@pytest.mark.parametrize("role", Role)
def test_every_operation_answers_as_documented(settled: World, role: Role) -> None:
    who = CALLERS[role]
    headers = {"Authorization": f"Bearer {KEY}"}
    schema = schemathesis.openapi.from_asgi(
        "/v1/openapi.json",
        settled.app_for(who),
        config=SchemathesisConfig(),
        headers=headers,
    )
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            cases = operation.as_strategy(generation_mode=mode)
            # Where nothing is asked for, nothing can be asked for wrongly.
            may_fail = (Unsatisfiable,) if mode is GenerationMode.NEGATIVE else ()
            with suppress(*may_fail):
                ask(settled, who, cases, headers)
        tried += 1
    assert tried > 40


def ask(
    settled: World,
    who: Principal,
    cases: SearchStrategy["Case[Any]"],
    headers: dict[str, str],
) -> None:
    foreign = foreign_to(settled, who)

    @settings(
        max_examples=EXAMPLES,
        derandomize=not FULL,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def asked(case: "Case[Any]") -> None:
        answer = case.call(headers=headers)
        if answer.status_code == 503:
            return
        case.validate_response(answer, checks=CHECKS)
        text = answer.content.decode(errors="replace")
        assert [found for found in foreign if found in text] == [], case.path

    asked()
