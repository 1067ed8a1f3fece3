"""Each request has an id, a line in the log, a span, and is counted."""

import json
import logging
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from api.security.passing_key import PassingKey
from api.serving import logs, traces
from api.serving.logs import LogFormat
from domain.errors import InvalidValue
from tests.api.conftest import BEARER, EVERYBODY, KEY, Served
from tests.projections.small_site import ZONE

pytestmark = pytest.mark.anyio

POST_ZONE = {"zone_id": "yard", "name": "Yard", "limit_w": 9_000, "safe_upper_w": 9_000}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Give the log back as it was."""
    root = logging.getLogger()
    handlers, level, access = list(root.handlers), root.level, logs.ACCESS.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.ACCESS.setLevel(access)


async def test_a_good_request_id_is_kept_and_another_is_made(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/zones", headers={"X-Request-Id": "Trip-1.a_b"})
    assert answer.headers["x-request-id"] == "Trip-1.a_b"
    for bad in ("", "a b", "x" * 65, "a/b", "a\tb"):
        made = await client.get("/zones", headers={"X-Request-Id": bad})
        assert len(made.headers["x-request-id"]) == 16


async def test_a_problem_names_its_request(client: httpx.AsyncClient) -> None:
    answer = await client.get("/zones/nowhere", headers={"X-Request-Id": "r1"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "r1"
    assert answer.json()["instance"] == "/v1/zones/nowhere"
    client.headers.clear()
    unknown = await client.get("/zones", headers={"X-Request-Id": "r2"})
    assert (unknown.status_code, unknown.json()["request_id"]) == (401, "r2")


async def test_a_request_id_is_the_events_correlation_id(
    client: httpx.AsyncClient,
) -> None:
    sent = {"Idempotency-Key": "z", "X-Request-Id": "from-the-office"}
    await client.post("/zones", json=POST_ZONE, headers=sent)
    events = await client.get("/events", params={"type": "zone.defined"})
    assert events.json()["items"][-1]["correlation_id"] == "from-the-office"


async def test_a_mistake_of_ours_has_its_request_id_too(
    client: httpx.AsyncClient, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    zones = type(served.app.state.tenants["main"].models.zones)
    monkeypatch.setattr(zones, "page", broken)
    answer = await client.get("/zones", headers={"X-Request-Id": "r3"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "r3")
    assert answer.headers["x-request-id"] == "r3"


@pytest.mark.usefixtures("quiet")
async def test_each_request_is_one_json_line_without_what_was_asked(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(LogFormat.JSON)
    await client.get(f"/zones/{ZONE}?at=secret", headers={"X-Request-Id": "r4"})
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert 0 < told.pop("ms") < 5_000
    assert told.pop("at")
    assert told == {
        "level": "INFO",
        "logger": "voltledger.access",
        "message": "GET /v1/zones/{zone_id} 422",
        "request_id": "r4",
        "method": "GET",
        "route": "/v1/zones/{zone_id}",
        "status": 422,
        "actor": "tester",
    }


@pytest.mark.usefixtures("quiet")
async def test_every_line_within_a_request_has_its_id(
    client: httpx.AsyncClient,
    served: Served,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        logging.getLogger("deep").warning("something odd")
        raise RuntimeError("broken")

    zones = type(served.app.state.tenants["main"].models.zones)
    monkeypatch.setattr(zones, "page", broken)
    logs.configure(LogFormat.TEXT)
    await client.get("/zones", headers={"X-Request-Id": "r5"})
    lines = capsys.readouterr().err.splitlines()
    heads = [line for line in lines if line.startswith("20")]
    assert len(heads) == 3
    assert all("request_id=r5" in line for line in heads)
    assert "actor=tester" in heads[-1]


async def test_a_trace_has_request_and_command(served: Served) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tenants = served.app.state.tenants
    gate = PassingKey(KEY, EVERYBODY)
    app = create_app(tenants, gate, provider.get_tracer("tests"))
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test/v1", headers=BEARER
    ) as client:
        sent = {"Idempotency-Key": "z", "X-Request-Id": "r6", "traceparent": caller}
        answer = await client.post("/zones", json=POST_ZONE, headers=sent)
        assert answer.status_code == 200, answer.text
    command, request = kept.get_finished_spans()
    assert command.name == "define_zone"
    assert request.name == "POST /v1/zones"
    assert command.parent is not None
    assert request.context is not None
    assert command.parent.span_id == request.context.span_id
    assert f"{request.context.trace_id:x}" in caller
    assert request.attributes is not None
    assert request.attributes["voltledger.request_id"] == "r6"
    assert request.attributes["http.response.status_code"] == 200


def test_traces_are_off_unless_the_environment_asks() -> None:
    assert traces.tracer_of({}) is None
    assert traces.tracer_of({traces.EXPORTER: "none", traces.ENDPOINT: "x"}) is None
    assert traces.tracer_of({traces.EXPORTER: "console"}) is not None
    with pytest.raises(InvalidValue, match="'zipkin' is not one of"):
        traces.tracer_of({traces.EXPORTER: "zipkin"})


async def test_figures_of_requests_and_state(client: httpx.AsyncClient) -> None:
    for path in ("/zones", "/zones", "/zones/nowhere", "/no/path"):
        await client.get(path)
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    asked = 'voltledger_http_requests_total{method="GET",route='
    assert f'{asked}"/v1/zones",status="200"}} 2.0' in lines
    assert f'{asked}"/v1/zones/{{zone_id}}",status="404"}} 1.0' in lines
    assert f'{asked}"-",status="404"}} 1.0' in lines
    assert 'voltledger_projection_lag{projection="zones"} 0.0' in lines
    assert 'voltledger_projection_lag_seconds{projection="zones"} 0.0' in lines
    assert f'voltledger_zone_plan_age_seconds{{zone="{ZONE}"}} 39540.0' in lines
    assert "voltledger_loop_plan_ms_p50 4.5" in lines
    assert "voltledger_ledger_queue 0.0" in lines
    assert "voltledger_feed_readers 0.0" in lines
    assert any(line.startswith("voltledger_security_notes_total{") for line in lines)
