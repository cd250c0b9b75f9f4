"""The recordings of a ScriptServer: made, uploaded in pieces or whole, and checked, in memory."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_TUS = {"Tus-Resumable": "1.0.0"}


@dataclass
class ScriptUpload:
    """A recording and its bytes. `body` made it; `complete` is the body that completed it."""

    body: dict[str, Any]
    data: bytes = b""
    declared: int | None = None
    complete: dict[str, Any] | None = None


def script_error(
    status: int, code: str, headers: dict[str, str] | None = None, *, details: dict[str, str] | None = None
) -> Response:
    """An answer that isn't a success, in the wire's shape."""
    body = {"error": {"code": code, "message": code, "request_id": "req_1", "details": details}}
    return JSONResponse(body, status_code=status, headers=headers)


class ScriptRecordings:
    """`url` gives the base of upload URLs."""

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url
        self.recordings: dict[str, ScriptUpload] = {}
        self.deleted: set[str] = set()

    def delete(self, recording_id: str) -> None:
        """As a backend deletes one: it is gone, and its id is never taken again."""
        del self.recordings[recording_id]
        self.deleted.add(recording_id)

    async def create(self, request: Request) -> Response:
        """POST /v1/recordings."""
        body = await request.json()
        if body["id"] in self.deleted:
            return script_error(409, "id_conflict", details={"status": "deleted"})
        known = body["id"] in self.recordings
        self.recordings.setdefault(body["id"], ScriptUpload(body))
        return JSONResponse({"id": body["id"]}, status_code=200 if known else 201)

    async def upload_url(self, request: Request) -> Response:
        """POST /v1/recordings/{rec}/upload-url."""
        rec = request.path_params["rec"]
        body = await request.json()
        if rec not in self.recordings:
            return script_error(404, "not_found")
        if self.recordings[rec].complete is not None:
            return script_error(409, "upload_conflict")
        self.recordings[rec].declared = body.get("file_size_bytes")
        answer = {
            "media_id": "med_1",
            "upload_url": f"{self._url()}/u/{rec}",
            "headers": {"Content-Type": "audio/ogg"},
        }
        return JSONResponse(answer, 201)

    async def upload(self, request: Request) -> Response:
        """HEAD, PATCH and PUT of an upload URL."""
        upload = self.recordings[request.path_params["rec"]]
        if "authorization" in request.headers:
            return script_error(400, "invalid_request")
        if request.method == "HEAD":
            return Response(headers=_TUS | {"Upload-Offset": str(len(upload.data))})
        data = await request.body()
        if request.method == "PUT":
            upload.data = data
            return Response(status_code=200)
        if not re.fullmatch(r"\d+", request.headers.get("upload-offset", "")):
            return script_error(400, "invalid_request")
        if int(request.headers["upload-offset"]) != len(upload.data):
            return script_error(409, "upload_conflict")
        upload.data += data
        return Response(status_code=204, headers=_TUS | {"Upload-Offset": str(len(upload.data))})

    async def complete(self, request: Request) -> Response:
        """POST /v1/recordings/{rec}/upload-complete."""
        upload = self.recordings[request.path_params["rec"]]
        body = await request.json()
        if len(upload.data) < body["file_size_bytes"]:
            return script_error(409, "upload_incomplete")
        if hashlib.sha256(upload.data).hexdigest() != body["content_sha256"]:
            return script_error(409, "integrity_failure")
        upload.complete = body
        return JSONResponse({"content_sha256": body["content_sha256"]})
