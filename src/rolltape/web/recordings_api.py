"""Recordings, on both planes. Each handler is one call of a service.

POST /v1/recordings, upload-url and upload-complete are device paths, and so lenient, whatever the credential.
"""

import re
from typing import Any

from rolltape.codes import Code
from rolltape.service import recordings
from rolltape.web import bytes_api
from rolltape.web.call import Call, Reply
from rolltape.web.operation import Content, HeaderParam, Operation
from rolltape.web.params import NoBody, RecordingsQuery, SignedQuery
from rolltape.wire.common import Page
from rolltape.wire.recording import (
    CreateRecording,
    DownloadUrl,
    Recording,
    UploadComplete,
    UploadUrl,
    UploadUrlRequest,
)

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def base_url(call: Call[Any, Any]) -> str:
    """What signed URLs begin with: the setting `public_url`, else the address that this request was sent to."""
    configured: str | None = call.app.config.public_url
    if configured:
        return configured.rstrip("/")
    host = call.headers.get(b"host", b"")
    if not _HOST.fullmatch(host):
        name, port = call.scope.get("server") or ("localhost", 80)
        host = f"{f'[{name}]' if ':' in name else name}:{port}".encode("ascii")
    return f"{call.scope['scheme']}://{host.decode('ascii')}"


async def create_recording(call: Call[CreateRecording, None]) -> Reply:
    recording, created = await recordings.create_recording(call.app, call.caller, call.body, now=call.now)
    return Reply(recording, 201 if created else 200)


async def list_recordings(call: Call[None, RecordingsQuery]) -> Page[Recording]:
    query = call.query
    return await recordings.list_recordings(
        call.app,
        call.key,
        device_id=query.device_id,
        end_user_id=query.end_user_id,
        status=query.status,
        command_id=query.command_id,
        limit=query.limit,
        cursor=query.cursor,
        now=call.now,
    )


async def get_recording(call: Call[None, None]) -> Recording:
    return await recordings.get_recording(call.app, call.key, call.recording_id, now=call.now)


async def delete_recording(call: Call[None, None]) -> None:
    await recordings.delete_recording(call.app, call.key, call.recording_id, now=call.now)


async def upload_url(call: Call[UploadUrlRequest, None]) -> UploadUrl:
    return await recordings.upload_url(
        call.app, call.caller, call.recording_id, call.body, base_url=base_url(call), now=call.now
    )


async def complete_upload(call: Call[UploadComplete, None]) -> Recording:
    return await recordings.complete_upload(call.app, call.caller, call.recording_id, call.body, now=call.now)


async def download_url(call: Call[Any, None]) -> DownloadUrl:
    return await recordings.download_url(call.app, call.key, call.recording_id, base_url=base_url(call), now=call.now)


RECORDINGS = (
    Operation(
        method="POST",
        path="/v1/recordings",
        name="createRecording",
        summary="Announce a recording, from its first second on",
        description="The same id again: 200 with the recording as it is. `started_at` (or `recorded_at`) is required. "
        "A device token fills in device and end user.",
        group="Recordings",
        scope="recordings:write",
        device=True,
        lenient=True,
        ended_token=True,
        body=CreateRecording,
        body_example={"started_at": "2026-01-02T03:04:05.678Z", "name": "Morning round"},
        answers={201: Recording, 200: Recording},
        errors=(Code.ID_CONFLICT, Code.NOT_FOUND),
        handler=create_recording,
    ),
    Operation(
        method="GET",
        path="/v1/recordings",
        name="listRecordings",
        summary="List recordings, newest first",
        group="Recordings",
        scope="recordings:read",
        query=RecordingsQuery,
        answers={200: Page[Recording]},
        handler=list_recordings,
    ),
    Operation(
        method="GET",
        path="/v1/recordings/{recording_id}",
        name="getRecording",
        summary="Read a recording",
        group="Recordings",
        scope="recordings:read",
        answers={200: Recording},
        handler=get_recording,
    ),
    Operation(
        method="DELETE",
        path="/v1/recordings/{recording_id}",
        name="deleteRecording",
        summary="Delete a recording with its bytes",
        group="Recordings",
        scope="recordings:write",
        answers={204: None},
        handler=delete_recording,
    ),
    Operation(
        method="POST",
        path="/v1/recordings/{recording_id}/upload-url",
        name="createUploadUrl",
        summary="Get a signed URL to send the bytes to",
        description="One plain PUT with `headers` as they are and no Authorization; this server's own URL is a tus 1.0 "
        "resource too (HEAD, PATCH), an object store's is not. Asked again before completion: the same file, the bytes "
        "kept, a fresh URL.",
        group="Recordings",
        scope="recordings:write",
        device=True,
        lenient=True,
        ended_token=True,
        body=UploadUrlRequest,
        body_example={"type": "audio", "content_type": "audio/ogg", "file_size_bytes": 48123},
        answers={201: UploadUrl},
        errors=(Code.UPLOAD_CONFLICT,),
        handler=upload_url,
    ),
    Operation(
        method="POST",
        path="/v1/recordings/{recording_id}/upload-complete",
        name="completeUpload",
        summary="Say that all bytes are sent, and what they should be",
        description="Everything that is given is checked against the stored bytes. The same again: 200.",
        group="Recordings",
        scope="recordings:write",
        device=True,
        lenient=True,
        ended_token=True,
        body=UploadComplete,
        body_optional=True,
        body_example={"file_size_bytes": 48123, "duration_ms": 12040},
        answers={200: Recording},
        errors=(Code.INTEGRITY_FAILURE, Code.UPLOAD_INCOMPLETE, Code.UPLOAD_CONFLICT),
        handler=complete_upload,
    ),
    Operation(
        method="GET",
        path="/v1/recordings/{recording_id}/download-url",
        name="getDownloadUrl",
        summary="Get a signed URL to fetch the bytes from",
        group="Recordings",
        scope="recordings:read",
        answers={200: DownloadUrl},
        errors=(Code.UPLOAD_INCOMPLETE,),
        handler=download_url,
    ),
    Operation(
        method="POST",
        path="/v1/recordings/{recording_id}/download-url",
        name="createDownloadUrl",
        summary="The same as GET",
        group="Recordings",
        scope="recordings:read",
        body=NoBody,
        body_optional=True,
        answers={200: DownloadUrl},
        errors=(Code.UPLOAD_INCOMPLETE,),
        handler=download_url,
    ),
)

