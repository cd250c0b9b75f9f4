"""A server that is killed while bytes come in: every offset that it has told is really there."""

import hashlib
import subprocess
import sys
from pathlib import Path

from rolltape.store.media_files import MediaFiles

MEDIA = "med_0123456789abcdefghijXY"
APPEND = """
import asyncio, hashlib, sys
from pathlib import Path
from rolltape.clock import SystemClock
from rolltape.store.folder_blobs import FolderBlobs

async def chunks(offset):
    block = hashlib.sha256(str(offset).encode()).digest() * 1000
    yield block

async def main():
    store = FolderBlobs(Path(sys.argv[1]), max_bytes=10**9, reserve_bytes=0, clock=SystemClock())
    while True:
        async with store.hold(sys.argv[2]) as blob:
            held = await blob.look()
            held = await blob.append(held.size, chunks(held.size), length=None)
        print(held.size, flush=True)

asyncio.run(main())
"""

PUT = """
import asyncio, hashlib, sys
from pathlib import Path
from rolltape.clock import SystemClock
from rolltape.store.folder_blobs import FolderBlobs

async def chunks(n):
    for _ in range(20):
        yield hashlib.sha256(str(n).encode()).digest() * 1000

async def main():
    store = FolderBlobs(Path(sys.argv[1]), max_bytes=10**9, reserve_bytes=0, clock=SystemClock())
    for n in range(10**9):
        async with store.hold(sys.argv[2]) as blob:
            await blob.put(chunks(n), size=None)
        print(n, flush=True)

asyncio.run(main())
"""


def start(program: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, str(folder), MEDIA], stdout=subprocess.PIPE, text=True)


def content(size: int) -> bytes:
    return b"".join(hashlib.sha256(str(at).encode()).digest() * 1000 for at in range(0, size, 32_000))


def test_a_kill_at_any_moment_leaves_every_acknowledged_byte(tmp_path: Path) -> None:
    acknowledged = 0
    for round_ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", APPEND, str(tmp_path), MEDIA], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(round_ + 1):
            acknowledged = int(child.stdout.readline())
        child.kill()
        said = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        acknowledged = int(said[-1]) if said else acknowledged
        files = MediaFiles(tmp_path, MEDIA)
        size = files.look().size
        assert size >= acknowledged
        assert files.part.read_bytes()[:size] == content(size)


def test_a_kill_during_a_put_leaves_one_whole_blob(tmp_path: Path) -> None:
    for round_ in range(8):
        child = start(PUT, tmp_path)
        assert child.stdout is not None
        for _ in range(round_ + 1):
            child.stdout.readline()
        child.kill()
        said = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        last = int(said[-1]) if said else round_
        allowed = [hashlib.sha256(str(n).encode()).digest() * 20_000 for n in (last, last + 1)]
        assert MediaFiles(tmp_path, MEDIA).whole.read_bytes() in allowed
