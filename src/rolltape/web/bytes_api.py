"""The routes of raw bytes: `/v1/uploads/{media_id}` and `/v1/downloads/{media_id}`, each behind a signed URL.

An upload takes one plain PUT, or is a resource of tus 1.0 (https://tus.io/protocols/resumable-upload): OPTIONS, HEAD,
PATCH, with the extensions creation-defer-length (the length may come with a PATCH) and expiration. What a client sends
is written as it comes: memory stays bounded whatever the size.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import msgspec

from rolltape.codes import Code, Problem
from rolltape.domain import recordings as domain
from rolltape.service import downloads, uploads
from rolltape.service.uploads import Progress, Ticket
from rolltape.store.blobs import Absent
from rolltape.web.byte_ranges import Selection, Unsatisfiable, is_known, select
from rolltape.web.call import ClientGone, Header, Message, Receive, Scope, Send
from rolltape.web.errors import STATUS, error_body, error_headers
from rolltape.wire.common import Count

if TYPE_CHECKING:
    from rolltape.service.context import Services

TUS_VERSION: Final = b"1.0.0"
IDLE_SECONDS: Final = 30.0
"""A client that neither sends nor takes a byte for so long has gone: another request may go on where it was."""

_TUS: Final[Header] = (b"tus-resumable", TUS_VERSION)
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_NO_SNIFF: Final[Header] = (b"x-content-type-options", b"nosniff")
_JSON: Final[Header] = (b"content-type", b"application/json")
_NUMBER = re.compile(rb"[0-9]{1,15}")
_encode = msgspec.json.encode


class StoredFile(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to a PUT: all bytes are in. Call upload-complete next."""

    media_id: str
    file_size_bytes: Count


Headers = Mapping[bytes, bytes]
_Step = Callable[["Services", Ticket, Headers, Receive, Send], Awaitable[None]]


class _Stalled(Exception):
    """The client has sent nothing for IDLE_SECONDS. What came is kept where it can be."""


async def upload(app: "Services", scope: Scope, receive: Receive, send: Send) -> None:
    """PUT, HEAD, PATCH and OPTIONS on an upload URL. Answers everything itself, refusals too."""
    tus = scope["method"] != "PUT"
    try:
        if scope["method"] == "OPTIONS":
            await _options(app, send)
            return
        now = app.clock.now_ms()
        ticket = uploads.open_ticket(app, scope["path_params"]["media_id"], scope["query_string"], now)
        await _UPLOAD[scope["method"]](app, ticket, dict(scope["headers"]), receive, send)
    except ClientGone:
        return
    except _Stalled:
        problem = Problem(
            Code.INVALID_REQUEST,
            f"No byte came for {IDLE_SECONDS:.0f} s. Ask HEAD where the upload is, and go on there with PATCH.",
        )
        await _refuse(scope, send, problem, ((b"connection", b"close"), _TUS))
    except Problem as problem:
        await _refuse(scope, send, problem, _tus_headers(problem) if tus else ())


def _tus_headers(problem: Problem) -> tuple[Header, ...]:
    if problem.code == Code.PRECONDITION_FAILED:
        return _TUS, (b"tus-version", TUS_VERSION)
    if problem.param == "Upload-Offset" and problem.details:
        return _TUS, (b"upload-offset", b"%d" % problem.details["offset"])
    return (_TUS,)


async def _refuse(scope: Scope, send: Send, problem: Problem, headers: tuple[Header, ...]) -> None:
    """An error answer in the shape of all others; the X-Request-Id is put on by who routes here."""
    body = error_body(problem, scope["request_id"])
    await _answer(send, STATUS[problem.code], (_JSON, _NO_STORE, _NO_SNIFF, *error_headers(problem), *headers), body)


async def _answer(send: Send, status: int, headers: tuple[Header, ...], body: bytes = b"") -> None:
    length = () if status in (204, 304) else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def _options(app: "Services", send: Send) -> None:
    headers = (
        _TUS,
        (b"tus-version", TUS_VERSION),
        (b"tus-max-size", b"%d" % app.blobs.max_bytes),
        (b"tus-extension", b"creation-defer-length,expiration"),
        (b"allow", b"OPTIONS, HEAD, PATCH, PUT"),
    )
    await _answer(send, 204, headers)


async def _head(app: "Services", ticket: Ticket, headers: Headers, receive: Receive, send: Send) -> None:
    _require_tus(headers)
    progress = await uploads.progress(app, ticket)
    length = (b"upload-defer-length", b"1") if progress.length is None else (b"upload-length", b"%d" % progress.length)
    await _answer(send, 200, (*_progress_headers(ticket, progress), length, _NO_STORE))


def _progress_headers(ticket: Ticket, progress: Progress) -> tuple[Header, ...]:
    expires = formatdate(ticket.expires_at / 1000, usegmt=True).encode("ascii")
    return _TUS, (b"upload-offset", b"%d" % progress.offset), (b"upload-expires", expires)


