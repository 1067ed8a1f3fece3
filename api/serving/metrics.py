"""Figures for Prometheus: of a tenant's requests, and how its store's parts stand.

Each tenant has a registry of its own, so that nobody reads how busy another one is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.rest.reading import Context
from api.security.principal import Principal
from domain.errors import DomainError
from domain.model.values import SECOND
from domain.store.committer import Committer

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_METHODS = frozenset(HTTPMethod)
_PAGE = 500

Gauges = Iterator[tuple[str, str, Mapping[str, str], float]]


class _Requests:
    """The requests of one tenant's callers; those of nobody known have no tenant."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._count = Counter(
            "voltledger_http_requests",
            "Requests answered.",
            labels,
            registry=self.registry,
        )
        self._took_s = Histogram(
            "voltledger_http_request_seconds",
            "Time until an answer began.",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        # Looked up once: `labels` costs more than counting does.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count a request."""
        key = (method, route, status)
        if key not in self._known:
            self._known[key] = (
                self._count.labels(method, route, str(status)),
                self._took_s.labels(method, route),
            )
        count, histogram = self._known[key]
        count.inc()
        histogram.observe(took_s)


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        self._requests: dict[str, _Requests] = {}

    def observe(
        self, tenant: str, method: str, route: str, status: int, took_s: float
    ) -> None:
        """Count a request of a tenant's caller; of nobody known with no tenant."""
        found = self._requests.get(tenant)
        if found is None:
            found = self._requests[tenant] = _Requests()
        shown = method if method in _METHODS else "other"
        found.observe(shown, route, status, took_s)

    def text(self, tenant: str, state: Callable[[], Gauges]) -> bytes:
        """Return a tenant's figures as Prometheus reads them."""
        requests = self._requests.get(tenant)
        registry = CollectorRegistry()
        registry.register(_State(state))
        told = b"" if requests is None else generate_latest(requests.registry)
        return told + generate_latest(registry)


class _State(Collector):
    """Asks for the state when it is read, not before."""

    def __init__(self, state: Callable[[], Gauges]) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Name nothing ahead: to register would else ask for the state."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield the state as it is now."""
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for name, text, labels, value in self._state():
            if name not in families:
                counts = name.endswith("_total")
                family = CounterMetricFamily if counts else GaugeMetricFamily
                families[name] = family(f"voltledger_{name}", text, labels=list(labels))
            families[name].add_metric(list(labels.values()), value)
        return families.values()


def state_of(context: Context, caller: Principal, feed_readers: int) -> Gauges:
    """Yield how a store's parts stand: by name, meaning, labels and value.

    Of the zones, those within the caller's reach.
    """
    yield from _ledger(context)
    yield from _zones(context, caller)
    yield "feed_readers", "Readers of the feed.", {}, feed_readers
    if context.security is not None:
        for kind, count in context.security.counts().items():
            text = "What was noted for security since the start."
            yield "security_notes_total", text, {"kind": kind}, count
    for name, value in context.loop_metrics().items():
        yield f"loop_{name}", "Of the zone loops, as `/v1/operation` has it.", {}, value
    for name, value in context.station_metrics().items():
        yield f"stations_{name}", "Of stations' connections, by OCPP.", {}, value


def _ledger(context: Context) -> Gauges:
    log, runner = context.system.log, context.models.runner
    try:
        last = log.last_position()
    except DomainError:
        yield "ledger_readable", "1 when the ledger can be read.", {}, 0
        return
    yield "ledger_readable", "1 when the ledger can be read.", {}, 1
    yield "ledger_last_position", "Where the ledger ends.", {}, last
    if isinstance(log, Committer):
        yield "ledger_queue", "Batches that wait for the disk.", {}, log.queued()
    for health in runner.health():
        label = {"projection": health.name}
        yield "projection_position", "How far it has followed.", label, health.position
        behind = max(last - health.position, 0)
        yield "projection_lag", "Positions it is behind the ledger.", label, behind
        text = "Age of the first row that it has not seen."
        yield "projection_lag_seconds", text, label, _lag_s(context, health.position)
        going = float(health.state == "following")
        yield "projection_following", "1 when it has not stopped.", label, going


def _lag_s(context: Context, position: int) -> float:
    rows = context.system.log.read(after=position, limit=1)
    if not rows:
        return 0.0
    return (context.system.clock.now() - rows[0].recorded_at) / SECOND


def _zones(context: Context, caller: Principal) -> Gauges:
    now, after = context.system.clock.now(), ""
    while zones := context.models.zones.page(after=after, limit=_PAGE):
        after = zones[-1].zone_id
        for zone in zones:
            if zone.last_plan is not None and caller.reaches_zone(zone.zone_id):
                age_s = (now - zone.last_plan.made_at) / SECOND
                label = {"zone": zone.zone_id}
                yield "zone_plan_age_seconds", "Since its last plan.", label, age_s
