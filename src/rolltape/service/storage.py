"""What a caller is told of the place where the bytes are: that it can't be reached, or that they don't pass here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.store.blobs import Passage, Unreachable

if TYPE_CHECKING:
    from rolltape.service.context import Services

RETRY_SECONDS = 15


@contextmanager
def reaching_storage() -> Iterator[None]:
    """Raises Problem: unavailable where the blob store can't be asked."""
    try:
        yield
    except Unreachable:
        raise Problem(
            Code.UNAVAILABLE,
            "The store of the recordings' bytes can't be reached just now. Nothing is lost: what is in is kept. "
            "Keep the recording and call again later.",
            details={"retry_after": RETRY_SECONDS},
        ) from None


def passage(app: "Services") -> Passage:
    """How bytes pass through this server. Raises Problem: not_found where they go straight to an object store."""
    if app.blobs.passage is None:
        raise Problem(
            Code.NOT_FOUND,
            "Bytes don't pass through this server: they are in an object store. Ask for a fresh URL: "
            "POST /v1/recordings/{id}/upload-url, or GET /v1/recordings/{id}/download-url.",
        )
    return app.blobs.passage
