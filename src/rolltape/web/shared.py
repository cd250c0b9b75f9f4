"""What all operations of one server share."""

from collections import Counter
from typing import TYPE_CHECKING

from rolltape.delivery.channels import Channels
from rolltape.delivery.mqtt.route import MqttRoute
from rolltape.web.limits import RateLimiter
from rolltape.web.siblings import Siblings
from rolltape.web.waiting import Holds

if TYPE_CHECKING:
    from rolltape.service.context import Services


RequestCounts = Counter[tuple[str, int]]
"""Answers given, by operation and status."""


class Shared:
    """The services, the rate limits, the held answers, the live channels, the OpenAPI document, whether the server
    wants requests, and, where there are any, the MQTT route and the other nodes of its parent."""

    def __init__(self, app: "Services", *, key_rate: float, device_rate: float) -> None:
        self.app = app
        self.clock = app.clock
        self.key_rate = RateLimiter(key_rate)
        self.device_rate = RateLimiter(device_rate)
        self.poll_rate = RateLimiter(device_rate)
        self.holds = Holds()
        self.channels = Channels(app)
        self.requests: RequestCounts = Counter()
        self.document = b"{}"
        self.ready = True
        self.mqtt: MqttRoute | None = None
        self.siblings: Siblings | None = None
