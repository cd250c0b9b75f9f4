"""The MQTT route, as set: which protocol is spoken with the broker, and who tells it of devices' tokens."""

import asyncio
import secrets
from collections.abc import Callable

from rolltape.config import Settings
from rolltape.delivery.mqtt.broker import Broker
from rolltape.delivery.mqtt.route import MqttRoute
from rolltape.mqtt.address import INSTALL, Address, parse, tls_of
from rolltape.mqtt.nats_login import read_login
from rolltape.running import end_all, keep_up
from rolltape.service.context import Services


class BrokerSide:
    """The route with all that keeps it going. Its tasks run from `start` to `stop`."""

    def __init__(self, app: Services, over_rate: Callable[[str], float]) -> None:
        """Raises ValueError, naming what is to be installed; OSError for a file that can't be used."""
        assert app.config.mqtt is not None
        self._app = app
        self.address = parse(app.config.mqtt)
        self.route = MqttRoute(app, over_rate)
        self.route.broker = make_broker(app.config, self.address, self.route)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins. Comes back at once: a server doesn't wait for a broker."""
        duties = {"the MQTT route": self.route.run}
        if self._app.config.mqtt_dynsec:
            from rolltape.delivery.mqtt.dynsec import Dynsec

            tls = tls_of(self.address, self._app.config.mqtt_ca_file)
            keeper = Dynsec(self.address, tls, self._app.store, secrets.SystemRandom())
            self._app.doors.keepers.append(keeper)
            duties["the telling of tokens"] = keeper.run
        clock, log = self._app.clock, self.route.log.error
        self._tasks = [asyncio.create_task(keep_up(name, duty, clock, log)) for name, duty in duties.items()]

    async def stop(self, seconds: float) -> None:
        """Finishes what came, and ends."""
        if self._tasks:
            await self.route.drain(seconds)
        await end_all(self._tasks)


def make_broker(settings: Settings, address: Address, route: MqttRoute) -> Broker:
    """The connection, which isn't opened yet. Raises ValueError, OSError."""
    tls, random = tls_of(address, settings.mqtt_ca_file), secrets.SystemRandom()
    try:
        if address.is_nats:
            from rolltape.delivery.mqtt.over_nats import NatsBroker

            if settings.mqtt_credentials is not None:
                read_login(settings.mqtt_credentials)  # at once, and not only when it connects
            return NatsBroker(address, tls, settings.mqtt_credentials, route.hear, random)
        from rolltape.delivery.mqtt.over_mqtt import MqttBroker

        return MqttBroker(address, tls, route.hear, random)
    except ModuleNotFoundError as error:
        raise ValueError(missing(error)) from None


def missing(error: ModuleNotFoundError) -> str:
    """What to install. Raises the error where it is another module that isn't there."""
    if (error.name or "").split(".")[0] not in ("paho", "nats"):
        raise error
    return f"ROLLTAPE_MQTT needs the package {'paho-mqtt' if error.name != 'nats' else 'nats-py'}: {INSTALL}"
