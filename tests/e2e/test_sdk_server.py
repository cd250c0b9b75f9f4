"""The SDK against a real server and, where one is needed, a real recorder."""

import asyncio
import hashlib
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import rolltape
from rolltape import AsyncClient, Client
from rolltape.testing.process import ServerProcess, make_key, running_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wire.command import Command
from rolltape.wire.device import BoundDevice, Device
from tests.certificates import make_certificate

SOUND = random.Random(3).randbytes(500_000)
SHA = hashlib.sha256(SOUND).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def key(server: ServerProcess) -> str:
    return make_key(server.data)["key"]


@pytest.fixture
def client(server: ServerProcess, key: str) -> Iterator[Client]:
    with Client(server.url, key) as client:
        yield client


@pytest.fixture
def device(client: Client) -> BoundDevice:
    user = client.end_users.create(secrets.token_hex(8))
    return client.devices.bind(client.devices.register(secrets.token_hex(8)).id, user.id)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "tape.ogg"
    path.write_bytes(SOUND)
    return path


def test_devices_from_registration_to_deletion(client: Client) -> None:
    device = client.devices.register("SN-life", model="M1", connection=["wifi", "ble"], metadata={"a": 1})
    assert client.devices.register("SN-life").id == device.id
    assert client.devices.get(device.id) == device
    changed = client.devices.update(device.id, name="Room 12", settings={"heartbeat_sec": 10}, metadata=None)
    assert (changed.name, changed.settings["heartbeat_sec"], changed.metadata) == ("Room 12", 10, {})
    assert [one.id for one in client.devices.list(serial_number="SN-life", status="unbound", online=False)] == [
        device.id
    ]
    assert client.devices.state(device.id).recording.active is None
    assert client.devices.stats().total_count >= 1
    client.devices.delete(device.id)
    with pytest.raises(rolltape.NotFound):
        client.devices.get(device.id)


def test_bindings_and_their_conflicts(client: Client, device: BoundDevice) -> None:
    assert device.device_token.startswith("dtok_")
    other = client.end_users.create(secrets.token_hex(8))
    with pytest.raises(rolltape.DeviceAlreadyBound):
        client.devices.bind(device.id, other.id)
    again = client.devices.bind(device.id, str(device.end_user_id))
    assert again.device_token != device.device_token
    assert client.devices.unbind(device.id).status == "unbound"
    assert client.devices.unbind(device.id).status == "unbound"
    with pytest.raises(rolltape.DeviceNotBound):
        client.devices.start_recording(device.id)


def test_a_reset_answers_a_command_and_a_forced_one_the_device(client: Client, device: BoundDevice) -> None:
    reset = client.devices.reset(device.id)
    assert isinstance(reset, Command)
    assert client.devices.reset(device.id) == reset
    assert isinstance(client.devices.reset(device.id, force=True), Device)


def test_commands_are_listed_cancelled_and_remembered(client: Client, device: BoundDevice) -> None:
    start = client.devices.start_recording(device.id, max_duration_sec=9, metadata={"visit": 1}, idempotency_key="one")
    assert (
        client.devices.start_recording(device.id, max_duration_sec=9, metadata={"visit": 1}, idempotency_key="one").id
        == start.id
    )
    with pytest.raises(rolltape.IdempotencyKeyReused):
        client.devices.stop_recording(device.id, idempotency_key="one")
    stop = client.devices.stop_recording(device.id, ttl_seconds=60)
    assert client.commands.get(device.id, start.id).status == "cancelled"
    assert [one.id for one in client.commands.list(device.id, status=["pending", "delivered"])] == [stop.id]
    assert client.commands.cancel(device.id, stop.id).status == "cancelled"
    assert client.commands.cancel(device.id, stop.id).status == "cancelled"
    told = [event.type for event in client.commands.history(device.id, start.id)]
    assert told == ["command.created", "command.cancelled"]
    assert client.commands.wait(device.id, stop.id).status == "cancelled"


def test_a_list_goes_through_many_pages(client: Client, device: BoundDevice) -> None:
    for number in range(90):
        client.commands.send(device.id, "trigger_upload", idempotency_key=f"n{number}")
    one_by_one = list(client.commands.list(device.id))
    first = client.commands.page(device.id, limit=40)
    second = client.commands.page(device.id, limit=100, cursor=first.next_cursor)
    assert [*first.data, *second.data] == one_by_one
    assert len(one_by_one) == 90
    assert (first.has_more, second.has_more) == (True, False)
    assert len(list(client.commands.list(device.id, limit=7))) == 7


def test_the_queue_has_an_end(client: Client, device: BoundDevice) -> None:
    for _ in range(100):
        client.commands.send(device.id, "trigger_upload")
    with pytest.raises(rolltape.CommandQueueFull):
        client.commands.send(device.id, "trigger_upload")
    assert client.devices.stop_recording(device.id).status == "pending"


def test_end_users_are_unique_by_their_own_id(client: Client) -> None:
    user = client.end_users.create("anna", name="Anna", email="anna@example.com", metadata={"ward": 3})
    with pytest.raises(rolltape.ExternalIdTaken):
        client.end_users.create("anna")
    assert [one.id for one in client.end_users.list(external_id="anna")] == [user.id]
    assert client.end_users.get(user.id) == user
    client.end_users.delete(user.id)
    with pytest.raises(rolltape.NotFound):
        client.end_users.delete(user.id)


