"""What `rolltape doctor` looks at where the bytes of recordings are: a folder or an object store."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.store.blobs import Unreachable
from rolltape.wiring.build import open_objects
from rolltape.wiring.databases import RECORDINGS_NAME
from rolltape.wiring.findings import Finding

if TYPE_CHECKING:
    from rolltape.store.object_blobs import ObjectBlobs

Uploaded = set[tuple[str, str]]
MOVE = "Stop the server, then: rolltape move-recordings --data FOLDER"


def recordings_findings(settings: Settings, uploaded: Uploaded) -> Iterator[Finding]:
    """Whether the bytes are where they are to be; `uploaded`: id and SHA-256 of what the database counts on."""
    if settings.recordings is not None:
        yield from _objects(settings, settings.recordings, uploaded)
        return
    root = settings.data / RECORDINGS_NAME
    there = {path.name.split(".")[0] for path in root.rglob("*") if path.is_file()}
    missing = sorted(media_id for media_id, _ in uploaded if media_id not in there)
    if missing:
        yield Finding(
            "error",
            f"Recordings: the bytes of {len(missing)} are missing, {missing[0]} the first.",
            f"Restore {root} from your backup.",
        )
    else:
        yield Finding("ok", f"Recordings: the bytes of all {len(uploaded)} are there.")


def _objects(settings: Settings, url: str, uploaded: Uploaded) -> Iterator[Finding]:
    left = sum(not path.suffix for path in (settings.data / RECORDINGS_NAME).glob("??/med_*"))
    if left:
        yield Finding("error", f"Recordings: {left} files are in the folder still, not in {url}.", MOVE)
    try:
        there = asyncio.run(_probe(open_objects(settings, url, SystemClock())))
    except (ValueError, Unreachable) as error:
        yield Finding(
            "error",
            f"Recordings: {url} can't be used ({error}).",
            "Check bucket, credentials, region and endpoint: reading, writing, listing and deleting must be permitted.",
        )
        return
    if missing := sorted(uploaded - there):
        yield Finding(
            "error",
            f"Recordings: the bytes of {len(missing)} are missing in {url}, {missing[0][0]} the first.",
            "Bring them back from the bucket's own versions or backup.",
        )
    elif not left:
        yield Finding("ok", f"Recordings: the bytes of all {len(uploaded)} are there, and {url} can be written to.")


async def _probe(blobs: "ObjectBlobs") -> Uploaded:
    """Does once all that a server does, and lists what is there. Raises Unreachable."""
    try:
        key = f"checking/doctor.{secrets.token_hex(8)}"
        await blobs.calls.put(key, b"x")
        await blobs.calls.copy(key, f"{key}.copy")
        await blobs.calls.read(f"{key}.copy", 0, 1)
        await blobs.calls.sign("GET", key, 60)
        await blobs.calls.delete([key, f"{key}.copy"])
        return await blobs.wholes()
    finally:
        await blobs.close()
