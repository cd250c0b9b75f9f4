"""Recordings in an object store, end to end: server, recorder and SDK, and a real S3 server."""

import asyncio
import base64
import hashlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import httpx2
import pytest

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.config import BadSetting, Settings
from rolltape.sdk.errors import NotFound
from rolltape.store.object_calls import ObjectCalls
from rolltape.testing.process import make_key, running_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wiring import admin_doctor, admin_move_recordings
from rolltape.wiring.build import Occupied, open_blobs
from rolltape.wiring.move_recordings import CantMove
from tests.s3_server import BUCKET, needs_weed, shared

pytestmark = needs_weed
SOUND = random.Random(7).randbytes(300_000)


def settings_for(prefix: str) -> dict[str, str]:
    return {"ROLLTAPE_RECORDINGS": f"s3://{BUCKET}/{prefix}", **shared().env}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "data"


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[Client]:
    with running_server(data, **settings_for("e2e")) as server:
        with Client(server.url, make_key(data)["key"]) as connected:
            yield connected
        assert server.stop() == 0


def test_what_a_recorder_records_goes_straight_to_the_store(client: Client, data: Path, tmp_path: Path) -> None:
    device = client.devices.register("recorder")
    bound = client.devices.bind(device.id, client.end_users.create("recorder").id)
    sent = client.devices.start_recording(device.id, max_duration_sec=1)
    with FakeRecorder(client.url, bound.device_token, tmp_path / "state"):
        done = client.commands.wait(device.id, sent.id, timeout=20)
        assert done.status == "executed", done.error
        assert done.result is not None
        recording = client.recordings.wait(done.result["recording_id"], timeout=20)
    assert (recording.status, recording.duration_ms) == ("uploaded", 1000)
    file = client.recordings.download(recording.id, tmp_path / "sound.ogg")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == recording.content_sha256
    assert not (data / "recordings").exists()


def test_the_sdk_uploads_and_downloads_by_the_stores_links(client: Client, tmp_path: Path) -> None:
    source = tmp_path / "sound.ogg"
    source.write_bytes(SOUND)
    user = client.end_users.create("sdk")
    recording = client.recordings.upload(source, end_user_id=user.id)
    assert recording.content_sha256 == hashlib.sha256(SOUND).hexdigest()
    place = client.recordings.download_url(recording.id)
    assert place.download_url.startswith(shared().url)
    part = httpx2.get(place.download_url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, SOUND[10:20])
    assert client.recordings.download(recording.id, tmp_path / "back.ogg").read_bytes() == SOUND
    client.recordings.delete(recording.id)
    assert httpx2.get(place.download_url).status_code == 404
    with pytest.raises(NotFound):
        client.recordings.get(recording.id)


def test_recordings_move_from_the_folder_to_the_store(tmp_path: Path) -> None:
    data, source = tmp_path / "data", tmp_path / "sound.ogg"
    source.write_bytes(SOUND)
    with running_server(data) as server, Client(server.url, make_key(data)["key"]) as client:
        user = client.end_users.create("moves")
        moves, breaks = (client.recordings.upload(source, end_user_id=user.id) for _ in range(2))
        waits = client.recordings.create(started_at="2026-01-02T03:04:05Z", end_user_id=user.id)
        to = client.recordings.upload_url(waits.id, "audio/ogg")
        assert httpx2.put(to.upload_url, content=SOUND, headers=to.headers).is_success
        assert server.stop() == 0
    broken = next((data / "recordings").glob(f"??/{breaks.media[0].id}"))
    broken.write_bytes(b"noise")
    (data / "recordings" / "zz").mkdir()
    (data / "recordings" / "zz" / "med_nobodyszz").write_bytes(b"?")
    with patch.dict(os.environ, settings_for("moved")):
        assert "move-recordings" in str(findings(data))
        seen: list[tuple[int, int]] = []
        told = admin_move_recordings(data, lambda done, total: seen.append((done, total)))
        assert told == {"moved": 2, "bytes": 600_000, "broken": 1, "unfinished": 0, "unknown": 1}
        assert seen[-1] == (600_006, 600_006)
        assert admin_move_recordings(data)["moved"] == 0
        broken.unlink()
        assert "the bytes of 1 are missing" in str(findings(data))
    with running_server(data, **settings_for("moved")) as server, Client(server.url, make_key(data)["key"]) as client:
        assert client.recordings.download(moves.id, tmp_path / "back.ogg").read_bytes() == SOUND
        assert client.recordings.complete(waits.id).content_sha256 == hashlib.sha256(SOUND).hexdigest()


