"""A relay's stream as a test reads it: Server-Sent Events (WHATWG HTML, section 9.2), block by block."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.api.relay_world import Relayed

Block = dict[str, str]


@dataclass(frozen=True)
class Event:
    """One event. `id` is None where it had none."""

    name: str
    data: dict[str, Any]
    id: str | None

    @property
    def about(self) -> str:
        """The id of the command."""
        found: str = self.data["id"]
        return found


class Stream:
    """What comes on an open stream."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self._blocks = blocks(answer)

    def batch(self) -> list[Event]:
        """The events up to the next comment: at first, all that waits."""
        found: list[Event] = []
        for block in self._blocks:
            if block == {"": ""}:
                return found
            if "event" in block:
                found.append(_event(block))
        raise AssertionError("the stream ended before it had told what waits")

    def event(self) -> Event:
        """The next event; comments are passed over."""
        return _event(next(block for block in self._blocks if "event" in block))

    def rest(self) -> list[Block]:
        """What still comes until the stream ends."""
        return list(self._blocks)


def _event(block: Block) -> Event:
    return Event(block["event"], json.loads(block["data"]), block.get("id"))


def blocks(answer: httpx2.Response) -> Iterator[Block]:
    """The fields of each block, a comment under the name ""."""
    block: Block = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(":")
            assert name not in block
            block[name] = value.removeprefix(" ")
        elif block:
            yield block
            block = {}


@contextmanager
def open_stream(of: Relayed, last_event_id: str | None = None) -> Iterator[Stream]:
    """A stream that is open; its beginning is held against the document."""
    web = of.world.web
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    headers["Authorization"] = f"Bearer {of.token}"
    with web.http.stream("GET", web.base_url + "/v1/relay/stream", headers=headers) as answer:
        web.document.check("GET", "/v1/relay/stream", answer.status_code, dict(answer.headers), b"")
        assert answer.status_code == 200
        yield Stream(answer)
