"""What every blob store promises, whichever way the bytes come. See BlobStore and Blob."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from rolltape.clock import machine_ms
from rolltape.store.blobs import Absent, Blob, BlobStore, Busy, Held

MEDIA = "med_0123456789abcdefghijXY"
OTHER = "med_0123456789abcdefghijXZ"
DAY_MS = 86_400_000
BAD_NAMES = ("../med_x", "med_../../etc/passwd", "med_", "med_a/b", "med_a\0b", "rec_abc", "", "med_é")


class Crash(Exception):
    """What ends a holder before its time."""


def hash_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


async def chunks(*parts: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    """The parts, and then an end or an exception."""
    for part in parts:
        yield part
    if then is not None:
        raise then


async def bring(store: BlobStore, data: bytes, media_id: str = MEDIA) -> None:
    """Has `data` come, by the store's own way in."""
    if store.passage is not None:
        async with store.passage.hold(media_id) as blob:
            await blob.put(chunks(data), size=None)
    else:
        assert store.links is not None
        link = await store.links.upload_link(media_id, "audio/ogg", "rec_1.ogg", seconds=60)
        async with httpx2.AsyncClient() as client:
            answer = await client.put(link.url, content=data, headers=link.headers)
        assert answer.status_code in (200, 201), answer.text


async def fetch(store: BlobStore, data: bytes, media_id: str = MEDIA) -> bytes | None:
    """The whole blob that should be `data`, by the store's own way out; None where there is none."""
    if store.passage is not None:
        try:
            return b"".join([piece async for piece in store.passage.read(media_id, 0, len(data))])
        except Absent:
            return None
    assert store.links is not None
    async with httpx2.AsyncClient() as client:
        answer = await client.get(await store.links.download_link(media_id, hash_of(data), seconds=60))
    return answer.content if answer.status_code == 200 else None