async def _patch(app: "Services", ticket: Ticket, headers: Headers, receive: Receive, send: Send) -> None:
    _require_tus(headers)
    if headers.get(b"content-type") != b"application/offset+octet-stream":
        raise Problem(
            Code.UNSUPPORTED_MEDIA_TYPE,
            "PATCH takes Content-Type: application/offset+octet-stream.",
            param="Content-Type",
        )
    offset = _number(headers, b"upload-offset")
    if offset is None:
        raise Problem(
            Code.INVALID_REQUEST, "PATCH needs the header Upload-Offset, as HEAD tells it.", param="Upload-Offset"
        )
    progress = await uploads.patch(
        app,
        ticket,
        offset=offset,
        length=_number(headers, b"upload-length"),
        content_length=_number(headers, b"content-length"),
        chunks=_chunks(app, receive),
    )
    await _answer(send, 204, (*_progress_headers(ticket, progress), _NO_STORE))


async def _put(app: "Services", ticket: Ticket, headers: Headers, receive: Receive, send: Send) -> None:
    media_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    size = await uploads.put(app, ticket, media_type, _number(headers, b"content-length"), _chunks(app, receive))
    body = _encode(StoredFile(media_id=ticket.media_id, file_size_bytes=size))
    await _answer(send, 200, (_JSON, _NO_STORE, _NO_SNIFF), body)


_UPLOAD: Final[dict[str, _Step]] = {"HEAD": _head, "PATCH": _patch, "PUT": _put}


def _require_tus(headers: Headers) -> None:
    if headers.get(b"tus-resumable") != TUS_VERSION:
        raise Problem(
            Code.PRECONDITION_FAILED,
            "This is tus 1.0: send the header Tus-Resumable: 1.0.0. Without tus, send all bytes with one PUT.",
            param="Tus-Resumable",
        )


def _number(headers: Headers, name: bytes) -> int | None:
    value = headers.get(name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        shown = name.decode("ascii").title()
        raise Problem(Code.INVALID_REQUEST, f"The header {shown} must be a whole number of bytes.", param=shown)
    return int(value)


async def _chunks(app: "Services", receive: Receive) -> AsyncIterator[bytes]:
    """The request's body as it comes. Raises ClientGone, _Stalled."""
    more = True
    while more:
        message = await app.clock.wait(receive(), IDLE_SECONDS)
        if message is None:
            raise _Stalled
        if message["type"] != "http.request":
            raise ClientGone
        if chunk := message.get("body", b""):
            yield chunk
        more = message.get("more_body", False)


async def download(app: "Services", scope: Scope, receive: Receive, send: Send) -> None:
    """GET and HEAD on a download URL. Answers everything itself, refusals too."""
    try:
        await _download(app, scope, receive, send)
    except Unsatisfiable as problem:
        await _refuse(scope, send, problem, ((b"content-range", b"bytes */%d" % problem.size),))
    except Problem as problem:
        await _refuse(scope, send, problem, ())


async def _download(app: "Services", scope: Scope, receive: Receive, send: Send) -> None:
    media_id: str = scope["path_params"]["media_id"]
    row = await downloads.open_download(app, media_id, scope["query_string"], app.clock.now_ms())
    headers = dict(scope["headers"])
    etag = f'"{row.content_sha256}"'.encode("ascii")
    common = (
        (b"etag", etag),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, no-cache"),
        _NO_SNIFF,
        (b"content-security-policy", b"sandbox; default-src 'none'"),
        (b"content-disposition", f'attachment; filename="{domain.file_name(row)}"'.encode("ascii")),
    )
    if is_known(headers, etag):
        await _answer(send, 304, common)
        return
    assert row.file_size_bytes is not None
    assert row.content_type is not None
    if scope["method"] == "HEAD":
        headers.pop(b"range", None)  # a range means something to GET alone
    chosen = select(headers, row.file_size_bytes, etag)
    start = _start(chosen, (*common, (b"content-type", row.content_type.encode("ascii"))))
    if scope["method"] == "HEAD":
        await send(start)
        await send({"type": "http.response.body", "body": b""})
    else:
        pieces = downloads.read(app, media_id, chosen.start, chosen.stop)
        await _stream(app, pieces, start, receive, send)


def _start(chosen: Selection, headers: tuple[Header, ...]) -> Message:
    length: Header = (b"content-length", b"%d" % (chosen.stop - chosen.start))
    if not chosen.partial:
        return {"type": "http.response.start", "status": 200, "headers": [*headers, length]}
    span: Header = (b"content-range", b"bytes %d-%d/%d" % (chosen.start, chosen.stop - 1, chosen.size))
    return {"type": "http.response.start", "status": 206, "headers": [*headers, length, span]}


async def _stream(
    app: "Services", pieces: AsyncGenerator[bytes, None], start: Message, receive: Receive, send: Send
) -> None:
    """The chosen bytes. Ends early when the client goes away or takes nothing for IDLE_SECONDS."""
    started = False
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                if not started:
                    await send(start)
                    started = True
                body: Message = {"type": "http.response.body", "body": piece, "more_body": True}
                if gone.done() or not await app.clock.wait(_sent(send, body), IDLE_SECONDS):
                    return
        await send({"type": "http.response.body", "body": b""})
    except Absent:
        if started:
            raise  # the answer has begun: breaking it off is the only way to say so
        raise Problem(Code.NOT_FOUND, "The bytes are gone: the recording was deleted.") from None
    finally:
        gone.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _sent(send: Send, message: Message) -> bool:
    await send(message)
    return True
