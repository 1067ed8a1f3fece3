"""The HTTP application: commands and reading under /v1.

Every caller is known, by an API key or a token, and may do what its roles may. Unknown
query parameters are refused; times are RFC 3339 in UTC; every error is problem+json.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from api import errors, openapi
from api.errors import Code, Problem
from api.rest import (
    contracts,
    description,
    envelope_commands,
    events,
    evse_commands,
    evses,
    exports,
    health,
    incentive_commands,
    keys,
    plans,
    readings,
    reservation_commands,
    sdr,
    security,
    session_commands,
    sessions,
    site_commands,
    station_activities,
    station_commands,
    station_upkeep,
    stations,
    transaction_commands,
    zones,
)
from api.rest.reading import Context
from api.security.admission import Admission, Gate
from api.serving.bodies import Bodies
from api.serving.metrics import Metrics
from api.serving.observed import Observed
from api.serving.views import ETags, Heads, Zipped

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

ROUTES = (
    zones,
    site_commands,
    envelope_commands,
    incentive_commands,
    evses,
    evse_commands,
    stations,
    station_commands,
    station_upkeep,
    station_activities,
    sessions,
    session_commands,
    reservation_commands,
    transaction_commands,
    sdr,
    contracts,
    plans,
    readings,
    events,
    exports,
    keys,
    security,
    health,
    description,
)


def create_app(
    tenants: Mapping[str, Context], gate: Gate, tracer: "Tracer | None" = None
) -> FastAPI:
    """Return the application that serves some tenants to whom the gate admits.

    Parameters
    ----------
    tenants
        What each has, by name; a log is read from several threads.
    gate
        Knows who is asking, and for which tenant.
    tracer
        Traces requests when it is given.
    """
    app = FastAPI(
        title="voltledger",
        version="1",
        description=__doc__ or "",
        openapi_url=None,
        # Their pages load scripts from elsewhere, which a site's network may not reach.
        docs_url=None,
        redoc_url=None,
        openapi_tags=[
            {"name": name, "description": text} for name, text in openapi.TAGS.items()
        ],
        redirect_slashes=False,
    )
    app.state.tenants = tenants
    app.router.routes += health.open_router.routes
    for module in ROUTES:
        app.router.routes += module.router.routes
    errors.install(app)
    app.add_exception_handler(405, _not_allowed)
    app.state.metrics = Metrics()
    app.state.tails = {}
    # From the innermost to the outermost.
    app.add_middleware(Bodies)
    app.add_middleware(Admission, gate=gate)
    app.add_middleware(ETags)
    # Secrets are in headers and no answer mixes one with what a stranger chose: the
    # length of an answer tells an eavesdropper nothing of them (BREACH).
    app.add_middleware(Zipped, minimum_size=1_000, compresslevel=1)
    app.add_middleware(errors.Answered)
    app.add_middleware(Observed, metrics=app.state.metrics, tracer=tracer)
    app.add_middleware(Heads)
    openapi.complete(app)
    return app


async def _not_allowed(request: Request, error: Exception) -> Response:
    path = request.url.path
    problem = Problem(
        405,
        Code.METHOD_NOT_ALLOWED,
        f"{request.method} of {path!r}",
        headers={"Allow": ", ".join(_methods_of(path))},
    )
    return errors.respond(request, problem)


def _methods_of(path: str) -> list[str]:
    """Return the methods of a path, which routes of several modules may share."""
    found: set[str] = set()
    for module in ROUTES:
        for route in module.router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(path):
                found |= route.methods or set()
    return sorted(found | {"HEAD"} if "GET" in found else found)
