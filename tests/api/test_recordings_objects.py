"""Recordings whose bytes are in an object store, a real one: what is other than with a folder, and what goes wrong."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from rolltape.clock import machine_ms
from rolltape.codes import Code
from rolltape.domain.recordings import RecordingRow
from rolltape.service import recordings
from rolltape.store.inputs import Position
from rolltape.store.object_blobs import ObjectBlobs
from rolltape.store.recordings import RecordingFilter
from rolltape.wire.recording import Recording, UploadComplete, UploadUrl
from rolltape.wire.times import parse
from tests.api.recordings_world import START, TUS, World, is_error, open_world, open_world_of, refused
from tests.s3_server import S3Server, needs_weed, objects_under

pytestmark = needs_weed
SHA = hashlib.sha256(b"sound").hexdigest()
DAY_MS = 86_400_000
MAX = 1_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("objects")
    with open_world(folder, max_bytes=MAX, blobs=objects_under("objects", max_bytes=MAX)) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    with open_world_of("objects", tmp_path) as opened:
        yield opened


def announced(world: World, size: int | None = None) -> tuple[Recording, UploadUrl]:
    recording, _ = world.create()
    return recording, world.upload_url(recording.id, size=size)


def objects_of(world: World) -> list[str]:
    """The first part of the key of every object, marks too."""
    assert isinstance(world.app.blobs, ObjectBlobs)
    calls = world.app.blobs.calls
    media = [one.media_id for one in world.run(_rows(world)) if one.media_id]
    folders = ["incoming", "checking", "done", "gone", *{id_[-2:] for id_ in media}]
    found = [world.run(calls.listed(folder)) for folder in folders]
    return sorted({one.key.split("/")[0] if one.key[2] != "/" else "whole" for each in found for one in each})


async def _rows(world: World) -> list[RecordingRow]:
    return await world.app.store.list_recordings(world.tenant.n, RecordingFilter(), Position(2**62, 100))


def test_the_url_is_the_stores_own_for_an_hour(world: World) -> None:
    before = world.now
    recording, to = announced(world)
    query = parse_qs(urlsplit(to.upload_url).query)
    assert not to.upload_url.startswith(world.base_url)
    assert query["X-Amz-Expires"] == ["3600"]
    assert before + 3_599_000 <= parse(to.expires_at) <= world.now + 3_600_000
    assert to.headers == {
        "Content-Type": "audio/ogg",
        "Content-Disposition": f'attachment; filename="{recording.id}.ogg"',
    }


def test_a_download_comes_from_the_store_with_type_name_and_ranges(world: World) -> None:
    recording = world.uploaded(b"sound")
    url = world.download_url(recording.id)
    assert not url.startswith(world.base_url)
    answer = httpx2.get(url, headers={"Range": "bytes=1-2"})
    assert (answer.status_code, answer.content) == (206, b"ou")
    assert answer.headers["content-type"] == "audio/ogg"
    assert answer.headers["content-disposition"] == f'attachment; filename="{recording.id}.ogg"'


def test_asked_again_the_bytes_stay_and_the_url_is_fresh(world: World) -> None:
    recording, first = announced(world, 5)
    world.put(first, b"sound")
    second = world.upload_url(recording.id, size=5)
    assert second.media_id == first.media_id
    assert world.complete(recording.id, content_sha256=SHA).status == "uploaded"


def test_type_and_size_may_change_only_while_no_bytes_are_in(world: World) -> None:
    recording, _ = announced(world, 7)
    to = world.upload_url(recording.id, kind="audio/flac", size=5)
    assert to.headers["Content-Type"] == "audio/flac"
    world.put(to, b"sound")
    for kind, size in (("audio/wav", 5), ("audio/flac", 6), ("audio/flac", 1)):
        problem = refused(lambda kind=kind, size=size: world.upload_url(recording.id, kind=kind, size=size))
        assert problem.code == Code.UPLOAD_CONFLICT


def test_fewer_bytes_than_announced_are_incomplete_until_all_are_sent(world: World) -> None:
    recording, to = announced(world, 5)
    world.put(to, b"soun")
    problem = refused(lambda: world.complete(recording.id))
    assert (problem.code, problem.details) == (Code.UPLOAD_INCOMPLETE, {"status": "pending", "file_size_bytes": 4})
    world.put(to, b"sound")
    assert world.complete(recording.id, content_sha256=SHA).status == "uploaded"


def test_more_bytes_than_announced_fail_and_are_kept_until_others_come(world: World) -> None:
    recording, to = announced(world, 5)
    world.put(to, b"sounds")
    problem = refused(lambda: world.complete(recording.id))
    assert problem.code == Code.INTEGRITY_FAILURE
    assert problem.details is not None
    assert problem.details["content_sha256"] == hashlib.sha256(b"sounds").hexdigest()
    world.put(to, b"sound")
    assert world.complete(recording.id).status == "uploaded"


def test_bytes_beyond_the_servers_limit_are_refused(world: World) -> None:
    recording, to = announced(world)
    world.put(to, b"x" * (MAX + 1))
    problem = refused(lambda: world.complete(recording.id))
    assert (problem.code, problem.details) == (Code.PAYLOAD_TOO_LARGE, {"limit_bytes": MAX})
    assert refused(lambda: world.upload_url(recording.id, size=MAX + 1)).code == Code.PAYLOAD_TOO_LARGE
    world.put(to, b"sound")
    assert world.complete(recording.id, content_sha256=SHA).status == "uploaded"


def test_a_url_that_outlives_the_completion_can_not_change_the_recording(fresh: World) -> None:
    recording, to = announced(fresh)
    fresh.put(to, b"sound")
    fresh.complete(recording.id, content_sha256=SHA)
    assert objects_of(fresh) == ["done", "whole"]
    fresh.put(to, b"noise")
    assert httpx2.get(fresh.download_url(recording.id)).content == b"sound"
    assert fresh.complete(recording.id, content_sha256=SHA).status == "uploaded"
    assert fresh.run(recordings.sweep_late_bytes(fresh.app, machine_ms() + 2 * DAY_MS)) == 1
    assert objects_of(fresh) == ["whole"]


def test_a_failed_check_leaves_no_copy_behind(fresh: World) -> None:
    recording, to = announced(fresh)
    fresh.put(to, b"noise")
    assert refused(lambda: fresh.complete(recording.id, content_sha256=SHA)).code == Code.INTEGRITY_FAILURE
    assert objects_of(fresh) == ["incoming"]


def test_a_deletion_takes_the_bytes_and_what_still_comes(fresh: World) -> None:
    recording, to = announced(fresh)
    fresh.put(to, b"sound")
    fresh.complete(recording.id)
    url = fresh.download_url(recording.id)
    fresh.delete(recording.id)
    assert httpx2.get(url).status_code == 404
    assert fresh.run(recordings.sweep_deleted_bytes(fresh.app)) == 0
    fresh.put(to, b"noise")
    assert objects_of(fresh) == ["gone", "incoming"]
    fresh.run(recordings.sweep_late_bytes(fresh.app, machine_ms() + 2 * DAY_MS))
    assert objects_of(fresh) == []


def test_two_completions_at_once_are_one(fresh: World) -> None:
    recording, to = announced(fresh)
    fresh.put(to, b"sound")

    async def both() -> list[Recording]:
        body = UploadComplete(content_sha256=SHA)
        who = fresh.device()
        calls = (recordings.complete_upload(fresh.app, who, recording.id, body, now=fresh.now) for _ in range(2))
        return list(await asyncio.gather(*calls))

    first, second = fresh.run(both())
    assert first == second
    assert fresh.event_types() == ["recording.created", "recording.uploaded"]
    assert objects_of(fresh) == ["done", "whole"]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("PUT", "uploads", {"Content-Type": "audio/ogg"}),
        ("HEAD", "uploads", TUS),
        ("PATCH", "uploads", TUS),
        ("GET", "downloads", {}),
    ],
)
def test_no_bytes_pass_through_this_server(world: World, method: str, path: str, headers: dict[str, str]) -> None:
    _, to = announced(world)
    url = f"{world.base_url}/v1/{path}/{to.media_id}?tenant=1&expires=9999999999&signature=x"
    answer = httpx2.request(method, url, headers=headers)
    assert answer.status_code == 404
    if method != "HEAD":
        assert is_error(answer, 404, Code.NOT_FOUND)
        assert "fresh URL" in answer.json()["error"]["message"]


def test_a_store_that_is_down_loses_nothing(tmp_path: Path) -> None:
    server = S3Server()
    try:
        with open_world(tmp_path, blobs=objects_under("down", server=server)) as world:
            waits, to = announced(world)
            world.put(to, b"sound")
            goes = world.uploaded(b"goes")
            with httpx2.Client(base_url=world.base_url, headers=world.api_key(), timeout=30) as client:
                server.kill()
                _while_it_is_down(client, waits, goes)
                server.start()
                assert world.get(waits.id).status == "pending"
                assert client.post(
                    f"/v1/recordings/{waits.id}/upload-complete", json={"content_sha256": SHA}
                ).is_success
                assert httpx2.get(world.download_url(waits.id)).content == b"sound"
                assert world.run(recordings.sweep_deleted_bytes(world.app)) == 1
    finally:
        server.end()


def _while_it_is_down(client: httpx2.Client, waits: Recording, goes: Recording) -> None:
    for call in ("upload-complete", "upload-url"):
        body = {} if call == "upload-complete" else {"content_type": "audio/wav"}
        answer = client.post(f"/v1/recordings/{waits.id}/{call}", json=body)
        assert is_error(answer, 503, Code.UNAVAILABLE)
        assert int(answer.headers["retry-after"]) > 0
    # What needs no store goes on: links are made here, and facts are in the database.
    assert client.post(f"/v1/recordings/{waits.id}/upload-url", json={"content_type": "audio/ogg"}).status_code == 201
    assert client.post("/v1/recordings", json={"started_at": START, "end_user_id": waits.end_user_id}).is_success
    assert client.delete(f"/v1/recordings/{goes.id}").status_code == 204
