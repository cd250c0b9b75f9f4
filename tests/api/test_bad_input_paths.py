"""Where nothing is: ids of the wrong kind, paths that climb, methods that are not there, and what is hardly HTTP."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from rolltape.codes import Code
from rolltape.web.operation import Operation
from rolltape.web.table import OPERATIONS
from tests.api.web_world import WebWorld, body_of, is_refused, named, one_of_each, open_web, raw


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture(scope="module")
def ids(world: WebWorld) -> dict[str, str]:
    return one_of_each(world)


WRONG_IDS = [
    "x",
    "dev",
    "dev_",
    "_",
    "dev_%20",
    "dev_%00",
    "dev_a-b",
    "dev_%C3%A9",
    "DEV_1",
    "..",
    "%2e%2e",
    "dev_x%2f",
]
WRONG_IDS += ["dev_" + "a" * 65, "a" * 10_000, "evt_1"]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.params], ids=named)
def test_an_id_of_the_wrong_kind_is_not_there(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    known = {**ids, "media_id": "med_1"}
    for param in op.params:
        for wrong in WRONG_IDS:
            status, _, _ = raw_call(world, op, op.path.format(**{**known, param: wrong}), body_of(op, ids))
            assert status == (404 if op.scope or op.public or "%2f" in wrong else 403), wrong


def raw_call(world: WebWorld, op: Operation, target: str, parts: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps(parts["json"]).encode() if parts else b""
    head = (
        f"{op.method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {world.key}\r\nTus-Resumable: 1.0.0\r\n\r\n"
    )
    return raw(world, head.encode() + body)


def raw_get(world: WebWorld, target: str) -> tuple[int, dict[str, str], bytes]:
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {world.key}\r\n\r\n"
    return raw(world, head.encode("latin-1"))


@pytest.mark.parametrize(
    "target",
    [
        "/v1/devices/../keys",
        "/v1/devices/%2e%2e/keys",
        "/v1/devices/..%2fkeys",
        "/v1/devices%2Fstats",
        "/v1/./devices",
        "//v1/devices",
        "/v1/devices/",
        "/v1/devices/stats/",
        "/v1/devices/%00",
        "/V1/devices",
        "/v1",
        "/",
        "/nowhere",
        "/v1/devices/dev_1%2F..%2Fdev_2",
        "/health/",
        "/../etc/passwd",
        "/v1/" + "a/" * 2000,
        "/" + "a" * 10000,
    ],
)
def test_a_path_that_climbs_or_is_not_there_is_404_without_a_redirect(world: WebWorld, target: str) -> None:
    status, headers, body = raw_get(world, target)
    assert status == 404
    assert json.loads(body)["error"]["code"] == "not_found"
    assert json.loads(body)["error"]["request_id"] == headers["x-request-id"]
    assert "location" not in headers


@pytest.mark.parametrize("path", sorted({op.path for op in OPERATIONS}))
def test_another_method_is_405_and_says_which_there_are(world: WebWorld, ids: dict[str, str], path: str) -> None:
    known = path.format(**ids, media_id="med_1")
    there = {op.method for op in OPERATIONS if op.path == path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} - there:
        if method == "BREW":
            continue
        answer = world.call(method, known)
        assert is_refused(answer, 405, Code.METHOD_NOT_ALLOWED)
        allowed = set(answer.headers["allow"].split(", "))
        assert there <= allowed <= there | {"HEAD"}


def test_a_client_that_leaves_in_the_middle_of_its_body_does_no_harm(
    world: WebWorld, ids: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    parts = urlsplit(world.base_url)
    for sent in (b"", b"{", b'{"type":"start_rec'):
        with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as connection:
            head = (
                f"POST /v1/devices/{ids['device_id']}/commands HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {world.key}\r\nContent-Length: 500\r\n\r\n"
            )
            connection.sendall(head.encode() + sent)
    assert world.call("GET", "/health", "").status_code == 200
    assert not caplog.records


def test_a_sane_request_id_is_echoed_and_another_is_replaced(world: WebWorld) -> None:
    for asked in ("a", "A-b_c.9", "x" * 128):
        answer = world.call("GET", "/v1/nowhere", headers={"X-Request-Id": asked})
        assert answer.headers["x-request-id"] == asked
        assert answer.json()["error"]["request_id"] == asked
    for odd in (b"", b"x" * 129, b"a b", b"<script>", b"\xff", b"a/b"):
        answer = world.call("GET", "/health", "", headers={"X-Request-Id": odd})
        assert answer.headers["x-request-id"].startswith("req_")
    ids = {world.call("GET", "/health", "").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


@pytest.mark.parametrize("host", ["evil.example/path", "a b", "x@y", "<x>", ""])
def test_a_host_that_is_none_never_gets_into_a_signed_url(world: WebWorld, ids: dict[str, str], host: str) -> None:
    body = b'{"content_type":"audio/ogg"}'
    head = (
        f"POST /v1/recordings/{ids['recording_id']}/upload-url HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        f"Authorization: Bearer {world.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    status, _, answer = raw(world, head.encode() + body)
    assert status in (201, 400)
    assert status == 400 or json.loads(answer)["upload_url"].startswith(world.base_url + "/v1/uploads/")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1/devices/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://elsewhere/health2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
        b"GET /nowhere HTTP/1.0\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
        b"BREW /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_hardly_http_is_a_4xx(world: WebWorld, request_bytes: bytes) -> None:
    status, _, _ = raw(world, request_bytes)
    assert 400 <= status < 500
