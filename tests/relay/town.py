"""A server, devices behind it, and a gateway between them: what the tests of the relay share."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.clock import SystemClock
from rolltape.relay.config import RelaySettings
from rolltape.relay.gateway import Gateway
from rolltape.relay.radio import Radio
from rolltape.wire.ids import new_id
from rolltape.wire.keys import Ed25519Signer, verifiers_from_jwks
from tests.api.web_world import WebWorld, open_web
from tests.relay.dictaphone import Dictaphone, public_half

T = TypeVar("T")
PATIENCE = 60.0
"""How long a story may take before it is a fault. Nothing is measured by it."""


def told(story: Coroutine[Any, Any, T]) -> T:
    """Run a story to its end."""

    async def within() -> T:
        async with asyncio.timeout(PATIENCE):
            return await story

    return asyncio.run(within())


class Cable:
    """The way to the server, which a test can cut and mend."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._host, self._port = str(parts.hostname), int(parts.port or 0)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
            ends = {writer, far_writer}
            self._writers |= ends
            try:
                await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            finally:
                self._writers -= ends
                for end in ends:
                    end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@dataclass
class Town:
    """One end user's devices, on a real server."""

    web: WebWorld
    folder: Path
    user: str
    gateways: int = 0

    def dictaphone(self, *, keyed: bool = True, kind: type[Dictaphone] = Dictaphone, **more: Any) -> Any:
        """A new device of the user."""
        key = Ed25519Signer("mine", Ed25519PrivateKey.generate()) if keyed else None
        extra = {} if key is None else {"public_key": public_half(key)}
        device_id = self.web.made("/v1/devices", serial_number=new_id("req", 0), **extra)["id"]
        bound = self.web.made(f"/v1/devices/{device_id}/bind", end_user_id=self.user)
        return kind(
            device_id,
            bound["grant_iss"],
            bound["binding_generation"],
            verifiers_from_jwks(bound["grant_keys"]),
            key,
            **more,
        )

    def command(self, device: Dictaphone, type_: str = "start_recording") -> str:
        return str(self.web.made(f"/v1/devices/{device.device_id}/commands", type=type_)["id"])

    def read(self, device: Dictaphone, command_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.web.call("GET", f"/v1/devices/{device.device_id}/commands/{command_id}").json()
        return found

    def story(self, device: Dictaphone, command_id: str) -> list[str]:
        path = f"/v1/devices/{device.device_id}/commands/{command_id}/events?limit=100"
        return [event["type"].removeprefix("command.") for event in self.web.call("GET", path).json()["data"]]

    def recording(self, recording_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.web.call("GET", f"/v1/recordings/{recording_id}").json()
        return found

    def audio(self, recording_id: str) -> bytes:
        url = self.web.call("GET", f"/v1/recordings/{recording_id}/download-url").json()["download_url"]
        return self.web.http.get(url).content

    def token(self, **body: Any) -> str:
        return str(self.web.made("/v1/relay-tokens", end_user_id=self.user, **body)["relay_token"])

    def settings(self, **chosen: Any) -> RelaySettings:
        if "token_file" not in chosen:
            chosen.setdefault("token", self.token())
        self.gateways += 1
        facts: dict[str, Any] = {
            "server": self.web.base_url,
            "spool_dir": self.folder / f"spool{self.gateways}",
            "visit_sec": 1.0,
            "poll_wait_sec": 5,
            "backoff_first_sec": 0.05,
            "backoff_most_sec": 0.2,
            "http_timeout_sec": 5.0,
        }
        return RelaySettings(**{**facts, **chosen})

    @asynccontextmanager
    async def gateway(self, radio: Radio, **chosen: Any) -> AsyncIterator[Gateway]:
        """A gateway that runs."""
        gateway = Gateway(self.settings(**chosen), SystemClock(), radio, progress=chosen.pop("progress", None))
        stop, up = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(gateway.run(stop, up.set))
        upping = asyncio.create_task(up.wait())
        await asyncio.wait({running, upping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield gateway
        finally:
            stop.set()
            upping.cancel()
            await running

    @asynccontextmanager
    async def cable(self) -> AsyncIterator[Cable]:
        cable = Cable(self.web.base_url)
        await cable.mend()
        try:
            yield cable
        finally:
            await cable.cut()


async def until(holds: Callable[[], object]) -> None:
    """Back once it holds: what the server knows makes no sound here, so it is asked again and again."""
    while not holds():
        await asyncio.sleep(0.02)


@contextmanager
def open_town(folder: Path, **settings: Any) -> Iterator[Town]:
    (folder / "server").mkdir()
    with open_web(folder / "server", **settings) as web:
        yield Town(web, folder, web.made("/v1/end-users", external_id="anna")["id"])
