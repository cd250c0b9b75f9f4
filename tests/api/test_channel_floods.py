"""A device that floods its channel below the frames, or takes nothing of what is said to it."""

import asyncio
import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from rolltape.web.socket import MOST_PIECES
from rolltape.wire.channel import SUBPROTOCOL
from tests.api.channel_world import PATH, Live, sweep
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract

TEXT, CONTINUED, PING, LAST, MASKED = 0x01, 0x00, 0x09, 0x80, 0x80
PINGS = 80_000


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def frame(head: int, data: bytes = b"") -> bytes:
    """A short frame under a mask of zeros."""
    assert len(data) < 126
    return bytes([head, MASKED | len(data)]) + bytes(4) + data


@contextmanager
def raw_line(world: ContractWorld, token: str) -> Iterator[socket.socket]:
    """A channel that has said hello, and reads nothing after the handshake."""
    at = urlsplit(world.web.base_url)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(30)
        line.connect((at.hostname, at.port))
        key = base64.b64encode(bytes(16)).decode()
        line.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: {at.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        assert line.recv(4096).startswith(b"HTTP/1.1 101 ")
        line.sendall(frame(TEXT | LAST, json.dumps({"type": "hello", "v": 1}).encode()))
        yield line


def until(world: ContractWorld, holds: str) -> None:
    """Comes back once that is so in the server."""

    async def look() -> None:
        channels = world.web.web.channels
        while not {
            "one is there": lambda: any(each.greeted for each in channels._all),
            "none is there": lambda: len(channels) == 0,
            "all was read": lambda: channels.frames["ping"] == 1,
        }[holds]():
            await asyncio.sleep(0)

    world.web.run(look())


def test_pongs_do_not_pile_up_for_a_device_that_reads_none(world: ContractWorld, device: BoundDevice) -> None:
    with raw_line(world, device.token) as line:
        until(world, "one is there")
        line.sendall(frame(PING | LAST, bytes(125)) * PINGS)
        line.sendall(frame(TEXT | LAST, b'{"type":"ping"}'))
        until(world, "all was read")

        async def waits_to_be_sent() -> int:
            (channel,) = world.web.web.channels._all
            return channel._line.abort.__self__.get_write_buffer_size()  # type: ignore[attr-defined,no-any-return]

        assert world.web.run(waits_to_be_sent()) < 256 * 1024


def test_a_channel_that_is_closed_while_its_device_reads_nothing_is_cut(
    world: ContractWorld, device: BoundDevice
) -> None:
    with raw_line(world, device.token) as line:
        until(world, "one is there")
        line.sendall(frame(PING | LAST, bytes(125)) * PINGS)
        line.sendall(frame(TEXT | LAST, b'{"type":"pong"}'))
        newer = Live(world, device.token)
        newer.hello()
        newer.close()
        for _ in range(2):
            world.pass_time(30)
            sweep(world)
        until(world, "none is there")


def test_a_message_in_pieces_without_end_is_cut_off(world: ContractWorld, device: BoundDevice) -> None:
    with raw_line(world, device.token) as line:
        until(world, "one is there")
        line.sendall(frame(TEXT, b"{"))
        line.sendall(frame(CONTINUED) * (MOST_PIECES + 1))
        until(world, "none is there")
