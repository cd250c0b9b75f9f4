"""Random uploads, broken and whole, against a model of what must be there."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rolltape.clock import SystemClock
from rolltape.store.blobs import Held, TooMuch, WrongLength, WrongOffset
from rolltape.store.folder_blobs import FolderBlob, FolderBlobs

MEDIA = "med_0123456789abcdefghijXY"
LENGTH = 40

parts = st.lists(st.binary(max_size=12), max_size=4)
Step = tuple[str, list[bytes], int, bool]
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("append"), parts, st.integers(-2, 2), st.booleans()),
    st.tuples(st.just("put"), parts, st.just(0), st.booleans()),
    st.tuples(st.just("seal"), st.just([]), st.just(0), st.just(False)),
    st.tuples(st.just("clear"), st.just([]), st.just(0), st.just(False)),
    st.tuples(st.just("reopen"), st.just([]), st.just(0), st.just(False)),
)


class LineDropped(Exception):
    pass


class Model:
    """What must be there."""

    def __init__(self) -> None:
        self.data = b""
        self.whole = False

    def append(self, given_parts: list[bytes], offset: int, breaks: bool) -> None:
        if self.whole or offset != len(self.data):
            return
        for part in given_parts:
            if len(self.data) + len(part) > LENGTH:
                return
            self.data += part
        self.whole = not breaks and len(self.data) == LENGTH

    def put(self, given_parts: list[bytes], breaks: bool) -> None:
        data = b"".join(given_parts)
        if data and not breaks:
            self.data, self.whole = data, True

    def seal(self) -> None:
        self.whole = self.whole or bool(self.data)

    def clear(self) -> None:
        self.data, self.whole = b"", False


async def chunks(given_parts: list[bytes], breaks: bool) -> AsyncIterator[bytes]:
    for part in given_parts:
        yield part
    if breaks:
        raise LineDropped


async def do(blob: FolderBlob, model: Model, step: Step) -> None:
    name, given_parts, shift, breaks = step
    if name == "append":
        offset = max(len(model.data) + shift, 0)
        model.append(given_parts, offset, breaks)
        await blob.append(offset, chunks(given_parts, breaks), length=LENGTH)
    elif name == "put":
        model.put(given_parts, breaks)
        await blob.put(chunks(given_parts, breaks), size=None)
    elif name == "seal":
        model.seal()
        await blob.seal()
    elif name == "clear":
        model.clear()
        await blob.clear()


async def play(root: Path, script: list[Step]) -> None:
    def opened() -> FolderBlobs:
        return FolderBlobs(root, max_bytes=1000, reserve_bytes=0, clock=SystemClock(), threads=1)

    store, model = opened(), Model()
    for step in script:
        if step[0] == "reopen":
            await store.close()
            store = opened()
        async with store.hold(MEDIA) as blob:
            with suppress(LineDropped, TooMuch, WrongLength, WrongOffset):
                await do(blob, model, step)
            assert await blob.look() == Held(len(model.data), model.whole)
            assert await blob.sha256() == hashlib.sha256(model.data).hexdigest()
    await store.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=12))
def test_what_is_there_is_what_was_acknowledged(script: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder) / "media", script))
