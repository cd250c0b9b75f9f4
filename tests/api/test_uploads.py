"""Bytes on their way in, over real HTTP: the plain PUT, and the URL as a tus 1.0 resource."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.web import bytes_api
from rolltape.wire.recording import UploadUrl
from tests.api.recordings_world import PATCH_TYPE, TUS, World, is_error, open_world, refused

MAX = 3_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("uploads"), max_bytes=MAX) as opened:
        yield opened


def place(world: World, size: int | None = None) -> tuple[str, UploadUrl]:
    recording, _ = world.create()
    return recording.id, world.upload_url(recording.id, size=size)


def test_a_plain_put_with_the_given_headers_alone_takes_all_bytes(world: World) -> None:
    id_, to = place(world, 5)
    answer = httpx2.put(to.upload_url, content=b"sound", headers=to.headers)
    assert answer.status_code == 200
    assert answer.json() == {"media_id": to.media_id, "file_size_bytes": 5}
    assert world.complete(id_).content_sha256 == hashlib.sha256(b"sound").hexdigest()


def test_a_put_may_come_in_chunks_of_unknown_number(world: World) -> None:
    id_, to = place(world, 2_000_000)
    assert world.put(to, iter([b"x" * 500_000] * 4)).status_code == 200
    assert world.complete(id_).file_size_bytes == 2_000_000


def test_a_put_of_the_wrong_type_is_refused(world: World) -> None:
    _, to = place(world)
    for headers in ({"Content-Type": "audio/wav"}, {"Content-Type": ""}):
        assert is_error(world.put(to, b"sound", **headers), 400, Code.INVALID_REQUEST)
    assert httpx2.put(to.upload_url, content=b"sound").status_code == 400
    assert world.put(to, b"sound", **{"Content-Type": "Audio/OGG; codecs=opus"}).status_code == 200


@pytest.mark.parametrize("content", [b"", b"soun", b"sounds"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_put_of_the_wrong_length_leaves_nothing(world: World, content: bytes, chunked: bool) -> None:
    id_, to = place(world, 5)
    answer = world.put(to, iter([content]) if chunked else content)
    assert is_error(answer, 400, Code.INVALID_REQUEST)
    assert world.head(to).headers["upload-offset"] == "0"
    assert refused(lambda: world.complete(id_)).code == Code.UPLOAD_INCOMPLETE


def test_a_second_put_is_refused_once_all_bytes_are_in(world: World) -> None:
    id_, to = place(world)
    assert world.put(to, b"first").status_code == 200
    assert is_error(world.put(to, b"other"), 409, Code.UPLOAD_CONFLICT)
    world.complete(id_, content_sha256=hashlib.sha256(b"first").hexdigest())
    assert is_error(world.put(to, b"other"), 409, Code.UPLOAD_CONFLICT)
    assert is_error(world.patch(to, 5, b"x"), 409, Code.UPLOAD_CONFLICT)


def test_bytes_beyond_the_servers_limit_are_refused(world: World) -> None:
    _, to = place(world)
    assert is_error(world.put(to, b"x" * (MAX + 1)), 413, Code.PAYLOAD_TOO_LARGE)
    assert is_error(world.put(to, iter([b"x" * MAX, b"x"])), 413, Code.PAYLOAD_TOO_LARGE)
    assert is_error(world.patch(to, 0, b"x" * (MAX + 1)), 413, Code.PAYLOAD_TOO_LARGE)
    assert is_error(world.patch(to, 0, b"x", **{"Upload-Length": str(MAX + 1)}), 413, Code.PAYLOAD_TOO_LARGE)
    recording, _ = world.create()
    assert refused(lambda: world.upload_url(recording.id, size=MAX + 1)).code == Code.PAYLOAD_TOO_LARGE


def test_options_says_what_the_server_can_do(world: World) -> None:
    _, to = place(world)
    answer = httpx2.options(to.upload_url)
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(MAX)
    assert answer.headers["tus-extension"] == "creation-defer-length,expiration"


def test_a_tus_upload_goes_on_where_it_was(world: World) -> None:
    id_, to = place(world, 10)
    head = world.head(to)
    assert (head.status_code, head.headers["upload-offset"], head.headers["upload-length"]) == (200, "0", "10")
    assert head.headers["cache-control"] == "no-store"
    first = world.patch(to, 0, b"0123")
    assert (first.status_code, first.headers["upload-offset"], first.headers["tus-resumable"]) == (204, "4", "1.0.0")
    again = world.upload_url(id_, size=10)
    assert again.media_id == to.media_id
    assert world.head(again).headers["upload-offset"] == "4"
    last = world.patch(again, 4, iter([b"456", b"789"]))
    assert (last.status_code, last.headers["upload-offset"]) == (204, "10")
    assert world.patch(again, 10, b"").status_code == 204
    assert world.complete(id_).content_sha256 == hashlib.sha256(b"0123456789").hexdigest()
    assert world.head(again).headers["upload-offset"] == "10"


def test_the_length_may_come_with_a_patch(world: World) -> None:
    id_, to = place(world)
    head = world.head(to)
    assert head.headers["upload-defer-length"] == "1"
    assert "upload-length" not in head.headers
    assert world.patch(to, 0, b"0123").status_code == 204
    assert is_error(world.patch(to, 4, b"4", **{"Upload-Length": "3"}), 400, Code.INVALID_REQUEST)
    assert world.patch(to, 4, b"4", **{"Upload-Length": "6"}).status_code == 204
    assert world.head(to).headers["upload-length"] == "6"
    assert is_error(world.patch(to, 5, b"5", **{"Upload-Length": "7"}), 400, Code.INVALID_REQUEST)
    assert refused(lambda: world.complete(id_)).code == Code.UPLOAD_INCOMPLETE
    assert world.patch(to, 5, b"5").status_code == 204
    assert world.complete(id_).file_size_bytes == 6


def test_a_patch_elsewhere_than_at_the_end_is_refused(world: World) -> None:
    _, to = place(world, 10)
    world.patch(to, 0, b"0123")
    for offset in (0, 3, 5, 10, 11):
        answer = world.patch(to, offset, b"x")
        assert answer.status_code in (400, 409)
        assert world.head(to).headers["upload-offset"] == "4"
    answer = world.patch(to, 3, b"x")
    assert is_error(answer, 409, Code.UPLOAD_CONFLICT)
    assert (answer.headers["upload-offset"], answer.headers["tus-resumable"]) == ("4", "1.0.0")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_patch_beyond_the_length_is_refused(world: World, chunked: bool) -> None:
    _, to = place(world, 5)
    assert is_error(world.patch(to, 0, iter([b"sou", b"nds"]) if chunked else b"sounds"), 400, Code.INVALID_REQUEST)
    assert int(world.head(to).headers["upload-offset"]) <= 5


def test_tus_wants_its_own_headers(world: World) -> None:
    _, to = place(world, 5)
    for answer in (
        httpx2.patch(to.upload_url, content=b"s", headers={**PATCH_TYPE, "Upload-Offset": "0"}),
        world.patch(to, 0, b"s", **{"Tus-Resumable": "0.2.2"}),
    ):
        assert is_error(answer, 412, Code.PRECONDITION_FAILED)
        assert answer.headers["tus-version"] == "1.0.0"
    assert httpx2.head(to.upload_url).status_code == 412
    assert is_error(world.patch(to, 0, b"s", **{"Content-Type": "audio/ogg"}), 415, Code.UNSUPPORTED_MEDIA_TYPE)
    assert httpx2.patch(to.upload_url, content=b"s", headers={**TUS, **PATCH_TYPE}).status_code == 400
    for wrong in (b"-1", b"x", b"1.5", b"9" * 40, "٣".encode()):
        sent = {name.encode(): value.encode() for name, value in {**TUS, **PATCH_TYPE}.items()}
        answer = httpx2.patch(to.upload_url, content=b"s", headers={**sent, b"Upload-Offset": wrong})
        assert is_error(answer, 400, Code.INVALID_REQUEST)


def send_part(to: UploadUrl, head: str, body: bytes) -> None:
    """Begins a request, sends a part of its body, and hangs up."""
    url = urlsplit(to.upload_url)
    assert url.hostname
    with socket.create_connection((url.hostname, url.port or 80)) as line:
        line.sendall(head.format(target=f"{url.path}?{url.query}", host=url.netloc).encode() + body)


PATCH_HEAD = (
    "PATCH {target} HTTP/1.1\r\nHost: {host}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
    "Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n"
)
PUT_HEAD = "PUT {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: audio/ogg\r\nContent-Length: 1000000\r\n\r\n"


def offset_when_free(world: World, to: UploadUrl) -> int:
    """Where the upload is, once nobody writes it."""

    async def free() -> None:
        async with world.app.blobs.hold(to.media_id, wait=20):
            pass

    world.run(free())
    return int(world.head(to).headers["upload-offset"])


def test_a_patch_that_breaks_off_keeps_the_bytes_that_came(world: World) -> None:
    _, to = place(world, 1_000_000)
    send_part(to, PATCH_HEAD, b"x" * 300_000)
    for _ in range(5000):  # looked at without holding it: what comes while somebody holds it is told to come again
        if int(world.head(to).headers["upload-offset"]):
            break
    offset = offset_when_free(world, to)
    assert 0 < offset <= 300_000
    assert world.patch(to, offset, b"x" * (1_000_000 - offset)).status_code == 204


def test_a_put_that_breaks_off_leaves_the_tus_prefix_alone(world: World) -> None:
    _, to = place(world, 1_000_000)
    assert world.patch(to, 0, b"prefix").status_code == 204
    send_part(to, PUT_HEAD, b"x" * 300_000)
    assert offset_when_free(world, to) == 6


def test_a_client_that_falls_silent_lets_go_and_its_bytes_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_api, "IDLE_SECONDS", 0.05)
    _, to = place(world, 1_000_000)
    url = urlsplit(to.upload_url)
    with socket.create_connection((url.hostname or "", url.port or 80), timeout=20) as line:
        head = PATCH_HEAD.format(target=f"{url.path}?{url.query}", host=url.netloc)
        line.sendall(head.encode() + b"x" * 1000)
        answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"tus-resumable: 1.0.0" in answer
    assert world.head(to).headers["upload-offset"] == "1000"
    monkeypatch.undo()
    assert world.patch(to, 1000, b"x" * 999_000).status_code == 204


def test_a_second_writer_is_refused_while_the_first_is_at_it(world: World) -> None:
    _, to = place(world, 1_000_000)

    async def meanwhile() -> tuple[httpx2.Response, ...]:
        async with world.app.blobs.hold(to.media_id), httpx2.AsyncClient() as client:
            tus = {**TUS, **PATCH_TYPE, "Upload-Offset": "0"}
            return (
                await client.put(to.upload_url, content=b"x", headers=to.headers),
                await client.patch(to.upload_url, content=b"x", headers=tus),
                await client.head(to.upload_url, headers=TUS),
            )

    put, patch, head = world.run(meanwhile())
    assert is_error(put, 409, Code.UPLOAD_CONFLICT)
    assert is_error(patch, 409, Code.UPLOAD_CONFLICT)
    assert head.status_code == 200
    assert world.patch(to, 0, b"x").status_code == 204


def test_a_url_that_was_changed_or_is_over_is_refused(world: World) -> None:
    _, to = place(world)
    for url in (to.upload_url[:-1] + ("A" if to.upload_url[-1] != "A" else "B"), to.upload_url.split("?")[0]):
        assert is_error(httpx2.put(url, content=b"x", headers=to.headers), 403, Code.FORBIDDEN)
        assert httpx2.head(url, headers=TUS).status_code == 403
    down = to.upload_url.replace("/uploads/", "/downloads/")
    assert is_error(httpx2.get(down), 403, Code.FORBIDDEN)
    other = to.upload_url.replace(to.media_id, to.media_id[:-1] + "_")
    assert is_error(httpx2.put(other, content=b"x", headers=to.headers), 404, Code.NOT_FOUND)
    world.clock.ahead_ms += 3_600_001
    try:
        answer = world.put(to, b"x")
    finally:
        world.clock.ahead_ms -= 3_600_001
    assert is_error(answer, 403, Code.FORBIDDEN)
    assert "upload-url" in answer.json()["error"]["message"]


def test_an_upload_whose_recording_is_gone_is_not_found(world: World) -> None:
    id_, to = place(world)
    world.patch(to, 0, b"prefix")
    world.delete(id_)
    assert is_error(world.put(to, b"sound"), 404, Code.NOT_FOUND)
    assert world.head(to).status_code == 404
    assert is_error(world.patch(to, 0, b"x"), 404, Code.NOT_FOUND)
    assert not [name for name in world.files() if name.startswith(to.media_id)]


def test_a_full_disk_says_when_to_come_back(tmp_path: Path) -> None:
    with open_world(tmp_path, reserve_bytes=2**60) as full:
        _, to = place(full)
        for answer in (full.put(to, b"x"), full.patch(to, 0, b"x")):
            assert is_error(answer, 503, Code.UNAVAILABLE)
            assert int(answer.headers["retry-after"]) > 0
