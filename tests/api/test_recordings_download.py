"""Bytes on their way out, over real HTTP: signed, ranged, and never more than was asked for."""

import hashlib
import os
from collections.abc import Iterator

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.wire.recording import Recording
from tests.api.recordings_world import World, is_error, open_world

DATA = os.urandom(700_001)
ETAG = f'"{hashlib.sha256(DATA).hexdigest()}"'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("downloads")) as opened:
        yield opened


@pytest.fixture(scope="module")
def recording(world: World) -> Recording:
    return world.uploaded(DATA)


@pytest.fixture
def url(world: World, recording: Recording) -> str:
    return world.download_url(recording.id)


def test_a_download_gives_the_bytes_with_what_a_browser_needs_to_be_safe(url: str, recording: Recording) -> None:
    answer = httpx2.get(url)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == "audio/ogg"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["etag"] == ETAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'attachment; filename="{recording.id}.ogg"'
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=700000-", 700_000, 700_001),
        ("bytes=0-", 0, 700_001),
        ("bytes=-7", 699_994, 700_001),
        ("bytes=-9999999", 0, 700_001),
        ("bytes=600000-9999999", 600_000, 700_001),
        ("Bytes= 10-20", 10, 21),
    ],
)
def test_a_range_is_answered_with_those_bytes(url: str, asked: str, start: int, stop: int) -> None:
    answer = httpx2.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, DATA[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=700001-", "bytes=700001-800000", "bytes=-0", "bytes=999999999999999999-"])
def test_a_range_after_the_end_is_refused_with_the_size(url: str, asked: str) -> None:
    answer = httpx2.get(url, headers={"Range": asked})
    assert is_error(answer, 416, Code.RANGE_NOT_SATISFIABLE)
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=-", "bytes=a-b", "items=0-5", "bytes=0-1,5-6", "bytes=" + "9" * 40 + "-", "x" * 5000]
)
def test_what_is_no_single_range_is_ignored(url: str, asked: str) -> None:
    answer = httpx2.get(url, headers={"Range": asked})
    assert (answer.status_code, len(answer.content)) == (200, len(DATA))


def test_a_range_goes_on_only_with_the_same_bytes(url: str) -> None:
    asked = {"Range": "bytes=5-9"}
    assert httpx2.get(url, headers={**asked, "If-Range": ETAG}).status_code == 206
    for other in ('"other"', f"W/{ETAG}", "Sat, 01 Jan 2026 00:00:00 GMT"):
        assert httpx2.get(url, headers={**asked, "If-Range": other}).status_code == 200


def test_bytes_that_are_known_are_not_sent_again(url: str) -> None:
    for known in (ETAG, f'"x", {ETAG}', f"W/{ETAG}", "*"):
        answer = httpx2.get(url, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert httpx2.get(url, headers={"If-None-Match": '"x"'}).status_code == 200


def test_head_tells_the_length_without_the_bytes(url: str) -> None:
    answer = httpx2.head(url, headers={"Range": "bytes=0-5"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(DATA))


def test_a_url_that_was_changed_or_is_over_is_refused(world: World, url: str) -> None:
    assert is_error(httpx2.get(url.split("?", maxsplit=1)[0]), 403, Code.FORBIDDEN)
    up = url.replace("/downloads/", "/uploads/")
    assert is_error(httpx2.put(up, content=b"x", headers={"Content-Type": "audio/ogg"}), 403, Code.FORBIDDEN)
    world.clock.ahead_ms += 3_600_001
    try:
        answer = httpx2.get(url)
    finally:
        world.clock.ahead_ms -= 3_600_001
    assert is_error(answer, 403, Code.FORBIDDEN)
    assert "download-url" in answer.json()["error"]["message"]


def test_a_download_ends_with_its_recording(world: World) -> None:
    recording = world.uploaded(b"sound")
    url = world.download_url(recording.id)
    assert httpx2.get(url).content == b"sound"
    world.delete(recording.id)
    assert is_error(httpx2.get(url), 404, Code.NOT_FOUND)


def test_a_client_that_hangs_up_midway_harms_nobody(world: World, url: str) -> None:
    with httpx2.stream("GET", url) as answer:
        next(answer.iter_bytes(1000))
    assert httpx2.get(url).content == DATA
