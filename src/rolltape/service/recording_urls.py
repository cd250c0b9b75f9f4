"""The signed URLs that a recording's bytes travel by: to this server, or straight to an object store."""

from typing import TYPE_CHECKING

from rolltape.codes import Code, Problem
from rolltape.domain import recordings as domain
from rolltape.domain.principal import DevicePrincipal, RelayedDevice, Speaker
from rolltape.domain.recordings import RecordingRow
from rolltape.service import signed_urls
from rolltape.service.downloads import incomplete
from rolltape.service.recording_access import find
from rolltape.service.storage import reaching_storage
from rolltape.service.uploads import all_in, busy, too_large, url_key
from rolltape.store.blobs import Blob, Busy, Held, Link
from rolltape.store.recordings import NewMedia
from rolltape.wire import times
from rolltape.wire.ids import new_id
from rolltape.wire.recording import DownloadUrl, UploadUrl, UploadUrlRequest

if TYPE_CHECKING:
    from rolltape.service.context import Services


async def upload_url(
    app: "Services", who: Speaker, recording_id: str, body: UploadUrlRequest, *, base_url: str, now: int
) -> UploadUrl:
    """Where to send the bytes; asked again before completion: the same media, the bytes kept, a fresh URL.

    For a device that signs, an announcement unlike the last one begins the upload anew: the last one may have been a
    relay's own. Raises Problem: not_found, payload_too_large, upload_conflict (completed, or announced otherwise
    while bytes are in), unavailable (the object store can't be asked).
    """
    if body.file_size_bytes is not None and body.file_size_bytes > app.blobs.max_bytes:
        raise too_large(app.blobs.max_bytes)
    row = await find(app, who, recording_id)
    if row.status == "uploaded":
        raise all_in(row)
    media = NewMedia(new_id("med", now), body.content_type, body.file_size_bytes)
    row = await app.store.announce_media(who.tenant.n, recording_id, media, now)
    row = await _announced_anew(app, who, row, body)
    assert row.media_id is not None
    assert row.content_type is not None
    link, expires_at = await _upload_link(app, row, base_url, now)
    return UploadUrl(
        media_id=row.media_id,
        upload_url=link.url,
        content_type=row.content_type,
        headers=link.headers,
        expires_at=times.iso(expires_at),
    )


async def _upload_link(app: "Services", row: RecordingRow, base_url: str, now: int) -> tuple[Link, int]:
    assert row.media_id is not None
    assert row.content_type is not None
    if app.blobs.links is None:
        url, expires_at = signed_urls.make(url_key(app), "up", row.media_id, row.tenant_n, base_url=base_url, now=now)
        return Link(url, {"Content-Type": row.content_type}), expires_at
    with reaching_storage():
        link = await app.blobs.links.upload_link(
            row.media_id, row.content_type, domain.file_name(row), seconds=signed_urls.VALID_MS // 1000
        )
    return link, _end(now)


def _end(now: int) -> int:
    """When a link that a store makes now ends, told in whole seconds and never late."""
    return (now + signed_urls.VALID_MS) // 1000 * 1000


async def _announced_anew(app: "Services", who: Speaker, row: RecordingRow, body: UploadUrlRequest) -> RecordingRow:
    """Takes another type or size than the first time, where that harms no bytes that are in."""
    size = row.declared_size if body.file_size_bytes is None else body.file_size_bytes
    if (body.content_type, size) == (row.content_type, row.declared_size):
        return row
    assert row.media_id is not None
    try:
        with reaching_storage():
            async with app.blobs.hold(row.media_id) as blob:
                held = await blob.look()
                if held.size and await _signs(app, who):
                    await _begin_anew(app, blob)
                elif held.size:
                    _check_change(row, held, body)
                return await app.store.change_media(row.tenant_n, NewMedia(row.media_id, body.content_type, size))
    except Busy:
        raise busy() from None


async def _signs(app: "Services", who: Speaker) -> bool:
    """Whether only a signature says what this device recorded: bytes that it doesn't cover are nobody's loss."""
    if isinstance(who, RelayedDevice):
        return who.public_key is not None
    if isinstance(who, DevicePrincipal):
        return (await app.store.get_device(who.tenant.n, who.device_id)).public_key is not None
    return False


async def _begin_anew(app: "Services", blob: Blob) -> None:
    """Makes room for other bytes. What comes by a store's own link replaces what is there in any case."""
    if app.blobs.links is None:
        await blob.clear()


def _check_change(row: RecordingRow, held: Held, body: UploadUrlRequest) -> None:
    if body.content_type != row.content_type:
        raise Problem(
            Code.UPLOAD_CONFLICT,
            f"Bytes of type {row.content_type} are in already. Go on with that type, or make a new recording.",
            param="content_type",
            details={"status": row.status, "file_size_bytes": held.size},
        )
    size = body.file_size_bytes
    fits = size == held.size or (row.declared_size is None and not held.whole and size is not None and size > held.size)
    if row.status != "integrity_failure" and not fits:
        raise Problem(
            Code.UPLOAD_CONFLICT,
            f"{held.size} bytes are in, of {row.declared_size or 'an open number'}: the size can't change any more.",
            param="file_size_bytes",
            details={"status": row.status, "file_size_bytes": held.size},
        )


async def download_url(app: "Services", who: Speaker, recording_id: str, *, base_url: str, now: int) -> DownloadUrl:
    """Where the bytes are, for an hour. Raises Problem: not_found, upload_incomplete, unavailable."""
    row = await find(app, who, recording_id)
    if row.status != "uploaded" or row.media_id is None or row.content_type is None or row.file_size_bytes is None:
        raise incomplete(row)
    url, expires_at = await _download_link(app, row, base_url, now)
    return DownloadUrl(
        download_url=url,
        media_id=row.media_id,
        content_type=row.content_type,
        file_size_bytes=row.file_size_bytes,
        expires_at=times.iso(expires_at),
    )


async def _download_link(app: "Services", row: RecordingRow, base_url: str, now: int) -> tuple[str, int]:
    assert row.media_id is not None
    assert row.content_sha256 is not None
    if app.blobs.links is None:
        return signed_urls.make(url_key(app), "down", row.media_id, row.tenant_n, base_url=base_url, now=now)
    with reaching_storage():
        url = await app.blobs.links.download_link(
            row.media_id, row.content_sha256, seconds=signed_urls.VALID_MS // 1000
        )
    return url, _end(now)
