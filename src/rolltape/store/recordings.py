"""What every store promises of recordings. Their bytes are elsewhere (`store.blobs`); here are the facts.

Each write is atomic with its events and durable before its call comes back. A refusal (codes.Problem) changed nothing.
"""

from dataclasses import dataclass
from typing import Protocol

from rolltape.domain.recordings import RecordingRow
from rolltape.store.inputs import Position
from rolltape.wire.recording import ContentType, Source


@dataclass(frozen=True, slots=True)
class NewRecording:
    """A recording to be created. `own_metadata` is JSON.

    `by_device` is the device whose token asks, bound under `token_generation`; `token_ended` once that binding is over,
    which leaves the token that one generation alone. For a key the three are None, 0 and False. `device_id`,
    `end_user_id`, `command_id` and `generation` are what the caller named; the store finds out the rest. A command that
    isn't there and was made before `aged_before` (ms) may have aged out: a device's recording is taken all the same.
    """

    id: str
    tenant_n: int
    project_id: str
    by_device: str | None
    token_generation: int
    token_ended: bool
    device_id: str | None
    end_user_id: str | None
    command_id: str | None
    generation: int | None
    name: str | None
    source: Source
    upload_method: str | None
    started_at: int
    ended_at: int | None
    own_metadata: str
    aged_before: int | None = None


@dataclass(frozen=True, slots=True)
class RecordingFilter:
    """Which recordings a list has; None: any."""

    device_id: str | None = None
    end_user_id: str | None = None
    status: str | None = None
    command_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewMedia:
    """The file of a recording, as it was announced."""

    id: str
    content_type: ContentType
    declared_size: int | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What is known of a recording once its bytes are in and checked."""

    file_size_bytes: int
    content_sha256: str
    duration_ms: int | None
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class CreatedRecording:
    """The recording; `existed` when the same id was there before."""

    recording: RecordingRow
    existed: bool


class RecordingStore(Protocol):
    """Recordings. Every method may raise Problem: not_found where the tenant has no such recording or media."""

    async def create_recording(self, new: NewRecording, now: int) -> CreatedRecording:
        """Creates one, with its event; the same id again by the same owner answers what is there.

        Whoever was bound when it began owns it. Raises Problem: invalid_request, id_conflict; not_found also where a
        command, device, end user or generation that was named isn't this caller's.
        """
        ...

    async def get_recording(self, tenant_n: int, recording_id: str) -> RecordingRow:
        """One recording."""
        ...

    async def recording_of_media(self, tenant_n: int, media_id: str) -> RecordingRow:
        """The recording whose file that is."""
        ...

    async def list_recordings(self, tenant_n: int, by: RecordingFilter, position: Position) -> list[RecordingRow]:
        """A page, newest first."""
        ...

    async def announce_media(self, tenant_n: int, recording_id: str, media: NewMedia, now: int) -> RecordingRow:
        """The recording with its file: the one that was announced first, or else this one."""
        ...

    async def change_media(self, tenant_n: int, media: NewMedia) -> RecordingRow:
        """Announces the file anew; once it is uploaded, nothing changes."""
        ...

    async def complete_recording(self, tenant_n: int, recording_id: str, known: Verified, now: int) -> RecordingRow:
        """All bytes are in, and checked; with its event, once."""
        ...

    async def fail_integrity(self, tenant_n: int, recording_id: str) -> RecordingRow:
        """The bytes aren't what was claimed. One that is uploaded stays so."""
        ...

    async def delete_recording(self, tenant_n: int, recording_id: str, now: int) -> str | None:
        """Deletes it, with its event, and queues its bytes for deletion; their media id."""
        ...

    async def bytes_to_delete(self, limit: int) -> list[str]:
        """Media whose recording is gone and whose bytes may still be there, those longest due first."""
        ...

    async def bytes_are_deleted(self, media_id: str) -> None:
        """The bytes are gone: nothing is left to do for that media."""
        ...
