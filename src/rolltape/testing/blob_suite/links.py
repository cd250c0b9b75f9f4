"""What a store with links promises: see Links. The links are used by HTTP, as a device would."""

from contextlib import suppress
from pathlib import Path

import httpx2

from rolltape.clock import SystemClock, machine_ms
from rolltape.store.blobs import BlobStore, Held, Link, Links
from rolltape.testing.blob_suite.any_store import DAY_MS, MEDIA, AnyStore, Crash, bring, fetch, hash_of

SOUND = b"sound"


def links_of(store: BlobStore) -> Links:
    """The store's links, which it must have."""
    assert store.links is not None
    return store.links


async def upload_link(store: BlobStore, seconds: int = 60) -> Link:
    """A link to send MEDIA to."""
    return await links_of(store).upload_link(MEDIA, "audio/ogg", "rec_1.ogg", seconds=seconds)


def put(link: Link, data: bytes) -> int:
    """The status of a PUT by the link."""
    return httpx2.put(link.url, content=data, headers=link.headers).status_code


async def seal(store: BlobStore) -> Held:
    """Seals MEDIA, as a completion does."""
    async with store.hold(MEDIA) as blob:
        return await blob.seal()


class LinkSuite(AnyStore):
    """All promises of a store with links. Name a subclass `Test…` and give it `make_store`."""

    def test_who_downloads_gets_the_type_and_the_name_that_were_sent(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, SOUND)
            await seal(store)
            answer = httpx2.get(await links_of(store).download_link(MEDIA, hash_of(SOUND), seconds=60))
            assert (answer.status_code, answer.content) == (200, SOUND)
            assert answer.headers["content-type"] == "audio/ogg"
            assert answer.headers["content-disposition"] == 'attachment; filename="rec_1.ogg"'

        self.on_store(tmp_path, step)

    def test_a_range_is_answered_with_those_bytes(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            await bring(store, SOUND)
            await seal(store)
            url = await links_of(store).download_link(MEDIA, hash_of(SOUND), seconds=60)
            answer = httpx2.get(url, headers={"Range": "bytes=1-3"})
            assert (answer.status_code, answer.content) == (206, b"oun")
            assert answer.headers["content-range"] == "bytes 1-3/5"

        self.on_store(tmp_path, step)

    def test_the_last_put_before_the_check_counts(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            link = await upload_link(store)
            assert put(link, b"a much longer noise") in (200, 201)
            assert put(link, SOUND) in (200, 201)
            async with store.hold(MEDIA) as blob:
                assert await blob.pin() == Held(5, False)
                assert await blob.sha256() == hash_of(SOUND)

        self.on_store(tmp_path, step)

    def test_what_is_pinned_stays_as_it_is(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            link = await upload_link(store)
            put(link, SOUND)
            async with store.hold(MEDIA) as blob:
                await blob.pin()
                put(link, b"a later noise")
                assert await blob.sha256() == hash_of(SOUND)
                put(link, b"and another")
                assert await blob.seal() == Held(5, True)
            assert await fetch(store, SOUND) == SOUND

        self.on_store(tmp_path, step)

    def test_a_put_after_the_seal_changes_nothing_and_is_swept(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            link = await upload_link(store)
            put(link, SOUND)
            await seal(store)
            put(link, b"late noise")
            assert await fetch(store, SOUND) == SOUND
            assert await store.sweep(machine_ms()) == 0
            assert await store.sweep(machine_ms() + 2 * DAY_MS) > 0
            assert await fetch(store, SOUND) == SOUND
            async with store.hold(MEDIA) as blob:
                assert await blob.sha256() == hash_of(SOUND)

        self.on_store(tmp_path, step)

    def test_a_put_after_clearing_is_swept(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            link = await upload_link(store)
            put(link, SOUND)
            await seal(store)
            async with store.hold(MEDIA) as blob:
                await blob.clear()
            put(link, b"late noise")
            assert await store.sweep(machine_ms() + 2 * DAY_MS) > 0
            async with store.hold(MEDIA) as blob:
                assert await blob.look() == Held(0, False)
            assert await store.sweep(machine_ms() + 9 * DAY_MS) == 0

        self.on_store(tmp_path, step)

    def test_two_servers_that_check_at_once_harm_each_other_not(self, tmp_path: Path) -> None:
        async def step(one: BlobStore) -> None:
            other = self.make_store(tmp_path)
            link = await upload_link(one)
            put(link, b"noise")
            async with other.hold(MEDIA) as second:
                await second.pin()
                put(link, SOUND)
                assert (await seal(one)).whole
                await second.seal()
                assert await fetch(one, SOUND) == SOUND
            assert await fetch(one, SOUND) == SOUND
            await other.close()

        self.on_store(tmp_path, step)

    def test_a_seal_by_a_server_that_died_is_cleared_with_the_rest(self, tmp_path: Path) -> None:
        """Two servers: one deletes while the other seals, and the other ends before it can tell."""

        async def step(one: BlobStore) -> None:
            other = self.make_store(tmp_path)
            await bring(one, SOUND)
            with suppress(Crash):
                async with one.hold(MEDIA) as sealing:
                    await sealing.pin()
                    async with other.hold(MEDIA) as clearing:
                        await clearing.clear()
                    await sealing.seal()
                    raise Crash
            assert await other.sweep(machine_ms() + 2 * DAY_MS) > 0
            assert await fetch(one, SOUND) is None
            await other.close()

        self.on_store(tmp_path, step)

    def test_a_link_permits_one_thing_alone(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            up = await upload_link(store)
            put(up, SOUND)
            await seal(store)
            down = await links_of(store).download_link(MEDIA, hash_of(SOUND), seconds=60)
            assert httpx2.get(up.url).status_code == 403
            assert httpx2.delete(up.url).status_code == 403
            assert httpx2.put(down, content=b"noise").status_code == 403
            assert httpx2.get(down.replace(MEDIA, MEDIA[:-1] + "Z")).status_code == 403
            assert httpx2.get(down.partition("?")[0]).status_code == 403
            assert await fetch(store, SOUND) == SOUND

        self.on_store(tmp_path, step)

    def test_a_link_that_is_over_is_refused(self, tmp_path: Path) -> None:
        async def step(store: BlobStore) -> None:
            link = await upload_link(store, seconds=1)
            clock = SystemClock()
            end = clock.monotonic() + 10
            while (status := put(link, SOUND)) != 403 and clock.monotonic() < end:
                await clock.sleep(0.2)
            assert status == 403

        self.on_store(tmp_path, step)
