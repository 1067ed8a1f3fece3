"""Health for anybody, the state of store, projections and loop for operators."""

from collections.abc import Mapping

import msgspec
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from api.paths import PREFIX
from api.rest.presentation import json_response
from api.rest.reading import (
    Caller,
    Context,
    Reading,
    documented,
    needs,
    new_routes,
    operation_id,
)
from api.security.permissions import Permission
from api.serving.metrics import Metrics, state_of
from domain.errors import DomainError

router = new_routes()
# Answered to anybody: whether the service works, and nothing of whom it serves.
open_router = APIRouter(prefix=PREFIX, generate_unique_id_function=operation_id)


class StoreHealth(msgspec.Struct):
    """Whether the log can be read, and where it ends."""

    state: str
    last_position: int | None
    reason: str = ""


class ProjectionHealth(msgspec.Struct):
    """How far a projection is behind the log's end; where and why it stopped."""

    name: str
    state: str
    position: int
    lag: int | None
    stopped_at_position: int | None
    reason: str


class Health(msgspec.Struct):
    """Whether the service works: ``ok`` or ``degraded``."""

    status: str


class OperationView(msgspec.Struct):
    """How the parts of the system are; ``status`` is ``ok`` or ``degraded``."""

    status: str
    store: StoreHealth
    projections: list[ProjectionHealth]
    projections_trouble: str
    loop: dict[str, float]


@open_router.get(
    "/health",
    tags=["operation"],
    responses={**documented(Health), 503: documented(Health)[200]},
)
async def get_health(request: Request) -> Response:
    """Show whether the service works; 503 when it cannot read a store."""
    tenants: Mapping[str, Context] = request.app.state.tenants
    views = [_operation(context) for context in tenants.values()]
    well = all(view.status == "ok" for view in views)
    readable = all(view.store.state == "ok" for view in views)
    health = Health("ok" if well else "degraded")
    return json_response(health, 200 if readable else 503)


@router.get(
    "/operation",
    openapi_extra=needs(Permission.OPERATION_READ),
    tags=["operation"],
    responses=documented(OperationView),
)
async def get_operation(context: Reading) -> Response:
    """Show how store, projections and loop are."""
    return json_response(_operation(context))


def _operation(context: Context) -> OperationView:
    store = _store(context)
    projections = [
        ProjectionHealth(
            name=health.name,
            state=health.state,
            position=health.position,
            lag=_lag(store, health.position),
            stopped_at_position=health.stopped_at_position,
            reason=health.reason,
        )
        for health in context.models.runner.health()
    ]
    trouble = context.models.runner.trouble
    well = store.state == "ok" and not trouble
    loop = dict(context.loop_metrics())
    well &= bool(loop.get("running", 1)) and not loop.get("failed_timers", 0)
    well &= all(projection.state == "following" for projection in projections)
    return OperationView(
        status="ok" if well else "degraded",
        store=store,
        projections=projections,
        projections_trouble=trouble,
        loop=loop,
    )


@router.get(
    "/metrics",
    openapi_extra=needs(Permission.OPERATION_READ),
    tags=["operation"],
    responses={
        200: {
            "description": "Text, as Prometheus reads it.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **{k: v for k, v in documented(Health).items() if k != 200},
    },
)
async def get_metrics(request: Request, context: Reading, caller: Caller) -> Response:
    """Show how much was asked and how it stands: requests, lags, plans, loops."""
    metrics: Metrics = request.app.state.metrics
    tail = request.app.state.tails.get(caller.tenant)
    readers = tail.readers if tail else 0
    text = await run_in_threadpool(
        metrics.text, caller.tenant, lambda: state_of(context, caller, readers)
    )
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _store(context: Context) -> StoreHealth:
    try:
        return StoreHealth("ok", context.system.log.last_position())
    except DomainError as error:
        return StoreHealth("unreadable", None, str(error))


def _lag(store: StoreHealth, position: int) -> int | None:
    return None if store.last_position is None else store.last_position - position