class AnyStore:
    """The base of both suites."""

    def make_store(self, folder: Path, *, max_bytes: int = 10**9) -> BlobStore:
        """A store on `folder`, opened on a running loop; the same folder again has the same blobs."""
        raise NotImplementedError

    def on_store(self, folder: Path, step: Callable[[BlobStore], Awaitable[None]]) -> None:
        """Runs the step on a store of its own, and closes that."""

        async def run() -> None:
            store = self.make_store(folder)
            try:
                await step(store)
            finally:
                await store.close()

        asyncio.run(run())

    def on_held(self, folder: Path, step: Callable[[Blob, BlobStore], Awaitable[None]]) -> None:
        """Runs the step on a blob in hand."""

        async def run(store: BlobStore) -> None:
            async with store.hold(MEDIA) as blob:
                await step(blob, store)

        self.on_store(folder, run)

    def test_there_is_exactly_one_way_in(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            assert (store.passage is None) != (store.links is None)
            assert store.max_bytes == 10**9

        self.on_store(tmp_path, step)

    def test_a_blob_that_nobody_has_sent_has_no_bytes(self, tmp_path: Path) -> None:
        async def step(blob: Blob, store: BlobStore) -> None:
            assert await blob.look() == await blob.pin() == await blob.seal() == Held(0, False)
            assert await blob.sha256() == hash_of(b"")
            await blob.clear()
            assert await blob.look() == Held(0, False)
            assert await fetch(store, b"x") is None

        self.on_held(tmp_path, step)

    def test_what_came_is_hashed_sealed_and_given_back(self, tmp_path: Path) -> None:
        data = os.urandom(700_001)

        async def step(store: BlobStore) -> None:
            await bring(store, data)
            async with store.hold(MEDIA) as blob:
                assert (await blob.look()).size == (await blob.pin()).size == len(data)
                assert await blob.sha256() == hash_of(data)
                assert await blob.seal() == Held(len(data), True)
                assert await blob.seal() == Held(len(data), True)
            assert await fetch(store, data) == data
            assert await fetch(store, b"x", OTHER) is None

        self.on_store(tmp_path, step)

    def test_a_large_blob_is_hashed_in_full(self, tmp_path: Path) -> None:
        data = os.urandom(9 * 1024 * 1024 + 1)

        async def step(store: BlobStore) -> None:
            await bring(store, data)
            async with store.hold(MEDIA) as blob:
                assert await blob.sha256() == hash_of(data)

        self.on_store(tmp_path, step)

    def test_a_hash_before_the_seal_changes_nothing(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, b"noise")
            async with store.hold(MEDIA) as blob:
                assert await blob.sha256() == hash_of(b"noise")
            await bring(store, b"sound")
            async with store.hold(MEDIA) as blob:
                assert await blob.sha256() == hash_of(b"sound")
                await blob.seal()
            assert await fetch(store, b"sound") == b"sound"

        self.on_store(tmp_path, step)

    def test_a_check_that_fails_keeps_what_came(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, b"sound")
            with suppress(Crash):
                async with store.hold(MEDIA) as blob:
                    await blob.pin()
                    await blob.seal()
                    raise Crash
            async with store.hold(MEDIA) as blob:
                assert (await blob.pin()).size == 5
                assert await blob.sha256() == hash_of(b"sound")

        self.on_store(tmp_path, step)

    def test_what_is_whole_is_there_when_the_store_is_opened_again(self, tmp_path: Path) -> None:
        async def first(store: BlobStore) -> None:
            await bring(store, b"sound")
            async with store.hold(MEDIA) as blob:
                await blob.seal()

        async def second(store: BlobStore) -> None:
            assert await fetch(store, b"sound") == b"sound"

        self.on_store(tmp_path, first)
        self.on_store(tmp_path, second)

    def test_clearing_removes_all(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, b"sound")
            async with store.hold(MEDIA) as blob:
                await blob.seal()
            await bring(store, b"other", OTHER)
            async with store.hold(MEDIA) as blob:
                await blob.clear()
                assert await blob.look() == Held(0, False)
                await blob.clear()
            assert await fetch(store, b"sound") is None
            async with store.hold(OTHER) as blob:
                assert (await blob.look()).size == 5

        self.on_store(tmp_path, step)

    def test_a_sweep_harms_neither_what_is_whole_nor_what_waits(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, b"sound")
            await bring(store, b"waits", OTHER)
            async with store.hold(MEDIA) as blob:
                await blob.seal()
            await store.sweep(machine_ms())
            await store.sweep(machine_ms() + 30 * DAY_MS)
            assert await store.sweep(machine_ms() + 30 * DAY_MS) == 0
            assert await fetch(store, b"sound") == b"sound"
            async with store.hold(OTHER) as blob:
                assert (await blob.look()).size == 5

        self.on_store(tmp_path, step)

    def test_a_blob_has_one_holder_at_a_time(self, tmp_path: Path) -> None:
        async def step(blob: Blob, store: BlobStore) -> None:
            with pytest.raises(Busy):
                async with store.hold(MEDIA):
                    pass
            with pytest.raises(Busy):
                async with store.hold(MEDIA, wait=0.01):
                    pass
            async with store.hold(OTHER):
                pass

        self.on_held(tmp_path, step)

    def test_who_waits_gets_the_blob_when_its_holder_lets_go(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            async with store.hold(MEDIA):
                waiting = store.hold(MEDIA, wait=30)
                waiter = asyncio.ensure_future(waiting.__aenter__())
                await asyncio.sleep(0)
            await waiter
            await waiting.__aexit__(None, None, None)

        self.on_store(tmp_path, step)

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_that_climbs_is_refused(self, tmp_path: Path, name: str) -> None:
        async def step(store: BlobStore) -> None:
            with pytest.raises(ValueError, match="media id"):
                async with store.hold(name):
                    pass
            if store.passage is not None:
                with pytest.raises(ValueError, match="media id"):
                    await store.passage.look(name)
            if store.links is not None:
                with pytest.raises(ValueError, match="media id"):
                    await store.links.upload_link(name, "audio/ogg", "x.ogg", seconds=60)
                with pytest.raises(ValueError, match="media id"):
                    await store.links.download_link(name, hash_of(b""), seconds=60)

        self.on_store(tmp_path, step)
