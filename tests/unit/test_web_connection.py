"""Each answer is one write to its socket, and nothing of an answer is kept back for longer than a turn of the loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from rolltape.web.connection import Connection, State

App = Callable[[Any, Any, Any], Awaitable[None]]
PATIENCE = 20
REQUEST = b"POST /%d HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n%s\r\n"


class _Counting:
    """A transport that keeps what is written to it, write by write."""

    def __init__(self, transport: Any, writes: list[bytes]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@asynccontextmanager
async def _serving(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, list[bytes]]]:
    writes: list[bytes] = []
    config = uvicorn.Config(app, http=Connection, lifespan="off", access_log=False, log_config=None)
    config.load()

    class Counted(Connection):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(_Counting(transport, writes))  # type: ignore[arg-type]

    def connection() -> Counted:
        return Counted(config=config, server_state=State(), app_state={})

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer, writes
    finally:
        writer.close()
        server.close()
        await server.wait_closed()


async def _start(send: Any, length: int | None) -> None:
    headers = [] if length is None else [(b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _body(send: Any, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = scope["path"].encode() + (await receive())["body"]
    await _start(send, len(body))
    await _body(send, body)


def test_an_answer_is_one_write() -> None:
    async def story() -> None:
        async with _serving(_echo) as (reader, writer, writes):
            for number in range(3):
                writer.write(REQUEST % (number, b"") + b"hi")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n")
                assert await reader.readexactly(4) == b"/%dhi" % number
            assert len(writes) == 3

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_pipelined_answers_come_whole_and_in_order() -> None:
    async def story() -> None:
        async with _serving(_echo) as (reader, writer, writes):
            writer.write(b"".join(REQUEST % (number, b"") + b"hi" for number in range(5)))
            for number in range(5):
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(4) == b"/%dhi" % number
            assert len(writes) == 5

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_the_head_of_a_stream_does_not_wait_for_its_first_piece() -> None:
    async def story() -> None:
        heard = asyncio.Event()

        async def stream(scope: Any, receive: Any, send: Any) -> None:
            await _start(send, None)
            await heard.wait()
            await _body(send, b"piece", more=True)
            await _body(send, b"")

        async with _serving(stream) as (reader, writer, _):
            writer.write(REQUEST % (1, b"") + b"hi")
            assert b"transfer-encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
            heard.set()
            assert await reader.readuntil(b"0\r\n\r\n") == b"5\r\npiece\r\n0\r\n\r\n"

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_a_client_that_waits_for_100_hears_it() -> None:
    async def story() -> None:
        async with _serving(_echo) as (reader, writer, _):
            writer.write(REQUEST % (1, b"expect: 100-continue\r\n"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"hi")
            assert (await reader.readuntil(b"/1hi")).startswith(b"HTTP/1.1 200 OK\r\n")

    asyncio.run(asyncio.wait_for(story(), PATIENCE))


def test_what_was_begun_goes_out_before_the_connection_closes() -> None:
    async def story() -> None:
        async def breaks_off(scope: Any, receive: Any, send: Any) -> None:
            await _start(send, 10)

        async with _serving(breaks_off) as (reader, writer, _):
            writer.write(REQUEST % (1, b"") + b"hi")
            assert (await reader.read()).endswith(b"content-length: 10\r\n\r\n")

    asyncio.run(asyncio.wait_for(story(), PATIENCE))
