"""A scripted HTTP server on a real socket, for the SDK's tests: it answers what it is told, and can break off."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Seen:
    """A request as it came. Header names in lower case."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """What to answer. `cut`: break the connection after so many bytes of the body; 0 answers nothing at all."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


Script = Callable[[Seen], Reply]


def as_json(value: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def error(status: int, code: str, **headers: str) -> Reply:
    return as_json({"error": {"code": code, "message": "say what to do", "request_id": "req_1"}}, status, **headers)


HANG_UP = Reply(cut=0)


class ScriptedServer:
    """Where the server is, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self.script: Script = lambda _: error(404, "not_found")

    def replies(self, *replies: Reply) -> None:
        """Answer these, one after the other."""
        left = list(replies)
        self.script = lambda _: left.pop(0)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """A server on a port of its own; what its script raises is raised at the end."""
    failures: list[BaseException] = []
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server = ScriptedServer(f"http://127.0.0.1:{httpd.server_address[1]}")
    httpd.RequestHandlerClass = type("Handler", (_Handler,), {"scripted": server, "failures": failures})
    httpd.daemon_threads = False
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
    assert not failures, failures


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each request: a broken one never spoils the next
    timeout = 10
    scripted: ScriptedServer
    failures: list[BaseException]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        headers = {name.lower(): text for name, text in self.headers.items()}
        seen = Seen(self.command, url.path, parse_qsl(url.query), headers, body)
        self.scripted.seen.append(seen)
        try:
            self._send(self.scripted.script(seen))
        except Exception as error:
            self.failures.append(error)

    def _send(self, reply: Reply) -> None:
        if reply.cut == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, text in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body[: reply.cut])

    def log_message(self, *_: object) -> None:
        pass

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer


KEY_TEXT = "sk_test_abc"
AT = "2026-01-02T03:04:05.678Z"
NO_STATE = {"device_state": None, "pending_recordings": None, "flags": None, "connection_type": None}
DEVICE: dict[str, Any] = {
    "id": "dev_1",
    "project_id": "proj_1",
    "binding_generation": 1,
    "serial_number": "SN-1",
    "model": None,
    "name": None,
    "firmware_version": None,
    "status": "bound",
    "end_user_id": "eu_1",
    "connection": ["wifi"],
    "online": True,
    "battery_percent": 80,
    "storage_used_mb": 1,
    "storage_total_mb": 2.5,
    "signal_strength_dbm": -60,
    "last_heartbeat_at": AT,
    "recording_state": NO_STATE,
    "grant_alg": "EdDSA",
    "public_key": None,
    "metadata": {},
    "settings": {},
    "created_at": AT,
    "updated_at": AT,
}
BOUND = {**DEVICE, "device_token": "dtok_1", "grant_iss": "0123456789abcdef", "grant_keys": {"keys": []}}
COMMAND: dict[str, Any] = {
    "id": "cmd_1",
    "device_id": "dev_1",
    "type": "start_recording",
    "status": "pending",
    "params": {},
    "grant_token": None,
    "result": None,
    "error": None,
    "expires_at": AT,
    "delivered_at": None,
    "executed_at": None,
    "created_at": AT,
    "reported_at": None,
    "may_still_run_until": None,
    "delivery": {"route": None, "offers": 0, "last_offered_at": None, "next_contact_at": None, "evidence": None},
}
EVENT = {"id": "evt_1", "type": "command.created", "created_at": AT, "data": COMMAND}
STATE = {
    "device_id": "dev_1",
    "binding_generation": 1,
    "online": False,
    "recording": {
        "active": None,
        "recording_id": None,
        "started_at": None,
        "initiated_by": None,
        "as_of": None,
        "evidence": None,
    },
    "recording_state": NO_STATE,
    "battery_percent": None,
    "storage_used_mb": None,
    "storage_total_mb": None,
    "last_heartbeat_at": None,
    "last_seen_by": None,
}
STATS = {
    "project_id": "proj_1",
    "total_count": 1,
    "bound_count": 1,
    "online_count": 0,
    "recording_count": 0,
    "low_battery_count": 0,
    "storage_full_count": 0,
    "open_command_count": 0,
}
END_USER: dict[str, Any] = {
    "id": "eu_1",
    "project_id": "proj_1",
    "external_id": "mine",
    "name": None,
    "email": None,
    "metadata": {},
    "created_at": AT,
}
RELAY_TOKEN = {"relay_token": "rtok_x", "expires_at": AT}
KEY = {
    "id": "key_1",
    "project_id": "proj_1",
    "mode": "test",
    "name": None,
    "scopes": ["devices:read"],
    "created_at": AT,
    "last_used_at": None,
}
RECORDING: dict[str, Any] = {
    "id": "rec_1",
    "project_id": "proj_1",
    "device_id": "dev_1",
    "end_user_id": "eu_1",
    "command_id": "cmd_1",
    "name": None,
    "source": "device",
    "status": "uploaded",
    "duration_ms": 1000,
    "duration_seconds": 1,
    "started_at": AT,
    "recorded_at": AT,
    "ended_at": None,
    "file_size_bytes": 10,
    "content_sha256": None,
    "content_sha256_verified_at": AT,
    "media": [],
    "metadata": {},
    "created_at": AT,
}
PLACE = {"media_id": "med_1", "content_type": "audio/ogg", "expires_at": AT}


def page(*items: object, cursor: str | None = None) -> dict[str, Any]:
    return {"data": list(items), "has_more": cursor is not None, "next_cursor": cursor}
