"""Recordings: who may create which, whose they are, and what becomes of them."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.domain.principal import KeyPrincipal
from rolltape.service import recordings
from rolltape.store.inputs import StateDelta
from rolltape.wire.ids import new_id
from rolltape.wire.recording import CreateRecording, Recording, UploadComplete
from tests.api.recordings_world import START, World, open_world, refused

SHA = hashlib.sha256(b"sound").hexdigest()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("recordings")) as opened:
        yield opened


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as opened:
        yield opened


def rec_id(world: World) -> str:
    return new_id("rec", world.now)


def test_a_device_token_fills_in_device_end_user_and_source(world: World) -> None:
    recording, created = world.create(name="Ward round", metadata={"room": 4})
    assert created
    assert (recording.device_id, recording.end_user_id) == (world.devices[0], world.users[0])
    assert (recording.source, recording.status, recording.media) == ("device", "pending", [])
    assert recording.started_at == recording.recorded_at == START
    assert recording.metadata == {"room": 4}
    assert recording.project_id == world.tenant.project_id


def test_the_same_id_again_is_answered_with_the_recording_as_it_is(world: World) -> None:
    id_ = rec_id(world)
    first, created = world.create(id=id_, name="first")
    again, created_again = world.create(id=id_, name="second", started_at="2026-02-02T00:00:00Z")
    assert (created, created_again) == (True, False)
    assert again == first
    assert world.create(world.key, id=id_) == (first, False)


def test_another_devices_id_is_a_conflict(world: World) -> None:
    id_ = rec_id(world)
    world.create(id=id_)
    assert refused(lambda: world.create(world.device(1), id=id_)).code == Code.ID_CONFLICT
    assert refused(lambda: world.create(world.key, id=id_, device_id=world.devices[1])).code == Code.ID_CONFLICT
    other = KeyPrincipal(world.other_mode, "key_2", frozenset())
    assert refused(lambda: world.create(other, id=id_)).code == Code.ID_CONFLICT


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"started_at": None}, "started_at"),
        ({"started_at": "yesterday"}, "started_at"),
        ({"started_at": "2026-01-02T03:04:05"}, "started_at"),
        ({"recorded_at": "2026-01-02T03:04:06Z"}, "recorded_at"),
        ({"ended_at": "2026-01-02T03:04:05.677Z"}, "ended_at"),
        ({"metadata": {"x": "y" * 17_000}}, "metadata"),
        ({"binding_generation": 99}, "binding_generation"),
        ({"device_id": "dev_other"}, "device_id"),
        ({"end_user_id": "eu_other"}, "end_user_id"),
    ],
)
def test_what_can_not_be_is_refused_by_name(world: World, fields: dict[str, Any], param: str) -> None:
    problem = refused(lambda: world.create(**fields))
    assert (problem.code, problem.param) == (Code.INVALID_REQUEST, param)


def test_recorded_at_is_another_name_for_started_at(world: World) -> None:
    recording, _ = world.create(started_at=None, recorded_at="2026-01-02T04:04:05.678+01:00")
    assert recording.started_at == START
    assert world.create(recorded_at=START)[0].started_at == START


def test_a_commands_metadata_ends_up_on_the_recording_and_never_in_an_answer_to_a_device(world: World) -> None:
    command_id = world.command(0, {"metadata": {"case": 17, "room": "backend"}, "max_duration_sec": 5})
    seen_by_device, _ = world.create(command_id=command_id, metadata={"room": "device"})
    assert seen_by_device.metadata == {"room": "device"}
    assert seen_by_device.command_id == command_id
    assert world.get(seen_by_device.id).metadata == {"case": 17, "room": "device"}
    world.put(world.upload_url(seen_by_device.id), b"sound")
    assert world.complete(seen_by_device.id).metadata == {"room": "device"}


def test_a_command_that_is_not_the_devices_is_not_found(world: World) -> None:
    command_id = world.command(0, {})
    for who, fields in (
        (world.device(), {"command_id": "cmd_nowhere"}),
        (world.key, {"command_id": command_id, "device_id": world.devices[1]}),
        (KeyPrincipal(world.other_mode, "key_2", frozenset()), {"command_id": command_id}),
    ):
        problem = refused(lambda who=who, fields=fields: world.create(who, **fields))
        assert (problem.code, problem.param) == (Code.NOT_FOUND, "command_id")
    problem = refused(lambda: world.create(command_id=command_id, binding_generation=7))
    assert (problem.code, problem.param) == (Code.INVALID_REQUEST, "binding_generation")


def test_a_key_may_record_for_an_end_user_or_for_a_device(world: World) -> None:
    recording, _ = world.create(world.key, end_user_id=world.users[1])
    assert (recording.device_id, recording.end_user_id, recording.source) == (None, world.users[1], "api_upload")
    assert world.create(world.key, device_id=world.devices[0])[0].end_user_id == world.users[0]
    by_command, _ = world.create(world.key, command_id=world.command(0, {}), source="app_import")
    assert (by_command.device_id, by_command.source) == (world.devices[0], "app_import")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({}, Code.INVALID_REQUEST, "end_user_id"),
        ({"end_user_id": "eu_nobody"}, Code.NOT_FOUND, "end_user_id"),
        ({"device_id": "dev_nobody"}, Code.NOT_FOUND, "device_id"),
        ({"binding_generation": 1}, Code.INVALID_REQUEST, "binding_generation"),
    ],
)
def test_a_key_must_say_whose_recording_it_is(world: World, fields: dict[str, Any], code: Code, param: str) -> None:
    problem = refused(lambda: world.create(world.key, **fields))
    assert (problem.code, problem.param) == (code, param)


def test_a_recording_belongs_to_who_was_bound_when_it_began(fresh: World) -> None:
    fresh.unbind(0)
    fresh.bind(0, 1)
    now_bound = fresh.device(generation=2)
    assert fresh.create(now_bound)[0].end_user_id == fresh.users[1]
    assert fresh.create(now_bound, binding_generation=1)[0].end_user_id == fresh.users[0]
    assert fresh.create(fresh.key, device_id=fresh.devices[0], end_user_id=fresh.users[0])[1]


def test_a_token_of_an_ended_binding_finishes_what_began_under_it_alone(fresh: World) -> None:
    begun, _ = fresh.create()
    command_id = fresh.command(0, {})
    fresh.unbind(0)
    ended = fresh.device(ended=True)
    assert fresh.create(ended)[0].end_user_id == fresh.users[0]
    assert fresh.create(ended, binding_generation=1, command_id=command_id)[1]
    assert fresh.create(ended, id=begun.id) == (begun, False)
    fresh.bind(0, 1)
    later, _ = fresh.create(fresh.device(generation=2))
    newer_command = fresh.command(0, {})
    for fields in ({"binding_generation": 2}, {"command_id": newer_command}, {"id": later.id}):
        assert refused(lambda fields=fields: fresh.create(ended, **fields)).code == Code.NOT_FOUND
    assert refused(lambda: fresh.upload_url(later.id, ended)).code == Code.NOT_FOUND
    assert refused(lambda: fresh.complete(later.id, ended)).code == Code.NOT_FOUND
    fresh.put(fresh.upload_url(begun.id, ended), b"sound")
    assert fresh.complete(begun.id, ended).status == "uploaded"


def test_a_device_knows_its_own_recordings_alone(world: World) -> None:
    recording, _ = world.create()
    stranger = world.device(1)
    assert refused(lambda: world.upload_url(recording.id, stranger)).code == Code.NOT_FOUND
    assert refused(lambda: world.complete(recording.id, stranger)).code == Code.NOT_FOUND
    other = KeyPrincipal(world.other_mode, "key_2", frozenset())
    assert refused(lambda: world.get(recording.id, other)).code == Code.NOT_FOUND


def test_lists_go_newest_first_in_pages_and_by_filter(fresh: World) -> None:
    ids = [fresh.create()[0].id for _ in range(5)]
    by_key = fresh.create(fresh.key, end_user_id=fresh.users[1])[0].id
    fresh.uploaded(b"sound")

    def page(limit: int, cursor: str | None = None, **by: str) -> tuple[list[str], str | None]:
        filters = dict.fromkeys(("device_id", "end_user_id", "status", "command_id"), None) | by
        listed = fresh.run(
            recordings.list_recordings(fresh.app, fresh.key, **filters, limit=limit, cursor=cursor, now=fresh.now)
        )
        assert listed.has_more == (listed.next_cursor is not None)
        return [each.id for each in listed.data], listed.next_cursor

    first, cursor = page(3, device_id=fresh.devices[0], status="pending")
    assert cursor
    fresh.create()
    second, end = page(3, cursor, device_id=fresh.devices[0], status="pending")
    assert (first + second, end) == (ids[::-1], None)
    assert page(100, end_user_id=fresh.users[1])[0] == [by_key]
    assert len(page(100, status="uploaded")[0]) == 1
    assert page(100, command_id="cmd_none")[0] == []
    assert refused(lambda: page(3, cursor, device_id=fresh.devices[0])).code == Code.INVALID_REQUEST
    assert refused(lambda: page(3, "broken")).code == Code.INVALID_REQUEST


def test_asked_again_before_completion_the_media_and_its_bytes_stay(world: World) -> None:
    recording, _ = world.create()
    first = world.upload_url(recording.id, size=5)
    world.patch(first, 0, b"so")
    world.clock.ahead_ms += 2000
    second = world.upload_url(recording.id, world.key, size=5)
    assert second.media_id == first.media_id
    assert second.upload_url != first.upload_url
    assert (second.content_type, second.headers) == ("audio/ogg", {"Content-Type": "audio/ogg"})
    assert world.head(second).headers["upload-offset"] == "2"


def test_type_and_size_may_change_only_while_no_bytes_are_in(world: World) -> None:
    recording, _ = world.create()
    world.upload_url(recording.id, kind="audio/wav", size=7)
    to = world.upload_url(recording.id, kind="audio/flac", size=5)
    assert to.content_type == "audio/flac"
    world.patch(to, 0, b"so")
    for kind, size in (("audio/wav", 5), ("audio/flac", 6), ("audio/flac", 1)):
        problem = refused(lambda kind=kind, size=size: world.upload_url(recording.id, kind=kind, size=size))
        assert problem.code == Code.UPLOAD_CONFLICT
    assert world.upload_url(recording.id, kind="audio/flac").media_id == to.media_id


def test_a_deletion_takes_the_bytes_and_the_id_with_it(fresh: World) -> None:
    recording = fresh.uploaded(b"sound")
    assert fresh.files()
    fresh.delete(recording.id)
    assert [name for name in fresh.files() if name.startswith("med_")] == []
    assert refused(lambda: fresh.get(recording.id)).code == Code.NOT_FOUND
    assert refused(lambda: fresh.delete(recording.id)).code == Code.NOT_FOUND
    assert refused(lambda: fresh.create(id=recording.id)).code == Code.ID_CONFLICT
    assert fresh.event_types() == ["recording.created", "recording.uploaded", "recording.deleted"]


def test_bytes_that_could_not_be_deleted_at_once_are_swept_later(fresh: World) -> None:
    recording, _ = fresh.create()
    to = fresh.upload_url(recording.id)
    fresh.patch(to, 0, b"so")

    async def delete_while_held() -> None:
        async with fresh.app.blobs.hold(to.media_id):
            await recordings.delete_recording(fresh.app, fresh.key, recording.id, now=fresh.now)
            assert await recordings.sweep_deleted_bytes(fresh.app) == 0

    fresh.run(delete_while_held())
    assert fresh.files() != []
    assert fresh.run(recordings.sweep_deleted_bytes(fresh.app)) == 1
    assert fresh.files() == []
    assert fresh.run(recordings.sweep_deleted_bytes(fresh.app)) == 0


def test_a_recording_of_an_end_user_who_was_deleted_is_not_taken(fresh: World) -> None:
    recording = fresh.uploaded(b"sound")
    fresh.run(fresh.app.store.delete_end_user(fresh.tenant.n, fresh.users[0], fresh.now))
    assert refused(lambda: fresh.get(recording.id)).code == Code.NOT_FOUND
    assert refused(lambda: fresh.create(fresh.device(ended=True))).code == Code.NOT_FOUND
    assert fresh.run(recordings.sweep_deleted_bytes(fresh.app)) == 1


def test_a_download_waits_for_completion(world: World) -> None:
    recording, _ = world.create()
    world.put(world.upload_url(recording.id), b"sound")
    assert refused(lambda: world.download_url(recording.id)).code == Code.UPLOAD_INCOMPLETE
    assert refused(lambda: world.complete(recording.id, file_size_bytes=4)).code == Code.INTEGRITY_FAILURE
    problem = refused(lambda: world.download_url(recording.id))
    assert (problem.code, problem.details) == (Code.UPLOAD_INCOMPLETE, {"status": "integrity_failure"})


def test_two_completions_at_once_are_one(fresh: World) -> None:
    recording, _ = fresh.create()
    fresh.put(fresh.upload_url(recording.id), b"sound")

    async def both() -> list[Recording]:
        body = UploadComplete(content_sha256=SHA, duration_ms=1000)
        calls = (
            recordings.complete_upload(fresh.app, fresh.device(), recording.id, body, now=fresh.now) for _ in range(2)
        )
        return list(await asyncio.gather(*calls))

    first, second = fresh.run(both())
    assert first == second
    assert fresh.event_types() == ["recording.created", "recording.uploaded"]


def test_two_creations_at_once_are_one(fresh: World) -> None:
    body = CreateRecording(id=rec_id(fresh), started_at=START)

    async def both() -> list[tuple[Recording, bool]]:
        calls = (recordings.create_recording(fresh.app, fresh.device(), body, now=fresh.now) for _ in range(2))
        return list(await asyncio.gather(*calls))

    (first, created), (second, created_again) = fresh.run(both())
    assert first == second
    assert [created, created_again] == [True, False]
    assert fresh.event_types() == ["recording.created"]


def test_a_recording_that_has_ended_runs_no_more(fresh: World) -> None:
    recording, _ = fresh.create()
    says = StateDelta(
        tenant_n=fresh.tenant.n,
        online_until=fresh.now + 60_000,
        rec_said=True,
        rec_id=recording.id,
        rec_started_at=fresh.now,
        rec_initiated_by="remote",
        rec_as_of=fresh.now,
        rec_evidence="device",
        seen_at=fresh.now,
    )
    fresh.app.store.note_state(fresh.devices[0], says)

    def runs() -> int | None:
        return fresh.run(fresh.app.store.get_device(fresh.tenant.n, fresh.devices[0])).rec_active

    assert runs() == 1
    fresh.put(fresh.upload_url(recording.id), b"sound")
    fresh.app.store.note_state(fresh.devices[0], says)
    fresh.complete(recording.id, ended_at="2026-01-02T03:05:05.678Z")
    assert runs() == 0
