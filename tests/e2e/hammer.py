"""Clients that call without a pause while servers are restarted under them, and count each call that failed.

A client connects once more where it was refused, and no more than that: whatever was sent must be answered.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PATIENCE = 30
MOST_OPEN = 20


class Lost(Exception):
    """A request that went out had no whole answer."""


class Line:
    """An HTTP/1.1 client with one connection at a time. `keep`: it is used again as long as the server lets it."""

    def __init__(self, url: str, credential: str, *, keep: bool) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 0)
        self._credential = credential
        self._keep = keep
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request, sent once; status and decoded answer. Raises Lost."""
        reader, writer = await self._open()
        data = b"" if body is None else json.dumps(body).encode()
        writer.write(self._head(method, path, len(data)) + data)
        try:
            async with asyncio.timeout(PATIENCE):
                status, headers = await _head_of(reader)
                answer = await reader.readexactly(int(headers.get("content-length", 0)))
        except (OSError, EOFError, TimeoutError) as error:
            await self.close()
            raise Lost(f"{method} {path}: {error!r}") from error
        if not self._keep or headers.get("connection") == "close":
            await self.close()
        return status, json.loads(answer or b"null")

    async def stream(self, path: str, last: str | None) -> AsyncIterator[str]:
        """The lines of a stream until it ends, which it must do by its own last chunk. Raises Lost."""
        reader, writer = await self._open()
        writer.write(self._head("GET", path, 0, "" if last is None else f"last-event-id: {last}\r\n"))
        try:
            status, _ = await _head_of(reader)
            assert status == 200
            while size := int(await reader.readline(), 16):
                for line in (await reader.readexactly(size)).decode().splitlines():
                    yield line
                await reader.readexactly(2)
        except (OSError, EOFError, ValueError) as error:
            raise Lost(f"{path}: {error!r}") from error
        finally:
            await self.close()

    async def close(self) -> None:
        """The next call connects anew."""
        if self._pair is not None:
            self._pair[1].close()
            self._pair = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._pair is not None and self._pair[0].at_eof():
            await self.close()
        if self._pair is None:
            try:
                self._pair = await asyncio.open_connection(self._host, self._port)
            except OSError:
                self._pair = await asyncio.open_connection(self._host, self._port)
        return self._pair

    def _head(self, method: str, path: str, length: int, more: str = "") -> bytes:
        keep = "" if self._keep else "connection: close\r\n"
        return (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {self._credential}\r\n"
            f"content-type: application/json\r\ncontent-length: {length}\r\n{keep}{more}\r\n"
        ).encode()


async def _head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split(" ")[1]), headers


