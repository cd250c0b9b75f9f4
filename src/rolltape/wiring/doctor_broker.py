"""What `rolltape doctor` says of the MQTT broker: whether it is there, and lets this server do what it must."""

import asyncio
from collections.abc import Callable, Iterator

from rolltape.config import Settings
from rolltape.mqtt.address import Address, parse, tls_of
from rolltape.wiring.broker import missing
from rolltape.wiring.findings import Finding

PATIENCE_SEC = 3.0


def broker_findings(settings: Settings) -> Iterator[Finding]:
    """None where there is no broker."""
    if settings.mqtt is None:
        return
    try:
        address = parse(settings.mqtt)
    except ValueError as error:
        yield Finding("error", f"MQTT: ROLLTAPE_MQTT can't be used: {error}.", "Correct it.")
        return
    if not address.is_trusted:
        yield Finding(
            "warning",
            f"MQTT: {address.shown} is spoken with without TLS: the server's password travels in the clear.",
            "Give the broker a certificate, and write mqtts:// (NATS: tls://).",
        )
    yield _look(settings, address)


def _look(settings: Settings, address: Address) -> Finding:
    try:
        asyncio.run(_nats(settings, address) if address.is_nats else _mqtt(settings, address))
    except ModuleNotFoundError as error:
        return Finding("error", f"MQTT: {missing(error)}.", "Install it beside the server.")
    except (OSError, TimeoutError, ValueError) as error:
        return Finding(
            "error",
            f"MQTT: {address.shown} can't be used: {error}.",
            "Check address, certificate, user and what that user may do: docs/mqtt.md.",
        )
    return Finding("ok", f"MQTT: {address.shown} is there, and lets this server hear its devices.")


async def _mqtt(settings: Settings, address: Address) -> None:
    """Raises OSError, saying why not."""
    from rolltape.delivery.mqtt.dynsec import ANSWERS, CONTROL
    from rolltape.delivery.mqtt.over_mqtt import FILTERS
    from rolltape.mqtt.link import Link, LinkLost, Manner

    answered = asyncio.Event()

    def heard(name: str, payload: bytes, done: Callable[[], None]) -> None:
        if name == ANSWERS and b'"error"' not in payload:
            answered.set()

    manner = Manner(
        client_id="rolltape-doctor",
        username=address.username,
        password=address.password,
        tls=tls_of(address, settings.mqtt_ca_file),
    )
    link = Link(address, manner, heard)
    try:
        await link.connect(PATIENCE_SEC)
        if settings.mqtt_dynsec:
            await link.subscribe([ANSWERS], PATIENCE_SEC)
            link.publish(CONTROL, b'{"commands":[{"command":"listClients","count":1}]}', 1)
            await _within(answered, "its dynamic-security plugin doesn't let this user administer it")
        # Not the nodes' group: that would take messages from them.
        await link.subscribe(
            [each.replace("$share/rolltape/", "$share/rolltape-doctor/") for each in FILTERS], PATIENCE_SEC
        )
    except LinkLost as error:
        raise OSError(str(error)) from None
    finally:
        await link.close()


async def _within(event: asyncio.Event, otherwise: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SEC):
            await event.wait()
    except TimeoutError:
        raise OSError(otherwise) from None


async def _nats(settings: Settings, address: Address) -> None:
    """Raises OSError, TimeoutError."""
    from nats.errors import Error

    from rolltape.delivery.mqtt.over_nats import open_nats

    try:
        async with asyncio.timeout(PATIENCE_SEC):
            tls = tls_of(address, settings.mqtt_ca_file)
            client = await open_nats(address, tls, settings.mqtt_credentials, asyncio.Event())
            await client.close()
    except Error as error:
        raise OSError(str(error) or type(error).__name__) from None
