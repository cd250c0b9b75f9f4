"""`/metrics`: counts and gauges in Prometheus's text format. Counting is one addition; the rest waits for a look."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rolltape.delivery.mqtt.route import MqttRoute
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
    yield _counted("channel_frames", "Frames from devices, by type", "type", shared.channels.frames)
    yield _gauge("channels_open", len(shared.channels))
    if shared.mqtt is not None:
        yield from _of_the_broker(shared.mqtt)
    if shared.app.wakeups.bus is not None:
        yield _gauge("wakeups_heard", int(shared.app.wakeups.bus.is_heard))
    yield from ProcessCollector(registry=None).collect()


def _of_the_broker(route: MqttRoute) -> Iterator[Metric]:
    yield _gauge("mqtt_up", int(route.broker.is_up))
    yield _counted("mqtt_messages", "Messages from devices by the broker, by topic", "topic", route.frames)
    yield _counted("mqtt_refused", "Those of them that were refused, by code", "code", route.refused)
    lost = CounterMetricFamily("rolltape_mqtt_lost", "Messages to devices that the broker didn't take")
    lost.add_metric([], route.lost)
    yield lost


def _counted(name: str, what: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"rolltape_{name}", what, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


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
