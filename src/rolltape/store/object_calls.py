"""The calls to an object store that blobs are made of, by obstore: what they answer, how long they may take.

They are obstore's blocking ones, in threads of our own: its asynchronous ones answer from a thread that Python doesn't
know, and a process that ends just then is aborted instead of exiting (obstore 0.12.1; one in ten, in a loop).
"""

import asyncio
import logging
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, ParamSpec, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store, from_url

from rolltape.store.blobs import Unreachable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("rolltape.objects")

Store: TypeAlias = AzureStore | GCSStore | S3Store
_RETRY: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=8)}
"""A caller waits for the answer, and can come again."""
_CLIENT = {"connect_timeout": "3s", "timeout": "2min", "read_timeout": "30s"}
"""A store may take a while to copy a large object; one that says nothing at all is down."""
_ENV = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
_CLIENT_ENV = ("allow_http", "allow_invalid_certificates", "proxy_url", *_CLIENT)
"""Options of the HTTP client that obstore would read from the environment, were it not given any."""
_THREADS = 16
_QUERY = re.compile(r"\?[\w-]+=\S*")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: its key under the prefix, its bytes, and when it was written (ms, by the store's own clock)."""

    key: str
    size: int
    changed_ms: int


class ObjectCalls:
    """One prefix of one bucket. Every method but `headers`, `run` and `close` may raise Unreachable."""

    def __init__(self, url: str, *, public_endpoint: str | None = None) -> None:
        """`url` is s3://bucket/prefix, gs://… or az://container/…; credentials, region and endpoint are read from the
        environment, by obstore. `public_endpoint` is how devices reach an S3 store, where this server has another way.

        Raises ValueError, naming what is wrong, without asking the store anything.
        """
        self.scheme = urlsplit(url).scheme
        self._store = _open(url)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rolltape-objects")
        self._signer = self._store if public_endpoint is None else _open(url, public_endpoint)

    async def run(self, step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The step's answer, from a thread. Who is cancelled doesn't wait for it."""
        return await asyncio.wrap_future(self._threads.submit(step, *args, **kwargs))

    async def _ask(self, step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """A call's answer. Raises FileNotFoundError, Unreachable. The log has the cause."""
        try:
            return await self.run(step, *args, **kwargs)
        except BaseError as error:
            # A query may be a permission of its own (Azure's tokens are).
            said = _QUERY.sub("?…", _first_line(error))
            log.warning("the object store: %s: %s", type(error).__name__, said)
            raise Unreachable(said) from error

    async def head(self, key: str) -> Stored | None:
        """The object, if it is there."""
        try:
            found = await self._ask(obstore.head, self._store, key)
        except FileNotFoundError:
            return None
        return Stored(key, found["size"], _ms(found))

    async def copy(self, source: str, target: str) -> bool:
        """Make `target` the same as `source`, headers too, in place of what was there. False: there is no source."""
        try:
            await self._ask(obstore.copy, self._store, source, target)
        except FileNotFoundError:
            return False
        return True

    async def read(self, key: str, start: int, stop: int) -> bytes:
        """The bytes from `start` up to, not including, `stop`."""
        try:
            return await self._ask(_read, self._store, key, start, stop)
        except FileNotFoundError as error:
            raise Unreachable("an object that was there is gone") from error

    async def put(self, key: str, content: bytes) -> None:
        """Write a small object."""
        await self._ask(_put, self._store, key, content)

    async def put_file(self, key: str, file: Path, content_type: str, file_name: str) -> None:
        """Write an object of any size from a file, in pieces. Raises OSError where the file can't be read."""
        await self._ask(_put_file, self._store, key, file, content_type, _disposition(file_name))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these objects; those that aren't there are fine."""
        if keys:
            with suppress(FileNotFoundError):
                await self._ask(obstore.delete, self._store, [*keys])

    async def listed(self, folder: str | None, *, before: int | None = None) -> list[Stored]:
        """The objects under `folder` (None: all), those written before a time (ms) alone where one is given."""
        with suppress(FileNotFoundError):
            return await self._ask(_list, self._store, folder, before)
        return []

    async def sign(self, method: Literal["GET", "PUT"], key: str, seconds: int) -> str:
        """A URL that permits this method on this object, for `seconds` by the machine's own clock."""
        return await self._ask(_sign, self._signer, method, key, seconds)

    def close(self) -> None:
        """Let go of the threads; calls that are under way end by themselves."""
        self._threads.shutdown(wait=False)

    def headers(self, content_type: str, file_name: str) -> dict[str, str]:
        """What a PUT by a URL sends along: the store gives it back to whoever downloads."""
        disposition = _disposition(file_name)
        if self.scheme == "az":
            return {
                "Content-Type": content_type,
                "x-ms-blob-type": "BlockBlob",
                "x-ms-blob-content-disposition": disposition,
            }
        return {"Content-Type": content_type, "Content-Disposition": disposition}


def _read(store: Store, key: str, start: int, stop: int) -> bytes:
    return bytes(obstore.get_range(store, key, start=start, end=stop))


def _put(store: Store, key: str, content: bytes) -> None:
    obstore.put(store, key, content, use_multipart=False)


def _put_file(store: Store, key: str, file: Path, content_type: str, disposition: str) -> None:
    obstore.put(store, key, file, attributes={"Content-Type": content_type, "Content-Disposition": disposition})


def _disposition(file_name: str) -> str:
    return f'attachment; filename="{file_name}"'


def _list(store: Store, folder: str | None, before: int | None) -> list[Stored]:
    return [
        Stored(one["path"], one["size"], _ms(one))
        for page in obstore.list(store, folder, chunk_size=1000)
        for one in page
        if before is None or _ms(one) < before
    ]


def _sign(store: Store, method: Literal["GET", "PUT"], key: str, seconds: int) -> str:
    return obstore.sign(store, method, key, timedelta(seconds=seconds))


def _first_line(error: Exception) -> str:
    """Without the "debug source" that obstore adds."""
    return str(error).split("\n", 1)[0][:500]


def _ms(meta: "obstore.ObjectMeta") -> int:
    return int(meta["last_modified"].timestamp() * 1000)


def _open(url: str, endpoint: str | None = None) -> Store:
    if endpoint is not None and os.environ.get("AWS_ENDPOINT_URL_S3"):
        raise ValueError(  # to obstore it goes before any endpoint that it is given
            "ROLLTAPE_RECORDINGS_PUBLIC_URL and AWS_ENDPOINT_URL_S3 don't go together: name the server's own way to "
            "the store by AWS_ENDPOINT_URL."
        )
    config: S3Config | None = None if endpoint is None else {"endpoint": endpoint}
    try:
        store = from_url(url, config=config, client_options=_client(url), retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise ValueError(f"ROLLTAPE_RECORDINGS={url} can't be used: {_first_line(error)}") from None
    assert isinstance(store, AzureStore | GCSStore | S3Store)
    return store


def _client(url: str) -> "ClientConfig":
    prefix = _ENV[urlsplit(url).scheme]
    told = {name: os.environ.get(f"{prefix}{name.upper()}") for name in _CLIENT_ENV}
    return cast("ClientConfig", {**_CLIENT, **{name: value for name, value in told.items() if value}})
