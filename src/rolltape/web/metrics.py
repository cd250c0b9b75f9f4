"""`/metrics`: counts and gauges in Prometheus's text format. Counting is one addition; the rest waits for a look."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rolltape.web.call import Call, Reply
from rolltape.web.operation import Content, Operation
from rolltape.web.shared import RequestCounts

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class _Seen(Collector):
    """What was counted, and what the store says, at one moment."""

    def __init__(self, requests: RequestCounts, frames: Mapping[str, int], gauges: dict[str, int]) -> None:
        self._requests = requests
        self._frames = frames
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "rolltape_http_requests", "Answers given, by operation and status", labels=["operation", "status"]
        )
        for (operation, status), count in sorted(self._requests.items()):
            requests.add_metric([operation, str(status)], count)
        yield requests
        frames = CounterMetricFamily("rolltape_channel_frames", "Frames from devices, by type", labels=["type"])
        for kind, count in sorted(self._frames.items()):
            frames.add_metric([kind], count)
        yield frames
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"rolltape_{name}", name.replace("_", " ").capitalize(), value=value)


async def metrics(call: Call[None, None]) -> Reply:
    channels = call.shared.channels
    gauges = {**await call.app.store.gauges(call.now), "channels_open": len(channels)}
    registry = CollectorRegistry()
    registry.register(_Seen(call.shared.requests, channels.frames, gauges))
    ProcessCollector(registry=registry)
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