def findings(data: Path) -> list[str]:
    """What the doctor has to say of the recordings."""
    found = [one for one in admin_doctor(data, os.environ) if one.what.startswith("Recordings")]
    return [f"{one.level}: {one.what} {one.cure}" for one in found]


def test_the_doctor_tries_the_store(client: Client, data: Path) -> None:
    with patch.dict(os.environ, settings_for("e2e")):
        (told,) = findings(data)
        assert told.startswith("ok: "), told
        os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"
        (told,) = findings(data)
        assert told.startswith("error: "), told
        assert "credentials" in told


def test_moving_needs_a_place_and_a_stopped_server(client: Client, data: Path, tmp_path: Path) -> None:
    with patch.dict(os.environ, settings_for("e2e")):
        del os.environ["ROLLTAPE_RECORDINGS"]
        with pytest.raises(CantMove, match="ROLLTAPE_RECORDINGS"):
            admin_move_recordings(data)
        os.environ.update(settings_for("e2e"))
        with pytest.raises(Occupied):
            admin_move_recordings(data)


def test_the_package_that_is_missing_is_named() -> None:
    absent = {name: module for name, module in sys.modules.items() if not name.startswith("rolltape.store.object_")}
    settings = Settings.from_env({"ROLLTAPE_RECORDINGS": "s3://bucket"})
    with (
        patch.dict(sys.modules, {**absent, "obstore": None}, clear=True),
        pytest.raises(ValueError, match=r"pip install 'rolltape\[objects\]'"),
    ):
        open_blobs(settings, SystemClock())


@pytest.mark.parametrize(
    "value", ["ftp://bucket", "s3://", "s3://user:secret@bucket", "/var/recordings", "s3://bucket?region=x", "bucket"]
)
def test_a_place_that_can_not_be_is_refused(value: str) -> None:
    with pytest.raises(BadSetting, match=r"ROLLTAPE_RECORDINGS.*s3://BUCKET/PREFIX"):
        Settings.from_env({"ROLLTAPE_RECORDINGS": value})


def test_an_account_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="Account must be specified"):
        open_blobs(Settings.from_env({"ROLLTAPE_RECORDINGS": "az://container/prefix"}), SystemClock())


def test_devices_may_reach_the_store_by_another_address() -> None:
    env = {
        "ROLLTAPE_RECORDINGS": f"s3://{BUCKET}/public",
        "ROLLTAPE_RECORDINGS_PUBLIC_URL": "https://media.example.com",
    }
    with pytest.raises(BadSetting, match="ROLLTAPE_RECORDINGS_PUBLIC_URL"):
        Settings.from_env({**env, "ROLLTAPE_RECORDINGS": "gs://bucket"})
    with patch.dict(os.environ, shared().env):
        url = asyncio.run(signed(Settings.from_env(env)))
        assert url.startswith(f"https://media.example.com/{BUCKET}/public/incoming/med_1?")
        os.environ["AWS_ENDPOINT_URL_S3"] = shared().url
        with pytest.raises(ValueError, match="AWS_ENDPOINT_URL"):
            open_blobs(Settings.from_env(env), SystemClock())


async def signed(settings: Settings) -> str:
    blobs = open_blobs(settings, SystemClock())
    assert blobs.links is not None
    link = await blobs.links.upload_link("med_1", "audio/ogg", "rec_1.ogg", seconds=60)
    await blobs.close()
    return link.url


def test_azure_wants_to_be_told_what_kind_of_blob_it_is() -> None:
    """Signed without a network: the URL's form, and what a PUT must send along."""
    key = base64.b64encode(b"not a key").decode()
    with patch.dict(os.environ, {"AZURE_STORAGE_ACCOUNT_NAME": "me", "AZURE_STORAGE_ACCOUNT_KEY": key}):
        calls = ObjectCalls("az://container/prefix")
    assert calls.headers("audio/ogg", "rec_1.ogg")["x-ms-blob-type"] == "BlockBlob"
    url = asyncio.run(calls.sign("PUT", "incoming/med_1", 60))
    assert url.startswith("https://me.blob.core.windows.net/container/prefix/incoming/med_1?")
    calls.close()
