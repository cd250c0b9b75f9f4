"""The nodes of one parent tell each other their counts, so that whichever is asked for `/metrics` answers for all.

Each listens on a Unix socket in a folder that is the parent's alone, and answers whoever connects with one JSON text.
One that doesn't answer at once is left out.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct
from prometheus_client.metrics_core import Metric

PATIENCE_SECONDS = 1.0
MOST_BYTES = 1024 * 1024
LABEL = "node"


class Sample(Struct):
    """One number of a family."""

    name: str
    labels: dict[str, str]
    value: float


class Family(Struct):
    """A Prometheus metric with its samples, as it travels."""

    name: str
    help: str
    type: str
    samples: list[Sample]


class Told(Struct):
    """What a node tells."""

    node: int
    families: list[Family]


_decode = msgspec.json.Decoder(Told).decode


def told_by(node: int, metrics: Iterable[Metric]) -> Told:
    """What node `node` tells of itself."""
    return Told(
        node,
        [
            Family(each.name, each.documentation, each.type, [Sample(s.name, s.labels, s.value) for s in each.samples])
            for each in metrics
        ],
    )


def merged(all_told: Iterable[Told]) -> list[Metric]:
    """The same families once each, every sample labelled with the node that it is of."""
    families: dict[str, Metric] = {}
    by_node = {told.node: told for told in all_told}  # in a restart there are two with one number
    for _, told in sorted(by_node.items()):
        for each in told.families:
            metric = families.setdefault(each.name, Metric(each.name, each.help, each.type))
            for sample in each.samples:
                metric.add_sample(sample.name, {**sample.labels, LABEL: str(told.node)}, sample.value)
    return list(families.values())


class Siblings:
    """The other nodes, as node `number` finds them in `folder`."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self._folder = folder
        self._mine = folder / f"{number}.{os.getpid()}"
        self._server: asyncio.Server | None = None

    async def open(self, tell: Callable[[], Told]) -> None:
        """From now on the others hear what `tell` says. Raises OSError."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                writer.write(msgspec.json.encode(tell()))
                await writer.drain()
            writer.close()

        self._server = await asyncio.start_unix_server(answer, self._mine)

    def close(self) -> None:
        """The others hear no more."""
        if self._server is not None:
            self._server.close()
            self._mine.unlink(missing_ok=True)

    async def ask(self) -> list[Told]:
        """What the others tell; of two with one number, in a restart, both."""
        others = [path for path in self._folder.iterdir() if path != self._mine]
        told = await asyncio.gather(*(_ask(path) for path in others))
        return [each for each in told if each is not None]


async def _ask(path: Path) -> Told | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                return _decode(await _all_of(reader))
            finally:
                writer.close()
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)  # noqa: ASYNC240  # it was killed
    except (OSError, TimeoutError, msgspec.DecodeError):
        pass
    return None


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while len(data) < MOST_BYTES and (piece := await reader.read(65536)):
        data += piece
    return data
