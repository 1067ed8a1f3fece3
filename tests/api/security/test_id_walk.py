"""7.9.4.5 Nobody learns an id of another tenant or partner by walking, at any route."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.security.principal import Principal, Role
from tests.api.conftest import listening, port_of
from tests.api.security.world import KEY, World, caller, may_learn, world

# Routes that do not end, or hand out files: they have tests of their own.
ENDLESS = ("/v1/events/feed",)

CALLERS = {
    "operator of a zone": caller(Role.OPERATOR, zones=frozenset({"Qxzone1"})),
    "analyst of a zone": caller(Role.ANALYST, zones=frozenset({"Qxzone2"})),
    "cso by its party": caller(Role.CSO, party="Qxcso1a"),
    "cso of a zone": caller(Role.CSO, party="Qxcso2a", zones=frozenset({"Qxzone1"})),
    "cso whose session was merged": caller(Role.CSO, party="Qxwash1a"),
    "parking operator": caller(Role.PARKING_OPERATOR, party="Qxpark1a"),
    "resource manager": caller(Role.RESOURCE_MANAGER, zones=frozenset({"Qxzone1"})),
    "station": caller(Role.STATION, stations=frozenset({"Qxstation1b"})),
    "integrator": caller(Role.INTEGRATOR, zones=frozenset({"Qxzone2"})),
    "operator of all": caller(Role.OPERATOR, zones=frozenset({"*"})),
    "auditor": caller(Role.AUDITOR, zones=frozenset({"*"})),
}
# What parameters are walked through, by their names; the others are left out or plain.
KINDS = {
    "zone_id": ("zone",),
    "station_id": ("station",),
    "evse_id": ("evse",),
    "session_id": ("session",),
    "position": ("plan",),
    "pre_id": ("pre",),
    "party": ("party",),
    "stream": ("zone", "evse", "session", "station", "activity"),
}


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as found:
        yield found


Reads = list[tuple[str, list[dict[str, Any]]]]


def reads_of(app: FastAPI) -> Reads:
    document = app.openapi()
    return [
        (path, operations["get"].get("parameters", []))
        for path, operations in document["paths"].items()
        if "get" in operations and path not in ENDLESS
    ]


def pool(settled: World, name: str) -> list[str]:
    kinds = KINDS.get(name, ())
    found = [thing for kind in kinds for thing in settled.ids(kind)]
    if name != "stream":
        return found
    return [f"{kind}-{thing}" for kind in kinds for thing in settled.ids(kind)]


def asked(settled: World, reads: Reads, draw: Any) -> tuple[str, dict[str, str]]:
    """Draw a request: a route, ids for its path, some of its filters."""
    path, parameters = draw(st.sampled_from(reads))
    query: dict[str, str] = {}
    for parameter in parameters:
        name, place = parameter["name"], parameter["in"]
        ids = pool(settled, name)
        if place == "path":
            path = path.replace(f"{{{name}}}", draw(st.sampled_from(ids or ["x"])))
        elif place == "query" and ids and draw(st.booleans()):
            query[name] = draw(st.sampled_from(ids))
    return path, query


def foreign_to(settled: World, who: Principal) -> set[str]:
    return {
        thing.id
        for thing in settled.named
        if thing.kind != "plan" and not may_learn(who, thing)
    }


def plain(answer: Any) -> Any:
    """Return what is told, without what differs from request to request."""
    try:
        told = answer.json()
    except json.JSONDecodeError:
        told = answer.text
    if isinstance(told, dict):
        told.pop("request_id", None)
    return told


@pytest.mark.requirement("7.9.4.5")
@pytest.mark.parametrize("name", CALLERS)
def test_no_route_tells_an_id_out_of_reach(settled: World, name: str) -> None:
    who = CALLERS[name]
    app = settled.app_for(who)
    with listening(app) as server:
        headers = {"Authorization": f"Bearer {KEY}"}
        address = f"http://127.0.0.1:{port_of(server)}"
        with httpx.Client(base_url=address, headers=headers) as client:
            walk(settled, reads_of(app), client, foreign_to(settled, who))


def walk(settled: World, reads: Reads, client: httpx.Client, foreign: set[str]) -> None:
    @settings(
        max_examples=75,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def walked(data: st.DataObject) -> None:
        path, query = asked(settled, reads, data.draw)
        answer = client.get(path, params=query)
        request = f"{path} {query}"
        told = [found for found in foreign if found in answer.text]
        assert [found for found in told if found not in request] == [], request
        named = [found for found in foreign if found in request]
        if not named or answer.status_code == 403:
            return
        # What is out of reach is answered as what is not there.
        for found in named:
            path = path.replace(found, "nothing-there")
            query = {key: v.replace(found, "nothing-there") for key, v in query.items()}
        nothing = client.get(path, params=query)
        text = json.dumps(plain(answer))
        for found in named:
            text = text.replace(found, "nothing-there")
        assert (answer.status_code, json.loads(text)) == (
            nothing.status_code,
            plain(nothing),
        ), request

    walked()


def test_the_world_has_something_to_hide_from_everybody(settled: World) -> None:
    """The walk can only fail where there is something that must not be told."""
    for who in CALLERS.values():
        foreign = foreign_to(settled, who)
        assert foreign
        assert any(found.startswith("Zw") for found in foreign)
