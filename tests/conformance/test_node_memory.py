"""What a node remembers, and what another one has changed meanwhile."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.delivery import heartbeat
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, Principal
from rolltape.service import auth, bindings, devices, end_users, grants
from rolltape.service.context import Services
from rolltape.store.blobs import Busy
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.wire.account import CreateEndUser
from rolltape.wire.device import BindDevice, RegisterDevice
from rolltape.wire.heartbeat import Heartbeat
from rolltape.wiring import admin_create_key, admin_rotate_grant_key
from rolltape.wiring.build import close_services, open_services
from tests.postgres import server

MEDIA = "med_0Qm3YyPpT1v5Wc8Lk2Zr4N"
HOLDER = """
import asyncio, sys
from pathlib import Path
from rolltape.clock import SystemClock
from rolltape.store.folder_blobs import FolderBlobs

async def chunks():
    yield b"one"
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    yield b"two"

async def main():
    store = FolderBlobs(Path(sys.argv[1]), max_bytes=100, reserve_bytes=0, clock=SystemClock())
    async with store.hold(sys.argv[2]) as blob:
        await blob.put(chunks(), size=6)
    await store.close()

asyncio.run(main())
"""


def _folder(root: Path) -> FolderBlobs:
    return FolderBlobs(root, max_bytes=100, reserve_bytes=0, clock=SystemClock())


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, in the middle of a PUT into the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), MEDIA], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_an_upload_that_another_process_writes_is_neither_swept_away_nor_written_by_two(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    async def run() -> None:
        store = _folder(tmp_path)  # as it starts, it clears away what a crash has left
        with pytest.raises(Busy):
            async with store.hold(MEDIA):
                pass
        waiting = asyncio.ensure_future(_held(store))
        holder.communicate("\n")
        assert holder.returncode == 0
        assert await waiting == (6, True)
        await store.close()

    asyncio.run(run())


def test_what_a_killed_process_has_left_is_cleared_away(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    async def run() -> None:
        assert (tmp_path / "incoming" / MEDIA).exists()
        holder.kill()
        holder.wait()
        store = _folder(tmp_path)
        assert not (tmp_path / "incoming" / MEDIA).exists()
        assert await _held(store) == (0, False)
        await store.close()

    asyncio.run(run())


async def _held(store: FolderBlobs) -> tuple[int, bool]:
    async with store.hold(MEDIA, wait=20) as blob:
        held = await blob.look()
        return held.size, held.whole


@asynccontextmanager
async def _two(settings: Settings) -> AsyncIterator[tuple[Services, Services]]:
    """Two nodes without their workers: what they learn, they learn by being asked."""
    nodes = [await open_services(settings, SystemClock()) for _ in range(2)]
    try:
        yield nodes[0], nodes[1]
    finally:
        for each in nodes:
            await close_services(each)


async def _bound(app: Services, who: Principal, now: int) -> tuple[str, str]:
    """A bound device: its id and its token."""
    assert isinstance(who, KeyPrincipal)
    device, _ = await devices.register_device(app, who, RegisterDevice(serial_number="s"), now=now)
    user = await end_users.create_end_user(app, who, CreateEndUser(external_id="u"), now=now)
    bound = await bindings.bind_device(app, who, device.id, BindDevice(end_user_id=user.id), now=now)
    return device.id, bound.device_token


def test_a_grant_key_that_was_just_made_is_known_wherever_a_device_says_that_it_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = asyncio.run(server().schema("node_memory"))
    monkeypatch.setenv("ROLLTAPE_DATABASE", url)
    settings = Settings(data=tmp_path, database=url)
    key = admin_create_key(tmp_path, "test", None, None, None)["key"]

    async def run() -> None:
        async with _two(settings) as (one, two):
            now = one.clock.now_ms()
            who = await auth.authenticate(one, key, now)
            device, token = await _bound(one, who, now)
            newest = (await asyncio.to_thread(admin_rotate_grant_key, tmp_path))["kid"]
            assert newest not in two.vault.kids()
            me = await auth.authenticate(two, token, now)
            assert isinstance(me, DevicePrincipal)
            beat = await heartbeat.heartbeat(two, me, device, Heartbeat(grant_kids=[newest]), now=now)
            assert beat.grant_keys is None, "it has the newest, and is not given older ones in its place"
            signer = await grants.signer_of(one, device, 1, "EdDSA", (newest,))
            assert signer.kid == newest, "the other node signs with it too"

    asyncio.run(run())
