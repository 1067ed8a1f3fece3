"""Traces by OpenTelemetry: on when it is installed and the environment says where to.

Nothing is imported and nothing measured while they are off.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import Scope

from domain.errors import InvalidValue

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINT, EXPORTER = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER"
_EXPORTERS = {
    "otlp": (
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "OTLPSpanExporter",
    ),
    "console": ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
}

_TRACER: ContextVar["Tracer | None"] = ContextVar("tracer", default=None)


def tracer_of(environment: Mapping[str, str]) -> "Tracer | None":
    """Return the tracer that an environment asks for; None when it asks for none.

    Raises
    ------
    InvalidValue
        for an exporter that is not known or not installed.
    """
    name = environment.get(EXPORTER, "otlp" if environment.get(ENDPOINT) else "none")
    if name == "none":
        return None
    if name not in _EXPORTERS:
        raise InvalidValue(f"{EXPORTER} {name!r} is not one of {sorted(_EXPORTERS)}")
    module, exporter = _EXPORTERS[name]
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = BatchSpanProcessor(getattr(import_module(module), exporter)())
    except ImportError as error:
        raise InvalidValue(
            f"{EXPORTER} {name!r} needs voltledger[otel]: {error}"
        ) from None
    # Ends, with what it has not sent yet, when the process does.
    provider = TracerProvider()
    provider.add_span_processor(processor)
    return provider.get_tracer("voltledger")


def of_request(
    tracer: "Tracer | None", scope: Scope
) -> AbstractContextManager["Span | None"]:
    """Return the span of a request, part of its caller's trace if it names one."""
    _TRACER.set(tracer)
    if tracer is None:
        return nullcontext()
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    return tracer.start_as_current_span(
        scope["method"],
        context=extract(Headers(scope=scope)),
        kind=SpanKind.SERVER,
        attributes={"voltledger.request_id": scope["request_id"]},
    )


def finish(span: "Span | None", scope: Scope, route: str, status: int) -> None:
    """Write into a request's span what is known at its end."""
    if span is None:
        return
    span.update_name(f"{scope['method']} {route}")
    span.set_attributes(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": status,
        }
    )
    if status >= 500:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR)


def within(name: str) -> AbstractContextManager["Span | None"]:
    """Return a span of something done within the present request."""
    tracer = _TRACER.get()
    return nullcontext() if tracer is None else tracer.start_as_current_span(name)
