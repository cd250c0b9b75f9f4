"""The whole way of a recording over HTTP, with a device token and an API key."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rolltape.codes import Code
from tests.api.recordings_world import KINDS, START, World, is_error, open_world_of

SHA = hashlib.sha256(b"sound").hexdigest()


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world_of(request.param, tmp_path_factory.mktemp("http")) as opened:
        yield opened


@pytest.fixture(scope="module")
def backend(world: World) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=world.base_url, headers=world.api_key()) as client:
        yield client


@pytest.fixture(scope="module")
def device(world: World) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=world.base_url, headers=world.device_token()) as client:
        yield client


def made(answer: httpx2.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_recording_goes_all_the_way(device: httpx2.Client, backend: httpx2.Client) -> None:
    recording = made(device.post("/v1/recordings", json={"started_at": START, "from_the_future": 1}), 201)
    path = f"/v1/recordings/{recording['id']}"
    wanted = {"type": "audio", "content_type": "audio/ogg", "file_size_bytes": 5, "from_the_future": 1}
    to = made(device.post(f"{path}/upload-url", json=wanted), 201)
    assert set(to) == {"media_id", "upload_url", "content_type", "headers", "expires_at"}
    assert httpx2.put(to["upload_url"], content=b"sound", headers=to["headers"]).status_code == 200
    claim = {"content_sha256": SHA, "file_size_bytes": 5, "duration_seconds": 2, "from_the_future": 1}
    done = made(device.post(f"{path}/upload-complete", json=claim), 200)
    assert (done["status"], done["content_sha256"], done["duration_ms"]) == ("uploaded", SHA, 2000)
    assert made(backend.get(path), 200) == done
    for answer in (backend.get(f"{path}/download-url"), backend.post(f"{path}/download-url")):
        place = made(answer, 200)
        assert set(place) == {"download_url", "media_id", "content_type", "file_size_bytes", "expires_at"}
        assert httpx2.get(place["download_url"]).content == b"sound"
    listed = made(backend.get("/v1/recordings", params={"status": "uploaded"}), 200)
    assert recording["id"] in [each["id"] for each in listed["data"]]
    assert backend.delete(path).status_code == 204
    assert is_error(backend.get(path), 404, Code.NOT_FOUND)


def test_the_same_id_again_is_answered_with_200(device: httpx2.Client) -> None:
    body = {"id": "rec_" + "a" * 22, "started_at": START}
    first = made(device.post("/v1/recordings", json=body), 201)
    assert made(device.post("/v1/recordings", json=body), 200) == first


def test_a_device_may_neither_read_nor_list_nor_delete(device: httpx2.Client) -> None:
    recording = made(device.post("/v1/recordings", json={"started_at": START}), 201)
    path = f"/v1/recordings/{recording['id']}"
    for answer in (
        device.get("/v1/recordings"),
        device.get(path),
        device.delete(path),
        device.get(f"{path}/download-url"),
    ):
        assert is_error(answer, 403, Code.FORBIDDEN)


@pytest.mark.parametrize(
    "body",
    [
        {"id": "rec_short", "started_at": START},
        {"id": "rec_../../../../etc/passwd000", "started_at": START},
        {"started_at": START, "source": "tape"},
        {"started_at": START, "name": "x" * 256},
        {"started_at": START, "metadata": [1]},
        {"started_at": START, "name": "a\0b"},
        {"started_at": 17},
        {},
    ],
)
def test_a_recording_that_can_not_be_is_refused(device: httpx2.Client, body: dict[str, Any]) -> None:
    assert is_error(device.post("/v1/recordings", json=body), 400, Code.INVALID_REQUEST)


@pytest.mark.parametrize(
    ("step", "body"),
    [
        ("upload-url", {"content_type": "text/html"}),
        ("upload-url", {"content_type": "audio/ogg", "type": "video"}),
        ("upload-url", {"content_type": "audio/ogg", "file_size_bytes": 0}),
        ("upload-complete", {"content_sha256": "abc"}),
        ("upload-complete", {"content_sha256": "g" * 64}),
        ("upload-complete", {"duration_ms": -1}),
        ("upload-complete", {"file_size_bytes": 1.5}),
    ],
)
def test_bad_values_of_an_upload_are_refused(device: httpx2.Client, step: str, body: dict[str, Any]) -> None:
    recording = made(device.post("/v1/recordings", json={"started_at": START}), 201)
    answer = device.post(f"/v1/recordings/{recording['id']}/{step}", json=body)
    assert is_error(answer, 400, Code.INVALID_REQUEST)


@pytest.mark.parametrize("media", ["med_nothere", "med_", "..%2f..%2fetc", "%00", "med_" + "a" * 10_000, "med_é"])
@pytest.mark.parametrize("kind", ["uploads", "downloads"])
def test_a_path_that_is_no_media_is_refused(world: World, kind: str, media: str) -> None:
    method = "PUT" if kind == "uploads" else "GET"
    answer = httpx2.request(method, f"{world.base_url}/v1/{kind}/{media}?tenant=1&expires=9&signature=x")
    assert answer.status_code in (403, 404)
    assert answer.json()["error"]["code"] in ("forbidden", "not_found")
