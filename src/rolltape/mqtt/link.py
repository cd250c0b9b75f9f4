"""One connection to an MQTT broker, on asyncio, by paho-mqtt: connected once, gone for good once it is lost.

paho does the protocol (3.1.1 and 5); its socket is watched by the event loop, so there is no thread beside the one that
opens the connection. A message is acknowledged (PUBACK) when its receiver says so, and not before.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from rolltape.mqtt.address import Address

_Properties: Any = Properties  # it has no types
Hear = Callable[[str, bytes, Callable[[], None]], None]
"""Takes a message: its topic, its payload, and what to call once it has been dealt with."""
TICK_SEC: Final = 1.0
MOST_WAITING: Final = 10_000
"""The most messages that may wait to be sent; more are lost, as they would be on a broken line."""
_NOT_AUTHORIZED: Final = frozenset({"Not authorized", "Bad user name or password", "Banned"})
_OTHER_VERSION: Final = frozenset({"Unsupported protocol version"})


class LinkLost(Exception):
    """No connection came about, or it is gone."""


class LinkRefused(LinkLost):
    """The broker takes these credentials for wrong, or their holder may not do that."""


class OtherVersion(LinkLost):
    """The broker speaks another version of MQTT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one connects. `version`: 4 is MQTT 3.1.1. `session_sec`: how long the broker keeps a session; 0: no longer
    than the line. `at_once`: how many messages may be unacknowledged."""

    client_id: str
    username: str | None
    password: str | None = field(default=None, repr=False)
    version: int = 5
    session_sec: int = 0
    keepalive_sec: int = 30
    at_once: int = 1000
    tls: ssl.SSLContext | None = None


class Link:
    """The connection. All of it belongs to one event loop."""

    def __init__(self, address: Address, manner: Manner, hear: Hear) -> None:
        self._address = address
        self._manner = manner
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting = 0
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[str] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[None]] = {}
        self._sock: Any | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._client = self._paho()

    async def connect(self, timeout: float) -> None:
        """Connects. Raises LinkLost, LinkRefused, OtherVersion."""
        manner, extra = self._manner, self._connect_properties()
        start = partial(self._client.connect, self._address.host, self._address.port, manner.keepalive_sec, **extra)
        try:
            async with asyncio.timeout(timeout):
                await self._loop.run_in_executor(None, start)
                await asyncio.shield(self._connected)
        except TimeoutError:
            self.cut()
            raise LinkLost(f"no answer from {self._address.shown} within {timeout:g} s") from None
        except (OSError, ValueError) as error:
            _close_sockets_of(error)
            self.cut()
            raise LinkLost(f"{type(error).__name__}: {error}") from error
        except BaseException:
            self.cut()
            raise

    async def subscribe(self, filters: list[str], timeout: float, qos: int = 1) -> None:
        """Asks for messages. Raises LinkLost, LinkRefused."""
        _, number = self._client.subscribe([(each, qos) for each in filters])
        await self._answered(number, timeout)

    async def _answered(self, number: int | None, timeout: float) -> None:
        if number is None:
            raise LinkLost("the connection is gone")
        granted = self._granted[number] = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                await granted
        except TimeoutError:
            raise LinkLost("the broker doesn't answer") from None
        finally:
            self._granted.pop(number, None)

    async def unsubscribe(self, filters: list[str], timeout: float) -> None:
        """Asks for no more of them. Raises LinkLost."""
        _, number = self._client.unsubscribe(filters)
        await self._answered(number, timeout)

    def publish(self, topic: str, payload: bytes, qos: int, expiry_sec: int | None = None) -> bool:
        """Sends one message; whether it could be handed to the connection. `expiry_sec`: MQTT 5 alone knows it."""
        if self._gone.done() or self._waiting >= MOST_WAITING:
            return False
        properties: Any = None
        if expiry_sec is not None and self._manner.version == 5:
            properties = _Properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = expiry_sec
        self._waiting += 1
        return self._client.publish(topic, payload, qos, properties=properties).rc == paho.MQTT_ERR_SUCCESS

    async def gone(self) -> str:
        """Comes back, with the reason, once the connection is lost."""
        return await asyncio.shield(self._gone)

    @property
    def is_up(self) -> bool:
        """Whether it is there, as far as is known."""
        return self._connected.done() and not self._gone.done()

    async def close(self) -> None:
        """Says goodbye and ends."""
        if not self._gone.done():
            self._client.disconnect()
            await asyncio.sleep(0)
        self.cut()

    def cut(self) -> None:
        """Ends at once, without a word."""
        client, sock = self._client, self._client.socket()
        if sock is not None:
            self._forget(sock)
            sock.close()
        self._end("it was ended here")
        client.on_socket_close = client.on_socket_unregister_write = None  # it says so to whoever frees it, too

    # What paho says

    def _paho(self) -> paho.Client:
        manner = self._manner
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=manner.client_id,
            protocol=paho.MQTTv5 if manner.version == 5 else paho.MQTTv311,
            clean_session=None if manner.version == 5 else manner.session_sec == 0,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        if manner.username is not None:
            client.username_pw_set(manner.username, manner.password)
        if manner.tls is not None:
            client.tls_set_context(manner.tls)
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = self._by_loop(self._watch)
        client.on_socket_close = self._by_loop(self._forget)
        client.on_socket_register_write = self._by_loop(self._watch_writes)
        client.on_socket_unregister_write = self._by_loop(self._stop_writes)
        return client

    def _by_loop(self, do: Callable[[Any], None]) -> Callable[[Any, Any, Any], None]:
        """At once, but for what the thread says that opens the connection: a socket must be let go before it closes."""

        def call(client: Any, data: Any, sock: Any) -> None:
            if threading.get_ident() == self._thread:
                do(sock)
            else:
                self._loop.call_soon_threadsafe(do, sock)

        return call

    def _connect_properties(self) -> dict[str, Any]:
        if self._manner.version != 5:
            return {}
        properties: Any = _Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._manner.session_sec
        properties.ReceiveMaximum = self._manner.at_once
        return {"properties": properties, "clean_start": self._manner.session_sec == 0}

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._connected.done():
            return
        said = reason.getName() if hasattr(reason, "getName") else str(reason)
        if not reason.is_failure:
            self._connected.set_result(None)
        elif said in _NOT_AUTHORIZED:
            self._connected.set_exception(LinkRefused(said))
        else:
            self._connected.set_exception((OtherVersion if said in _OTHER_VERSION else LinkLost)(said))

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._end(str(reason))

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self._waiting -= 1

    def _on_subscribe(self, client: Any, data: Any, number: int, reasons: Any, properties: Any) -> None:
        granted = self._granted.get(number)
        if granted is None or granted.done():
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            granted.set_exception(LinkRefused(f"a subscription was refused: {refused[0]}"))
        else:
            granted.set_result(None)

    def _on_message(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        done = partial(self._done, message.mid, message.qos)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            done()
            return
        self._hear(topic, bytes(message.payload), done)

    def _done(self, number: int, qos: int) -> None:
        if qos and not self._gone.done():
            self._client.ack(number, qos)

    # The event loop

    def _watch(self, sock: Any) -> None:
        if self._gone.done():
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # an answer to each message, and not 40 ms later
        self._sock = sock
        self._loop.add_reader(sock, self._read)
        self._tick()

    def _read(self) -> None:
        """All that has come. TLS may hold some of it that the socket no longer shows."""
        while not self._gone.done():
            if self._client.loop_read() != paho.MQTT_ERR_SUCCESS:
                return
            sock = self._client.socket()
            if sock is None or not (hasattr(sock, "pending") and sock.pending()):
                return

    def _watch_writes(self, sock: Any) -> None:
        if not self._gone.done() and sock.fileno() >= 0:
            self._loop.add_writer(sock, self._client.loop_write)

    def _stop_writes(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock)

    def _forget(self, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
        if self._sock is sock:
            self._sock = None
            self._end("the connection was closed")

    def _tick(self) -> None:
        """paho's own duties: pings, and noticing that none is answered."""
        if not self._gone.done():
            self._client.loop_misc()
            self._ticking = self._loop.call_later(TICK_SEC, self._tick)

    def _end(self, why: str) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        if not self._connected.done():
            self._connected.set_exception(LinkLost(why))
            self._connected.exception()  # nobody may be waiting any more
        for granted in self._granted.values():
            if not granted.done():
                granted.set_exception(LinkLost(why))
        if not self._gone.done():
            self._gone.set_result(why)


def _close_sockets_of(error: BaseException) -> None:
    """paho forgets a socket whose TLS handshake failed: it is left in the frames that the error went through."""
    trace = error.__traceback__
    while trace is not None:
        for value in trace.tb_frame.f_locals.values():
            if isinstance(value, socket.socket):
                value.close()
        trace = trace.tb_next