class Hammer:
    """All clients of one test: what they saw, and the calls that failed."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self.failed: list[str] = []
        self.answers: Counter[str] = Counter()
        self.made: dict[str, str] = {}
        self.offered: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.closes: Counter[int] = Counter()
        self.quiet = asyncio.Event()
        """Set once no more is created."""

    async def good(self, line: Line, method: str, path: str, body: Any = None) -> Any:
        """The answer of a call that must be good."""
        status, answer = await line.call(method, path, body)
        if status >= 300:
            raise Lost(f"{method} {path}: {status} {answer}")
        self.answers[f"{method} {path.rsplit('/', maxsplit=1)[-1].split('?', maxsplit=1)[0]}"] += 1
        return answer

    async def bound(self, serial: str) -> tuple[str, str, str]:
        """A new device: its id, its token and its end user."""
        line = Line(self.url, self.key, keep=False)
        device = (await self.good(line, "POST", "/v1/devices", {"serial_number": serial}))["id"]
        user = (await self.good(line, "POST", "/v1/end-users", {"external_id": serial}))["id"]
        bound = await self.good(line, "POST", f"/v1/devices/{device}/bind", {"end_user_id": user})
        return device, bound["device_token"], user

    async def relay_token(self, user: str) -> str:
        """For one end user."""
        line = Line(self.url, self.key, keep=False)
        made = await self.good(line, "POST", "/v1/relay-tokens", {"end_user_id": user})
        return str(made["relay_token"])

    def _open_on(self, device: str) -> int:
        mine = [id_ for id_, owner in self.made.items() if owner == device]
        return sum(id_ not in self.executed for id_ in mine)

    async def _until_quiet(self, once: Callable[[], Awaitable[None]]) -> None:
        while not self.quiet.is_set():
            try:
                await once()
            except (Lost, OSError) as error:
                self.failed.append(repr(error))

    async def create(self, device: str, *, keep: bool, wait: int = 0, pause: float = 0.01) -> None:
        """Makes command after command for the device."""
        line = Line(self.url, self.key, keep=keep)
        path = f"/v1/devices/{device}/commands{f'?wait={wait}' if wait else ''}"

        async def once() -> None:
            if self._open_on(device) >= MOST_OPEN:  # a queue has its limit
                await asyncio.sleep(pause)
                return
            made = await self.good(line, "POST", path, {"type": "trigger_upload"})
            self.made[made["id"]] = device
            await asyncio.sleep(pause)

        await self._until_quiet(once)
        await line.close()

    async def poll(self, token: str, done: asyncio.Event) -> None:
        """A device that polls, acknowledges and reports; until `done`, when all of it must have arrived."""
        line, words = Line(self.url, token, keep=False), Line(self.url, token, keep=True)
        while not done.is_set():
            try:
                found = await self.good(line, "GET", "/v1/devices/me/commands/pending?wait=2")
                for offer in found["commands"]:
                    self.offered[offer["id"]] += 1
                    path = f"/v1/devices/me/commands/{offer['id']}"
                    await self.good(words, "POST", f"{path}/ack")
                    await self.good(words, "POST", f"{path}/report", {"status": "executed", "result": {}})
                    self.executed[offer["id"]] += 1
            except (Lost, OSError) as error:
                self.failed.append(repr(error))
        await words.close()

    async def live(self, token: str, done: asyncio.Event) -> None:
        """A device on a channel, which comes back at once when that is closed for a restart."""
        url = self.url.replace("http", "ws") + "/v1/devices/me/channel"
        held: set[str] = set()
        while not done.is_set():
            try:
                async with connect(
                    url,
                    subprotocols=["rolltape.channel.v1"],  # type: ignore[list-item]
                    additional_headers={"Authorization": f"Bearer {token}"},
                ) as socket:
                    await socket.send(json.dumps({"type": "hello", "v": 1, "have": sorted(held)}))
                    for id_ in sorted(held):
                        await socket.send(json.dumps({"type": "ack", "id": id_}))
                    await self._listen(socket, held, done)
            except ConnectionClosed as error:
                self.closes[error.rcvd.code if error.rcvd else 0] += 1
            except InvalidStatus as error:
                # One that asks a node which has just begun to end is told to come back, and does.
                if error.response.status_code != 503:
                    self.failed.append(repr(error))
            except (OSError, EOFError) as error:
                self.failed.append(repr(error))

    async def _listen(self, socket: Any, held: set[str], done: asyncio.Event) -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                frame = json.loads(await asyncio.wait_for(socket.recv(), 0.2))
                match frame["type"]:
                    case "offer":
                        held.add(frame["command"]["id"])
                        self.offered[frame["command"]["id"]] += 1
                        await socket.send(json.dumps({"type": "ack", "id": frame["command"]["id"]}))
                    case "go":
                        report = {"type": "report", "id": frame["id"], "status": "executed", "result": {}}
                        await socket.send(json.dumps(report))
                    case "no_go" if frame["status"] == "executed":  # the answer to its report was cut off
                        held.discard(frame["id"])
                        self.executed[frame["id"]] += 1
                    case "report" if frame["ok"]:
                        held.discard(frame["id"])
                        self.executed[frame["id"]] += 1

    async def carry(self, token: str, done: asyncio.Event) -> None:
        """A relay on a stream, which goes on where it was."""
        last: str | None = None
        words = Line(self.url, token, keep=False)
        while not done.is_set():
            try:
                async for text in Line(self.url, token, keep=True).stream("/v1/relay/stream", last):
                    if text.startswith("id: "):
                        last = text[4:]
                    elif text.startswith("data: ") and "grant_cwt" in text:
                        offer = json.loads(text[6:])
                        self.offered[offer["id"]] += 1
                        path = f"/v1/relay/devices/{offer['device_id']}/commands/{offer['id']}/report"
                        await self.good(words, "POST", path, {"status": "executed", "result": {}})
                        self.executed[offer["id"]] += 1
                    if done.is_set():
                        break
            except (Lost, OSError) as error:
                if not done.is_set():
                    self.failed.append(repr(error))
