"""Recordings: whose they are, and what becomes of their bytes. See RecordingStore."""

from dataclasses import replace

import msgspec

from rolltape.codes import Code
from rolltape.store.inputs import Position
from rolltape.store.recordings import NewMedia, NewRecording, RecordingFilter, Verified
from rolltape.testing.store_suite.house import NOW, House, Promises, on_a_store, refused
from rolltape.wire.ids import new_id

TOP = Position(2**62, 100)
HASH = "ab" * 32


def by_device(at: House, device_id: str, under: int = 1, **facts: object) -> NewRecording:
    """A recording that a device makes known, with a token of the binding `under`."""
    made = NewRecording(
        id=new_id("rec", NOW),
        tenant_n=at.tenant_n,
        project_id=at.project_id,
        by_device=device_id,
        token_generation=under,
        token_ended=False,
        device_id=None,
        end_user_id=None,
        command_id=None,
        generation=None,
        name=None,
        source="device",
        upload_method=None,
        started_at=NOW,
        ended_at=None,
        own_metadata="{}",
    )
    return replace(made, **facts)  # type: ignore[arg-type]


class RecordingPromises(Promises):
    """A recording belongs to whoever was bound when it began."""

    @on_a_store
    async def test_a_recording_is_made_once_and_belongs_to_who_was_bound(self, at: House) -> None:
        device, user = await at.unbound(), await at.user()
        await at.bind(device, user)
        new = by_device(at, device)
        made = await at.store.create_recording(new, NOW)
        assert (made.existed, made.recording.end_user_id, made.recording.status) == (False, user, "pending")
        again = await at.store.create_recording(new, NOW + 5)
        assert (again.existed, again.recording) == (True, made.recording)
        await refused(Code.ID_CONFLICT, at.store.create_recording(by_device(at, await at.device(), id=new.id), NOW))

    @on_a_store
    async def test_one_that_began_under_an_earlier_binding_stays_with_its_user(self, at: House) -> None:
        device, first = await at.unbound(), await at.user()
        await at.bind(device, first)
        await at.store.unbind_device(at.tenant_n, device, True, NOW)
        await at.bind(device)
        made = await at.store.create_recording(by_device(at, device, 2, generation=1), NOW)
        assert made.recording.end_user_id == first
        await refused(
            Code.NOT_FOUND, at.store.create_recording(by_device(at, device, 1, token_ended=True, generation=2), NOW)
        )

    @on_a_store
    async def test_the_commands_metadata_comes_with_it(self, at: House) -> None:
        device = await at.device()
        row = await at.create(device, params='{"metadata":{"room":7}}')
        made = await at.store.create_recording(by_device(at, device, command_id=row.id), NOW)
        assert msgspec.json.decode(made.recording.command_metadata) == {"room": 7}
        other = await at.create(await at.device())
        await refused(Code.NOT_FOUND, at.store.create_recording(by_device(at, device, command_id=other.id), NOW))

    @on_a_store
    async def test_the_file_that_was_announced_first_is_the_file(self, at: House) -> None:
        new = by_device(at, await at.device())
        await at.store.create_recording(new, NOW)
        first, second = (NewMedia(f"med_{n}", "audio/ogg", n) for n in (1, 2))
        assert (await at.store.announce_media(at.tenant_n, new.id, first, NOW)).media_id == "med_1"
        assert (await at.store.announce_media(at.tenant_n, new.id, second, NOW)).media_id == "med_1"
        changed = await at.store.change_media(at.tenant_n, replace(first, declared_size=99))
        assert changed.declared_size == 99
        assert (await at.store.recording_of_media(at.tenant_n, "med_1")).id == new.id
        await refused(Code.NOT_FOUND, at.store.recording_of_media(at.other_tenant_n, "med_1"))

    @on_a_store
    async def test_a_completion_counts_once_and_is_not_undone(self, at: House) -> None:
        new = by_device(at, await at.device())
        await at.store.create_recording(new, NOW)
        await at.store.announce_media(at.tenant_n, new.id, NewMedia("med_1", "audio/ogg", 3), NOW)
        assert (await at.store.fail_integrity(at.tenant_n, new.id)).status == "integrity_failure"
        known = Verified(3, HASH, 1500, NOW + 1500)
        done = await at.store.complete_recording(at.tenant_n, new.id, known, NOW + 9)
        assert (done.status, done.content_sha256, done.duration_ms, done.verified_at) == (
            "uploaded",
            HASH,
            1500,
            NOW + 9,
        )
        assert await at.store.complete_recording(at.tenant_n, new.id, replace(known, file_size_bytes=4), NOW) == done
        assert (await at.store.fail_integrity(at.tenant_n, new.id)).status == "uploaded"

    @on_a_store
    async def test_a_deleted_recording_does_not_come_back_and_its_bytes_are_queued(self, at: House) -> None:
        new = by_device(at, await at.device())
        await at.store.create_recording(new, NOW)
        await at.store.announce_media(at.tenant_n, new.id, NewMedia("med_1", "audio/ogg", None), NOW)
        await refused(Code.NOT_FOUND, at.store.delete_recording(at.other_tenant_n, new.id, NOW))
        assert await at.store.delete_recording(at.tenant_n, new.id, NOW) == "med_1"
        await refused(Code.NOT_FOUND, at.store.get_recording(at.tenant_n, new.id))
        await refused(Code.ID_CONFLICT, at.store.create_recording(new, NOW))
        assert await at.store.bytes_to_delete(10) == ["med_1"]
        await at.store.bytes_are_deleted("med_1")
        assert await at.store.bytes_to_delete(10) == []

    @on_a_store
    async def test_recordings_are_listed_newest_first_by_what_they_are(self, at: House) -> None:
        device, other = await at.device(), await at.device()
        row = await at.create(device)
        news = [by_device(at, device), by_device(at, device, command_id=row.id), by_device(at, other)]
        for new in news:
            await at.store.create_recording(new, NOW)
        first, second, third = (new.id for new in news)

        async def ids(position: Position = TOP, **by: str) -> list[str]:
            rows = await at.store.list_recordings(at.tenant_n, RecordingFilter(**by), position)
            return [each.id for each in rows]

        assert await ids() == [third, second, first]
        assert await ids(device_id=device) == [second, first]
        assert await ids(command_id=row.id) == [second]
        assert await ids(status="pending") == [third, second, first]
        assert await ids(status="uploaded") == []
        newest = (await at.store.list_recordings(at.tenant_n, RecordingFilter(), Position(2**62, 1)))[0]
        assert await ids(Position(newest.n, 2)) == [second, first]

    @on_a_store
    async def test_the_end_of_a_user_deletes_its_recordings(self, at: House) -> None:
        device, user = await at.unbound(), await at.user()
        await at.bind(device, user)
        new = by_device(at, device)
        await at.store.create_recording(new, NOW)
        await at.store.delete_end_user(at.tenant_n, user, NOW)
        await refused(Code.NOT_FOUND, at.store.get_recording(at.tenant_n, new.id))
