"""Completion of a recording: what is computed, what is checked, and how a wrong claim is mended."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rolltape.codes import Code
from tests.api.recordings_world import KINDS, START, World, open_world, open_world_of, refused

SHA = hashlib.sha256(b"sound").hexdigest()


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world_of(request.param, tmp_path_factory.mktemp("recordings")) as opened:
        yield opened


@pytest.fixture(scope="module")
def tus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("tus")) as opened:
        yield opened


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with open_world_of(request.param, tmp_path) as opened:
        yield opened


def test_nothing_goes_on_after_completion(world: World) -> None:
    recording = world.uploaded(b"sound")
    problem = refused(lambda: world.upload_url(recording.id))
    assert (problem.code, problem.details) == (Code.UPLOAD_CONFLICT, {"status": "uploaded"})


def test_completion_fills_in_what_is_known(world: World) -> None:
    recording, _ = world.create()
    world.put(world.upload_url(recording.id, size=5), b"sound")
    done = world.complete(
        recording.id,
        content_sha256=SHA.upper(),
        file_size_bytes=5,
        duration_ms=12_600,
        duration_seconds=13,
        ended_at="2026-01-02T03:04:18.278Z",
    )
    assert (done.status, done.content_sha256, done.file_size_bytes) == ("uploaded", SHA, 5)
    assert (done.duration_ms, done.duration_seconds, done.ended_at) == (12_600, 13, "2026-01-02T03:04:18.278Z")
    assert done.content_sha256_verified_at is not None
    (media,) = done.media
    assert (media.mime_type, media.file_size_bytes, media.content_sha256, media.status) == (
        "audio/ogg",
        5,
        SHA,
        "uploaded",
    )


def test_the_hash_is_computed_also_when_nothing_is_claimed(world: World) -> None:
    recording, _ = world.create()
    world.put(world.upload_url(recording.id), b"sound")
    assert world.complete(recording.id).content_sha256 == SHA


def test_the_same_completion_again_is_fine_and_another_is_a_conflict(fresh: World) -> None:
    recording, _ = fresh.create()
    fresh.put(fresh.upload_url(recording.id), b"sound")
    claim = {"content_sha256": SHA, "file_size_bytes": 5, "duration_ms": 1000}
    first = fresh.complete(recording.id, **claim)
    assert fresh.complete(recording.id, **claim) == first
    assert fresh.complete(recording.id) == first
    for other in ({"content_sha256": "0" * 64}, {"file_size_bytes": 6}, {"duration_ms": 1}, {"ended_at": START}):
        assert refused(lambda other=other: fresh.complete(recording.id, **other)).code == Code.UPLOAD_CONFLICT
    assert fresh.get(recording.id) == first
    assert fresh.event_types() == ["recording.created", "recording.uploaded"]


@pytest.mark.parametrize("wrong", [{"content_sha256": "0" * 64}, {"file_size_bytes": 4}])
def test_a_wrong_claim_is_kept_apart_and_a_right_one_mends_it(world: World, wrong: dict[str, object]) -> None:
    recording, _ = world.create()
    world.put(world.upload_url(recording.id), b"sound")
    problem = refused(lambda: world.complete(recording.id, **wrong))
    assert problem.code == Code.INTEGRITY_FAILURE
    assert problem.details == {"status": "integrity_failure", "file_size_bytes": 5, "content_sha256": SHA}
    kept = world.get(recording.id)
    assert (kept.status, kept.media[0].status, kept.content_sha256) == ("integrity_failure", "integrity_failure", None)
    assert world.complete(recording.id, content_sha256=SHA, file_size_bytes=5).status == "uploaded"


def test_more_than_the_whole_that_was_put_is_a_wrong_claim(tus: World) -> None:
    recording, _ = tus.create()
    tus.put(tus.upload_url(recording.id), b"sound")
    assert refused(lambda: tus.complete(recording.id, file_size_bytes=6)).code == Code.INTEGRITY_FAILURE


def test_other_bytes_may_replace_those_that_failed(world: World) -> None:
    recording, _ = world.create()
    world.put(world.upload_url(recording.id, size=5), b"noise")
    assert refused(lambda: world.complete(recording.id, content_sha256=SHA)).code == Code.INTEGRITY_FAILURE
    assert world.put(world.upload_url(recording.id, size=5), b"sound").status_code == 200
    assert world.complete(recording.id, content_sha256=SHA).status == "uploaded"


def test_other_bytes_may_replace_those_that_failed_by_tus(tus: World) -> None:
    recording, _ = tus.create()
    tus.put(tus.upload_url(recording.id, size=5), b"noise")
    assert refused(lambda: tus.complete(recording.id, content_sha256=SHA)).code == Code.INTEGRITY_FAILURE
    to = tus.upload_url(recording.id, size=5)
    assert tus.patch(to, 0, b"so").status_code == 204
    assert refused(lambda: tus.complete(recording.id, content_sha256=SHA)).code == Code.UPLOAD_INCOMPLETE
    assert tus.patch(to, 2, b"und").status_code == 204
    assert tus.complete(recording.id, content_sha256=SHA).status == "uploaded"


def test_nothing_is_incomplete(world: World) -> None:
    recording, _ = world.create()
    assert refused(lambda: world.complete(recording.id)).code == Code.UPLOAD_INCOMPLETE
    world.upload_url(recording.id)
    problem = refused(lambda: world.complete(recording.id))
    assert (problem.code, problem.details) == (Code.UPLOAD_INCOMPLETE, {"status": "pending", "file_size_bytes": 0})


def test_too_little_is_incomplete(tus: World) -> None:
    recording, _ = tus.create()
    to = tus.upload_url(recording.id)
    tus.patch(to, 0, b"soun")
    problem = refused(lambda: tus.complete(recording.id, file_size_bytes=5))
    assert (problem.code, problem.details) == (Code.UPLOAD_INCOMPLETE, {"status": "pending", "file_size_bytes": 4})
    tus.patch(to, 4, b"d")
    assert tus.complete(recording.id, file_size_bytes=5, content_sha256=SHA).status == "uploaded"


@pytest.mark.parametrize(
    ("claim", "param"),
    [
        ({"duration_ms": 1000, "duration_seconds": 3}, "duration_seconds"),
        ({"ended_at": "2026-01-02T03:04:05Z"}, "ended_at"),
        ({"ended_at": "soon"}, "ended_at"),
    ],
)
def test_a_claim_that_can_not_be_is_refused(world: World, claim: dict[str, object], param: str) -> None:
    recording, _ = world.create()
    problem = refused(lambda: world.complete(recording.id, **claim))
    assert (problem.code, problem.param) == (Code.INVALID_REQUEST, param)
