"""The settings of the HTTP server itself."""

from typing import Any

from starlette.types import ASGIApp

from api.serving.connections import PatientProtocol, Settings

# What is being answered may end; a feed would go on for ever.
_GRACE_S = 2
# Of the store, its readers and projections.
_OWN_FILES = 256
_MOST_FILES = 16_384


def uvicorn_config(app: ASGIApp, **settings: Any) -> Settings:
    """Return the settings of a server of an application; some may be given.

    The process's limit of open files is raised as far as it may be: each connection is
    one, and there must be some left for the store.
    """
    ours: dict[str, Any] = {
        "http": PatientProtocol,
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # uvicorn would believe anybody on this machine where it comes from.
        "proxy_headers": False,
        "timeout_graceful_shutdown": _GRACE_S,
    }
    config = Settings(app, **{**ours, **settings})
    config.most_connections = most_connections()
    return config


def most_connections() -> int:
    """Return how many connections the process's limit of open files allows."""
    try:
        import resource
    except ImportError:  # no such limits on Windows
        return Settings.most_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted - _OWN_FILES, 16)
