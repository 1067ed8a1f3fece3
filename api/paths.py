"""Where the API stands, and what its routes are called in audit and security log."""

from starlette.types import Scope

PREFIX = "/v1"


def route_name(scope: Scope) -> str:
    """Return method and path of a request's route; nothing where it met none."""
    route = scope.get("route")
    return f"{scope['method']} {route.path.removeprefix(PREFIX)}" if route else ""