_TUS = HeaderParam("Tus-Resumable", "The protocol's version", {"type": "string", "enum": ["1.0.0"]}, required=True)
_OFFSET = HeaderParam("Upload-Offset", "Where the bytes go on", {"type": "integer", "minimum": 0}, required=True)
_LENGTH = HeaderParam("Upload-Length", "All bytes, where that wasn't said yet", {"type": "integer", "minimum": 1})
_RANGE = HeaderParam("Range", "Which bytes (RFC 9110, section 14)", {"type": "string"})

BYTES = (
    Operation(
        method="PUT",
        path="/v1/uploads/{media_id}",
        name="uploadBytes",
        summary="Send all bytes at once",
        description="The path and query come from `upload_url`, which is its own permission for an hour.",
        group="Bytes",
        signed=True,
        query=SignedQuery,
        body=Content("audio/*", "The bytes; Content-Type as it was announced"),
        answers={200: bytes_api.StoredFile},
        errors=(Code.INVALID_REQUEST, Code.UPLOAD_CONFLICT, Code.PAYLOAD_TOO_LARGE, Code.UNAVAILABLE),
        endpoint=bytes_api.upload,
    ),
    Operation(
        method="HEAD",
        path="/v1/uploads/{media_id}",
        name="getUploadOffset",
        summary="Ask where the upload is (tus 1.0)",
        group="Bytes",
        signed=True,
        query=SignedQuery,
        headers=(_TUS,),
        answers={200: None},
        answer_headers={
            "Tus-Resumable": "`1.0.0`",
            "Upload-Offset": "How many bytes are in",
            "Upload-Length": "How many there will be, where that is known",
            "Upload-Defer-Length": "`1` where it isn't",
            "Upload-Expires": "When the URL ends",
        },
        errors=(Code.PRECONDITION_FAILED,),
        endpoint=bytes_api.upload,
    ),
    Operation(
        method="PATCH",
        path="/v1/uploads/{media_id}",
        name="resumeUpload",
        summary="Send more bytes, from where the upload is (tus 1.0)",
        group="Bytes",
        signed=True,
        query=SignedQuery,
        headers=(_TUS, _OFFSET, _LENGTH),
        body=Content("application/offset+octet-stream", "Some bytes, or all that are left"),
        answers={204: None},
        answer_headers={
            "Tus-Resumable": "`1.0.0`",
            "Upload-Offset": "How many bytes are in now",
            "Upload-Expires": "When the URL ends",
        },
        errors=(
            Code.UPLOAD_CONFLICT,
            Code.PAYLOAD_TOO_LARGE,
            Code.PRECONDITION_FAILED,
            Code.UNSUPPORTED_MEDIA_TYPE,
            Code.UNAVAILABLE,
        ),
        endpoint=bytes_api.upload,
    ),
    Operation(
        method="OPTIONS",
        path="/v1/uploads/{media_id}",
        name="getUploadProtocol",
        summary="Ask what the server can do (tus 1.0)",
        group="Bytes",
        answers={204: None},
        answer_headers={
            "Tus-Resumable": "`1.0.0`",
            "Tus-Version": "`1.0.0`",
            "Tus-Extension": "What it can do beyond the core",
            "Tus-Max-Size": "The greatest file, in bytes",
            "Allow": "The methods of this path",
        },
        endpoint=bytes_api.upload,
    ),
    Operation(
        method="GET",
        path="/v1/downloads/{media_id}",
        name="downloadBytes",
        summary="Fetch the bytes, or a range of them",
        description="The path and query come from `download_url`, which is its own permission for an hour.",
        group="Bytes",
        signed=True,
        query=SignedQuery,
        headers=(_RANGE,),
        answers={
            200: Content("audio/*", "The bytes"),
            206: Content("audio/*", "The bytes of the range"),
            304: None,
        },
        answer_headers={"ETag": "The hash of the bytes", "Accept-Ranges": "`bytes`"},
        errors=(Code.UPLOAD_INCOMPLETE, Code.RANGE_NOT_SATISFIABLE),
        endpoint=bytes_api.download,
    ),
    Operation(
        method="HEAD",
        path="/v1/downloads/{media_id}",
        name="getDownloadHeaders",
        summary="Ask how long the file is, and of which type",
        group="Bytes",
        signed=True,
        query=SignedQuery,
        answers={200: None, 304: None},
        answer_headers={"ETag": "The hash of the bytes", "Accept-Ranges": "`bytes`"},
        errors=(Code.UPLOAD_INCOMPLETE,),
        endpoint=bytes_api.download,
    ),
)
