"""Looks after what went out by way of a broker: offers that nobody took are made again."""

from rolltape.delivery.mqtt.route import MqttRoute
from rolltape.service.context import Services


class MqttSweep:
    """One look over all that is in hand stands for a timer on each."""

    name = "mqtt"
    every_seconds = 1.0

    def __init__(self, route: MqttRoute) -> None:
        self._route = route

    async def run_once(self, app: Services, now: int) -> int:
        """Looks after each; how many devices have something in hand."""
        return self._route.sweep()
