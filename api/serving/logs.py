"""The server's log on stderr: a line of text or of JSON each, with its request's id."""

import enum
import logging
import sys
from contextvars import ContextVar

from pythonjsonlogger.json import JsonFormatter

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
ACCESS = logging.getLogger("voltledger.access")
# What of a record follows its message, where it has it.
_TOLD = ("ms", "actor", "request_id")


class LogFormat(enum.StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


def configure(log_format: LogFormat) -> None:
    """Let this process log to stderr: warnings, and one line a request."""
    root = logging.getLogger()
    root.handlers[:] = [_handler(log_format)]
    root.setLevel(logging.WARNING)
    ACCESS.setLevel(logging.INFO)


def access(
    *, method: str, route: str, status: int, ms: float, actor: str, request_id: str
) -> None:
    """Log one request: never a query, a body or an address."""
    ACCESS.info(
        "%s %s %d",
        method,
        route,
        status,
        extra={
            "method": method,
            "route": route,
            "status": status,
            "ms": round(ms, 2),
            "actor": actor,
            "request_id": request_id,
        },
    )


def _with_request_id(record: logging.LogRecord) -> bool:
    if not hasattr(record, "request_id"):
        record.request_id = REQUEST_ID.get()
    return True


def _with_told(record: logging.LogRecord) -> bool:
    told = ((name, getattr(record, name, "")) for name in _TOLD)
    record.told = "".join(f" {name}={value}" for name, value in told if value)
    return True


def _handler(log_format: LogFormat) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_with_request_id)
    if log_format is LogFormat.TEXT:
        handler.addFilter(_with_told)
        line = "%(asctime)s %(levelname)s %(name)s: %(message)s%(told)s"
        handler.setFormatter(logging.Formatter(line))
    else:
        names = {"asctime": "at", "levelname": "level", "name": "logger"}
        line = "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s"
        handler.setFormatter(JsonFormatter(line, rename_fields=names))
    return handler
