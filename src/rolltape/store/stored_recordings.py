"""Recordings, by operations: see RecordingStore."""

from rolltape.domain.recordings import RecordingRow
from rolltape.store.connections import Connections
from rolltape.store.inputs import Position
from rolltape.store.operations import recordings
from rolltape.store.pending_states import PendingStates
from rolltape.store.recordings import CreatedRecording, NewMedia, NewRecording, RecordingFilter, Verified


class StoredRecordings:
    """Each promise by one operation of recordings.py."""

    _at: Connections
    _states: PendingStates

    async def create_recording(self, new: NewRecording, now: int) -> CreatedRecording:
        await self._states.flush()  # a recording that has ended ends what a heartbeat said before
        return await self._at.write(recordings.create, new, now)

    async def get_recording(self, tenant_n: int, recording_id: str) -> RecordingRow:
        return await self._at.read(recordings.get, tenant_n, recording_id)

    async def recording_of_media(self, tenant_n: int, media_id: str) -> RecordingRow:
        return await self._at.read(recordings.by_media, tenant_n, media_id)

    async def list_recordings(self, tenant_n: int, by: RecordingFilter, position: Position) -> list[RecordingRow]:
        return await self._at.read(recordings.list_page, tenant_n, by, position)

    async def announce_media(self, tenant_n: int, recording_id: str, media: NewMedia, now: int) -> RecordingRow:
        return await self._at.write(recordings.announce, tenant_n, recording_id, media, now)

    async def change_media(self, tenant_n: int, media: NewMedia) -> RecordingRow:
        return await self._at.write(recordings.change_media, tenant_n, media)

    async def complete_recording(self, tenant_n: int, recording_id: str, known: Verified, now: int) -> RecordingRow:
        await self._states.flush()
        return await self._at.write(recordings.complete, tenant_n, recording_id, known, now)

    async def fail_integrity(self, tenant_n: int, recording_id: str) -> RecordingRow:
        return await self._at.write(recordings.fail_integrity, tenant_n, recording_id)

    async def delete_recording(self, tenant_n: int, recording_id: str, now: int) -> str | None:
        return await self._at.write(recordings.delete, tenant_n, recording_id, now)

    async def bytes_to_delete(self, limit: int) -> list[str]:
        return await self._at.read(recordings.bytes_to_delete, limit)

    async def bytes_are_deleted(self, media_id: str) -> None:
        await self._at.write(recordings.bytes_are_deleted, media_id)
