"""The HTTP application: commands and reading under /v1.

Every caller is known, by an API key or a token, and may do what its roles may. Unknown
query parameters are refused; times are RFC 3339 in UTC; every error is problem+json.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from api import errors
from api.rest import (
    description,
    events,
    evses,
    health,
    plans,
    sessions,
    site_commands,
    zones,
)
from api.rest.reading import SCHEMAS, Context
from api.security.admission import Admission, Gate

ROUTES = (
    zones,
    site_commands,
    evses,
    sessions,
    plans,
    events,
    health,
    description,
)
_TAGS = [
    {"name": "E1", "description": "Smart charging within the PRE"},
    {"name": "E4", "description": "PRE set by the resource manager"},
]


def create_app(tenants: Mapping[str, Context], gate: Gate) -> FastAPI:
    """Return the application that serves some tenants to whom the gate admits.

    Parameters
    ----------
    tenants
        What each has, by name; a log is read from several threads.
    gate
        Knows who is asking, and for which tenant.
    """
    app = FastAPI(
        title="voltledger",
        version="1",
        description=__doc__ or "",
        openapi_url=None,
        # Their pages load scripts from elsewhere, which a site's network may not reach.
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
        redirect_slashes=False,
    )
    app.state.tenants = tenants
    app.include_router(health.open_router, prefix="/v1")
    for module in ROUTES:
        app.include_router(module.router, prefix="/v1")
    errors.install(app)
    app.add_middleware(Admission, gate=gate)
    app.add_middleware(errors.Answered)
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
