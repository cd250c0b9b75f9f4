"""Recordings as facts, and the questions that are decided from facts alone. Times are ms, JSON is text."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from rolltape.wire.recording import ContentType, Media, MediaStatus, Recording, RecordingStatus, Source
from rolltape.wire.times import iso, iso_or_none

_decode = msgspec.json.Decoder().decode

EXTENSIONS: dict[ContentType, str] = {
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/webm": "webm",
    "audio/aac": "aac",
}
"""What a downloaded file's name ends in."""


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A recording with its one media file; the last four are None until an upload URL has been asked for.

    `own_metadata` is what the recording was given, `command_metadata` what its command asked for. `declared_size` is
    how many bytes there will be, once somebody has said so.
    """

    n: int
    id: str
    tenant_n: int
    project_id: str
    device_id: str | None
    generation: int | None
    end_user_id: str | None
    command_id: str | None
    name: str | None
    source: Source
    status: RecordingStatus
    started_at: int
    ended_at: int | None
    duration_ms: int | None
    own_metadata: str
    command_metadata: str
    file_size_bytes: int | None
    content_sha256: str | None
    verified_at: int | None
    created_at: int
    media_id: str | None
    content_type: ContentType | None
    declared_size: int | None
    media_status: MediaStatus | None


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller says of the bytes that it has sent; None: it didn't say. The hash is lower-case hex."""

    content_sha256: str | None
    file_size_bytes: int | None
    duration_ms: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the blob store has: `size` bytes, `whole` when no more are to come."""

    size: int
    whole: bool


def is_complete(row: RecordingRow, stored: Stored) -> bool:
    """Whether all bytes are in, as far as anybody has said how many there will be."""
    return stored.whole or (row.declared_size is not None and stored.size >= row.declared_size)


def judge_size(row: RecordingRow, stored: Stored, claim: Claim) -> Literal["right", "incomplete", "wrong"]:
    """Whether as many bytes are there as were declared, with the upload or now.

    More can still come only while the blob isn't whole: then too few is `incomplete`, and sending the rest helps. A
    whole blob of another size is `wrong`: only other bytes, or another claim, can help.
    """
    if stored.size == 0:
        return "incomplete"
    expected = [size for size in (row.declared_size, claim.file_size_bytes) if size is not None]
    if not is_complete(row, stored) and any(stored.size < size for size in expected):
        return "incomplete"
    return "right" if all(stored.size == size for size in expected) else "wrong"


def agrees(row: RecordingRow, claim: Claim) -> bool:
    """Whether a claim on an uploaded recording says nothing else than what is known."""
    return all(
        said is None or said == known
        for said, known in (
            (claim.content_sha256, row.content_sha256),
            (claim.file_size_bytes, row.file_size_bytes),
            (claim.duration_ms, row.duration_ms),
            (claim.ended_at, row.ended_at),
        )
    )


def file_name(row: RecordingRow) -> str:
    """A name for the downloaded file: letters, digits, `_` and one dot, whatever the recording is called."""
    return f"{row.id}.{EXTENSIONS[row.content_type]}" if row.content_type else row.id


def _media(row: RecordingRow) -> list[Media]:
    if row.media_id is None or row.content_type is None or row.media_status is None:
        return []
    return [
        Media(
            id=row.media_id,
            type="audio",
            mime_type=row.content_type,
            file_size_bytes=row.file_size_bytes,
            content_sha256=row.content_sha256,
            status=row.media_status,
        )
    ]


def _metadata(row: RecordingRow, for_device: bool) -> dict[str, Any]:
    own: dict[str, Any] = _decode(row.own_metadata)
    return own if for_device else {**_decode(row.command_metadata), **own}


def view(row: RecordingRow, *, for_device: bool = False) -> Recording:
    """A recording as callers read it; for a device without what the backend attached to the command."""
    return Recording(
        id=row.id,
        project_id=row.project_id,
        device_id=row.device_id,
        end_user_id=row.end_user_id,
        command_id=row.command_id,
        name=row.name,
        source=row.source,
        status=row.status,
        duration_ms=row.duration_ms,
        duration_seconds=None if row.duration_ms is None else (row.duration_ms + 500) // 1000,
        started_at=iso(row.started_at),
        recorded_at=iso(row.started_at),
        ended_at=iso_or_none(row.ended_at),
        file_size_bytes=row.file_size_bytes,
        content_sha256=row.content_sha256,
        content_sha256_verified_at=iso_or_none(row.verified_at),
        media=_media(row),
        metadata=_metadata(row, for_device),
        created_at=iso(row.created_at),
    )
