"""Both blob stores keep the promises: a folder, and a real S3 server."""

import hashlib
from pathlib import Path

from rolltape.clock import SystemClock
from rolltape.store.blobs import BlobStore
from rolltape.store.folder_blobs import FolderBlobs
from rolltape.testing.blob_suite import LinkSuite, PassageSuite
from tests.s3_server import needs_weed, objects_under


class TestFolder(PassageSuite):
    """All promises, in a folder."""

    def make_store(self, folder: Path, *, max_bytes: int = 10**9) -> BlobStore:
        return FolderBlobs(folder / "media", max_bytes=max_bytes, reserve_bytes=0, clock=SystemClock())


@needs_weed
class TestS3(LinkSuite):
    """All promises, on SeaweedFS by its S3 protocol. The prefix stands for the folder."""

    def make_store(self, folder: Path, *, max_bytes: int = 10**9) -> BlobStore:
        prefix = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
        return objects_under(f"suite/{prefix}", max_bytes=max_bytes)
