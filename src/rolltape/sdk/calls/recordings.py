"""Calls on recordings; transfer.py moves their bytes."""

from typing import Any

from rolltape.sdk.request import Request, delete, get, path_of, post
from rolltape.sdk.steps import Pause, Plan, ask, monotonic
from rolltape.wire.common import Page
from rolltape.wire.recording import ContentType, DownloadUrl, Recording, RecordingStatus, Source, UploadUrl

_SHORTEST_LOOK_SEC = 0.2
_LONGEST_LOOK_SEC = 2.0


def create(
    *,
    started_at: str,
    id: str | None = None,  # noqa: A002, RUF100 - the API's own word
    ended_at: str | None = None,
    device_id: str | None = None,
    end_user_id: str | None = None,
    command_id: str | None = None,
    name: str | None = None,
    metadata: dict[str, Any] | None = None,
    source: Source | None = None,
    upload_method: str | None = None,
) -> Request[Recording]:
    """Make a recording known, before its bytes. It belongs to a device or an end user: name one.

    Times are ISO 8601 with an offset, like `2026-01-02T03:04:05.678Z`. With an `id` of your own (`rec_` and 22 to 64
    letters and digits) it can be sent again safely; without one it isn't tried again after a lost answer. Needs
    `recordings:write`.
    """
    body = {
        "id": id,
        "started_at": started_at,
        "ended_at": ended_at,
        "device_id": device_id,
        "end_user_id": end_user_id,
        "command_id": command_id,
        "name": name,
        "metadata": metadata,
        "source": source,
        "upload_method": upload_method,
    }
    return post(path_of("recordings"), Recording, body, repeatable=id is not None)


def fetch(recording_id: str) -> Request[Recording]:
    """One recording. Raises NotFound. Needs `recordings:read`."""
    return get(path_of("recordings", recording_id), Recording)


def pages(
    *,
    device_id: str | None = None,
    end_user_id: str | None = None,
    status: RecordingStatus | None = None,
    command_id: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Recording]]:
    """The project's recordings, newest first. Needs `recordings:read`."""
    return get(
        path_of("recordings"),
        Page[Recording],
        device_id=device_id,
        end_user_id=end_user_id,
        status=status,
        command_id=command_id,
        limit=limit,
        cursor=cursor,
    )


def remove(recording_id: str) -> Request[None]:
    """Delete a recording and its bytes. Raises NotFound. Needs `recordings:write`."""
    return delete(path_of("recordings", recording_id))


def upload_url(
    recording_id: str, content_type: ContentType, *, file_size_bytes: int | None = None
) -> Request[UploadUrl]:
    """Where to send the bytes, for an hour; asked again before completion: the same media, the bytes kept.

    `recordings.upload` does all of it for a file. Needs `recordings:write`.
    """
    body = {"type": "audio", "content_type": content_type, "file_size_bytes": file_size_bytes}
    return post(path_of("recordings", recording_id, "upload-url"), UploadUrl, body)


def complete(
    recording_id: str,
    *,
    content_sha256: str | None = None,
    file_size_bytes: int | None = None,
    duration_ms: int | None = None,
    ended_at: str | None = None,
) -> Request[Recording]:
    """Say that all bytes are in; what is given is checked against them.

    Raises IntegrityFailure, UploadIncomplete, UploadConflict. Needs `recordings:write`.
    """
    body = {
        "content_sha256": content_sha256,
        "file_size_bytes": file_size_bytes,
        "duration_ms": duration_ms,
        "ended_at": ended_at,
    }
    return post(path_of("recordings", recording_id, "upload-complete"), Recording, body)


def download_url(recording_id: str) -> Request[DownloadUrl]:
    """Where the bytes are, for an hour, to hand to a player. Raises UploadIncomplete. Needs `recordings:read`."""
    return get(path_of("recordings", recording_id, "download-url"), DownloadUrl)


def wait_for(recording_id: str, *, timeout: float | None = None) -> Plan[Recording]:
    """The recording once it is no longer `pending` (uploaded, or known to be lost), or as it stands after `timeout` s.

    Look at its `status`. Raises NotFound where the device has not told of the recording yet.
    """
    begun = yield from monotonic()
    pause = _SHORTEST_LOOK_SEC
    while True:
        recording = yield from ask(fetch(recording_id))
        left = None if timeout is None else begun + timeout - (yield from monotonic())
        if recording.status != "pending" or (left is not None and left <= 0):
            return recording
        yield Pause(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _LONGEST_LOOK_SEC)
