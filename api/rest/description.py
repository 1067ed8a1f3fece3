"""The OpenAPI document of this API."""

import msgspec
from fastapi import Request, Response

from api.rest.reading import documented, needs, new_routes
from api.security.permissions import Permission

router = new_routes()


@router.get(
    "/openapi.json",
    openapi_extra=needs(Permission.API_READ),
    tags=["operation"],
    responses=documented(dict[str, str]),
)
async def get_openapi(request: Request) -> Response:
    """Describe every operation of this API."""
    document = msgspec.json.encode(request.app.openapi())
    return Response(document, media_type="application/json")
