"""Recordings and their media as they travel."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from rolltape.wire.common import Count, Metadata
from rolltape.wire.times import TimeInput, Timestamp

Source = Literal["device", "api_upload", "app_import"]
RecordingStatus = Literal["pending", "uploaded", "failed", "integrity_failure"]
MediaStatus = Literal["pending", "uploaded", "integrity_failure"]
ContentType = Literal[
    "audio/ogg",
    "audio/opus",
    "audio/flac",
    "audio/wav",
    "audio/mpeg",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
]
Sha256 = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9A-Fa-f]{64}$", description="64 hex digits")]
MAX_FILE_BYTES = 2**40
Bytes = Annotated[int, Meta(ge=1, le=MAX_FILE_BYTES)]
Milliseconds = Annotated[int, Meta(ge=0, le=10**12)]
Name = Annotated[str, Meta(max_length=255)]
AnyId = Annotated[str, Meta(min_length=1, max_length=128)]


class CreateRecording(Struct, kw_only=True, frozen=True):
    """Body of POST /v1/recordings. `recorded_at` is another name for `started_at`; one of them is required."""

    id: Annotated[str, Meta(min_length=26, max_length=68, pattern="^rec_[A-Za-z0-9]{22,64}$")] | None = None
    command_id: AnyId | None = None
    binding_generation: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    device_id: AnyId | None = None
    end_user_id: AnyId | None = None
    started_at: TimeInput | None = None
    recorded_at: TimeInput | None = None
    ended_at: TimeInput | None = None
    name: Name | None = None
    metadata: Metadata | None = None
    source: Source | None = None
    upload_method: Annotated[str, Meta(max_length=64)] | None = None


class UploadUrlRequest(Struct, kw_only=True, frozen=True):
    """Body of POST /v1/recordings/{id}/upload-url."""

    type: Literal["audio"] = "audio"
    content_type: ContentType
    file_size_bytes: Bytes | None = None


class UploadUrl(Struct, kw_only=True, frozen=True):
    """Where to send the bytes: one PUT with `headers` as they are and no Authorization. Where HEAD answers with
    Upload-Offset, it is a tus 1.0 resource too (HEAD and PATCH); an object store's own URL isn't."""

    media_id: str
    upload_url: str
    content_type: ContentType
    headers: dict[str, str]
    expires_at: Timestamp


class UploadComplete(Struct, kw_only=True, frozen=True):
    """Body of POST /v1/recordings/{id}/upload-complete: all optional, all checked against the stored bytes."""

    content_sha256: Sha256 | None = None
    file_size_bytes: Bytes | None = None
    duration_ms: Milliseconds | None = None
    duration_seconds: Annotated[int, Meta(ge=0, le=10**9)] | Annotated[float, Meta(ge=0, le=10**9)] | None = None
    ended_at: TimeInput | None = None


class Media(Struct, kw_only=True, frozen=True):
    """The file of a recording. `file_size_bytes` is null until all bytes are in."""

    id: str
    type: Literal["audio"]
    mime_type: ContentType
    file_size_bytes: Count | None
    content_sha256: str | None
    status: MediaStatus


class Recording(Struct, kw_only=True, frozen=True):
    """A recording. `pending` from its first second until its bytes are in and their hash is right."""

    id: str
    project_id: str
    device_id: str | None
    end_user_id: str | None
    command_id: str | None
    name: str | None
    source: Source
    status: RecordingStatus
    duration_ms: Count | None
    duration_seconds: Count | None
    started_at: Timestamp
    recorded_at: Timestamp
    ended_at: Timestamp | None
    file_size_bytes: Count | None
    content_sha256: str | None
    content_sha256_verified_at: Timestamp | None
    media: list[Media]
    metadata: dict[str, Any]
    created_at: Timestamp


class DownloadUrl(Struct, kw_only=True, frozen=True):
    """Where the bytes are, for an hour. Ranges are answered."""

    download_url: str
    media_id: str
    content_type: ContentType
    file_size_bytes: Count
    expires_at: Timestamp
