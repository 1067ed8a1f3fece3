"""The HTTP application: the reading API under /v1.

It has no roles yet and must only be bound to loopback. Unknown query parameters are
refused; times are RFC 3339 in UTC; every error is problem+json.
"""

from typing import Any

from fastapi import FastAPI

from api import errors
from api.rest import events, evses, health, plans, sessions, zones
from api.rest.reading import SCHEMAS, Context, LoopMetrics
from domain.ports import System
from projections.read_models import ReadModels

_TAGS = [
    {"name": "E1", "description": "Smart charging within the PRE"},
    {"name": "E4", "description": "PRE set by the resource manager"},
]


def create_app(
    system: System,
    projections: ReadModels,
    loop_metrics: LoopMetrics,
    *,
    heartbeat_s: float = 15.0,
    stall_s: float = 10.0,
) -> FastAPI:
    """Return the application that reads from a system and its projections.

    Parameters
    ----------
    system
        Its log is read from several threads.
    heartbeat_s
        After so many silent seconds the feed says that it is still there.
    stall_s
        A reader of the feed that takes nothing for so long is cut.
    """
    app = FastAPI(
        title="voltledger",
        version="1",
        description=__doc__ or "",
        openapi_url="/v1/openapi.json",
        # Their pages load scripts from elsewhere, which a site's network may not reach.
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
        redirect_slashes=False,
    )
    app.state.context = Context(system, projections, loop_metrics, heartbeat_s, stall_s)
    for module in (zones, evses, sessions, plans, events, health):
        app.include_router(module.router, prefix="/v1")
    errors.install(app)
    _complete_openapi(app)
    return app


def _complete_openapi(app: FastAPI) -> None:
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(SCHEMAS.components)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
