"""Health of store, projections and loop, and the loop's metrics."""

import msgspec
from fastapi import APIRouter, Response

from api.rest.presentation import json_response
from api.rest.reading import Context, Reading, StrictRoute, documented
from domain.errors import DomainError

router = APIRouter(route_class=StrictRoute)


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


class HealthView(msgspec.Struct):
    """How the parts of the system are; ``status`` is ``ok`` or ``degraded``."""

    status: str
    store: StoreHealth
    projections: list[ProjectionHealth]
    projections_trouble: str
    loop: dict[str, float]


@router.get("/health", tags=["operation"], responses=documented(HealthView))
async def get_health(context: Reading) -> Response:
    """Show how store, projections and loop are; 503 when the store cannot be read."""
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
    well &= bool(loop.get("running", 1))
    well &= all(projection.state == "following" for projection in projections)
    view = HealthView(
        status="ok" if well else "degraded",
        store=store,
        projections=projections,
        projections_trouble=trouble,
        loop=loop,
    )
    return json_response(view, 200 if store.state == "ok" else 503)


@router.get("/metrics/loop", tags=["operation"], responses=documented(dict[str, float]))
async def get_loop_metrics(context: Reading) -> Response:
    """Show the metrics of the loop."""
    return json_response(dict(context.loop_metrics()))


def _store(context: Context) -> StoreHealth:
    try:
        return StoreHealth("ok", context.system.log.last_position())
    except DomainError as error:
        return StoreHealth("unreadable", None, str(error))


def _lag(store: StoreHealth, position: int) -> int | None:
    return None if store.last_position is None else store.last_position - position
