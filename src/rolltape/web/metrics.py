"""`/metrics`: counts and gauges in Prometheus's text format. Counting is one addition; the rest waits for a look."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rolltape.web.call import Call, Reply
from rolltape.web.operation import Content, Operation
from rolltape.web.shared import Shared
from rolltape.web.siblings import merged, told_by

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class _Given(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def of_this_node(shared: Shared) -> Iterator[Metric]:
    """What this process has counted, and the process itself."""
    requests = CounterMetricFamily(
        "rolltape_http_requests", "Answers given, by operation and status", labels=["operation", "status"]
    )
    for (operation, status), count in sorted(shared.requests.items()):
        requests.add_metric([operation, str(status)], count)
    yield requests
    frames = CounterMetricFamily("rolltape_channel_frames", "Frames from devices, by type", labels=["type"])
    for kind, count in sorted(shared.channels.frames.items()):
        frames.add_metric([kind], count)
    yield frames
    yield _gauge("channels_open", len(shared.channels))
    yield from ProcessCollector(registry=None).collect()


def _gauge(name: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rolltape_{name}", name.replace("_", " ").capitalize(), value=value)


async def metrics(call: Call[None, None]) -> Reply:
    shared = call.shared
    found = list(of_this_node(shared))
    if shared.siblings is not None:
        own = told_by(shared.siblings.number, found)
        found = merged([*await shared.siblings.ask(), own])
    found += [_gauge(name, value) for name, value in (await call.app.store.gauges(call.now)).items()]
    registry = CollectorRegistry()
    registry.register(_Given(found))
    return Reply(generate_latest(registry), content_type=CONTENT_TYPE)


OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        summary="Counts and gauges for Prometheus, over all projects",
        group="Server",
        answers={200: Content("text/plain", "The text format, version 0.0.4")},
        handler=metrics,
    ),
)