def test_a_key_with_less_may_do_less_and_a_revoked_one_nothing(client: Client, server: ServerProcess) -> None:
    made = client.keys.create(name="reader", scopes=["devices:read"])
    assert made.id in [one.id for one in client.keys.list()]
    with Client(server.url, made.key) as reader:
        reader.devices.stats()
        with pytest.raises(rolltape.Forbidden, match="devices:write"):
            reader.devices.register("SN-x")
        client.keys.revoke(made.id)
        with pytest.raises(rolltape.Unauthorized):
            reader.devices.stats()


def test_an_invalid_request_names_the_field(client: Client) -> None:
    with pytest.raises(rolltape.InvalidRequest) as caught:
        client.devices.register("SN", name="x" * 129)
    assert caught.value.param == "name"
    assert caught.value.request_id.startswith("req_")


def test_a_file_goes_up_and_comes_down_the_same(
    client: Client, device: BoundDevice, tape: Path, tmp_path: Path
) -> None:
    moved: list[int] = []
    recording = client.recordings.upload(
        tape, device_id=device.id, duration_ms=4000, metadata={"a": 1}, progress=lambda done, _: moved.append(done)
    )
    assert (recording.status, recording.content_sha256, recording.source) == ("uploaded", SHA, "api_upload")
    assert (recording.duration_ms, recording.device_id, moved[-1]) == (4000, device.id, len(SOUND))
    assert [one.id for one in client.recordings.list(device_id=device.id, status="uploaded")] == [recording.id]
    (tmp_path / "down").mkdir()
    assert client.recordings.download(recording.id, tmp_path / "down").read_bytes() == SOUND
    client.recordings.delete(recording.id)
    with pytest.raises(rolltape.NotFound):
        client.recordings.get(recording.id)


def test_a_download_goes_on_from_what_is_there(client: Client, device: BoundDevice, tape: Path, tmp_path: Path) -> None:
    recording = client.recordings.upload(tape, device_id=device.id)
    (tmp_path / f".down.ogg.{recording.id}.part").write_bytes(SOUND[:123_456])
    moved: list[int] = []
    path = client.recordings.download(recording.id, tmp_path / "down.ogg", progress=lambda done, _: moved.append(done))
    assert path.read_bytes() == SOUND
    assert moved[0] > 123_456


def test_an_upload_mends_wrong_bytes(client: Client, device: BoundDevice, tape: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.ogg"
    wrong.write_bytes(SOUND[::-1])
    made = client.recordings.create(started_at="2026-01-02T03:04:05Z", end_user_id=device.end_user_id)
    with pytest.raises(rolltape.UploadIncomplete):
        client.recordings.download(made.id, tmp_path)
    place = client.recordings.upload_url(made.id, "audio/ogg", file_size_bytes=len(SOUND))
    httpx2.put(place.upload_url, content=wrong.read_bytes(), headers=place.headers).raise_for_status()
    with pytest.raises(rolltape.IntegrityFailure):
        client.recordings.complete(made.id, content_sha256=SHA)
    assert client.recordings.upload(tape, recording_id=made.id).content_sha256 == SHA


def test_the_whole_story_with_a_recorder(
    client: Client, server: ServerProcess, device: BoundDevice, tmp_path: Path
) -> None:
    with FakeRecorder(server.url, device.device_token, tmp_path / "state"):
        start = client.devices.start_recording(device.id, wait=20, metadata={"visit": "4711"})
        assert start.status == "executed", start
        assert start.result is not None
        assert client.devices.state(device.id).recording.active
        stop = client.devices.stop_recording(device.id, wait=20)
        assert stop.status == "executed"
        recording = client.recordings.wait(start.result["recording_id"], timeout=20)
        path = client.recordings.download(recording.id, tmp_path)
    assert recording.metadata == {"visit": "4711"}
    assert hashlib.sha256(path.read_bytes()).hexdigest() == recording.content_sha256


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine that nobody vouches for, and its key."""
    return make_certificate(tmp_path)


def test_a_server_with_a_certificate_of_its_own_is_trusted_only_when_told(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    with running_server(tmp_path / "data", "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        api_key = make_key(server.data)["key"]
        assert server.url.startswith("https://")
        with Client(server.url, api_key, ca_file=cert) as client:
            assert client.devices.stats().total_count == 0
        with Client(server.url, api_key, policy=rolltape.Policy(max_tries=1)) as stranger:
            with pytest.raises(rolltape.Unreachable) as caught:
                stranger.devices.stats()
            assert not caught.value.may_have_happened


def test_the_async_client_does_the_same(server: ServerProcess, key: str, tape: Path, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncClient(server.url, key) as client:
            user = await client.end_users.create(secrets.token_hex(8))
            device = await client.devices.bind((await client.devices.register(secrets.token_hex(8))).id, user.id)
            sent = [await client.commands.send(device.id, "trigger_upload") for _ in range(3)]
            assert [one.id async for one in client.commands.list(device.id)] == [one.id for one in reversed(sent)]
            waiting = asyncio.create_task(client.commands.send(device.id, "trigger_upload", wait=10))
            while len(found := (await client.commands.page(device.id)).data) < 4:
                pass
            await client.commands.cancel(device.id, found[0].id)
            assert (await waiting).status == "cancelled"
            assert [one.status async for one in client.commands.watch(device.id, found[0].id)] == ["cancelled"]
            recording = await client.recordings.upload(tape, device_id=device.id)
            path = await client.recordings.download(recording.id, tmp_path)
            assert path.read_bytes() == SOUND

    asyncio.run(story())
