"""The shell's own processes: serve, keys, projects, backup, restore, doctor, and the way through the API."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import pytest

from rolltape import Client
from rolltape.testing.leash import Leashed
from rolltape.testing.process import ServerProcess, make_key, running_server, start_server
from rolltape.testing.recorder import FakeRecorder

ROLLTAPE = [sys.executable, "-m", "rolltape.cli.main"]
SOUND = bytes(range(256)) * 1000


def rolltape(*arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> Any:
    """What `rolltape … --json` prints; the exit code has to be `code`."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("ROLLTAPE_")}
    command = [*ROLLTAPE, *arguments, "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**clean, **(env or {})}, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def env(server: ServerProcess) -> dict[str, str]:
    return {"ROLLTAPE_URL": server.url, "ROLLTAPE_API_KEY": make_key(server.data)["key"]}


def test_serve_prints_one_line_and_ends_well_on_sigterm(tmp_path: Path) -> None:
    command = [*ROLLTAPE, "serve", "--data", str(tmp_path / "data"), "--port", "0"]
    with Leashed[str](command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest, log = process.communicate(timeout=30)
    assert "http://127.0.0.1:" in first
    assert rest == ""
    assert process.returncode == 0, log


def test_a_taken_port_is_told_in_a_sentence(server: ServerProcess, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    told = rolltape_plain("serve", "--data", str(tmp_path / "data"), "--port", port, code=1)
    assert "--port" in told


def rolltape_plain(*arguments: str, code: int) -> str:
    done = subprocess.run([*ROLLTAPE, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_half_a_tls_setting_is_a_usage_error(tmp_path: Path) -> None:
    told = rolltape_plain("serve", "--data", str(tmp_path), "--tls-cert", "x.pem", code=2)
    assert "ROLLTAPE_TLS_KEY" in told


def test_a_key_is_made_beside_a_running_server_and_ended_again(server: ServerProcess) -> None:
    data = ("--data", str(server.data))
    made = rolltape("keys", "create", *data, "--scopes", "devices:read,recordings:read", "--name", "reader")
    assert set(made) == {"id", "key", "project_id", "scopes"}
    assert made["key"].startswith("rk_test_")
    as_reader = {"ROLLTAPE_URL": server.url, "ROLLTAPE_API_KEY": made["key"]}
    assert rolltape("devices", "stats", env=as_reader)["project_id"] == made["project_id"]
    assert "devices:write" in rolltape("devices", "register", "SN", code=4, env=as_reader)
    assert made["id"] in [one["id"] for one in rolltape("keys", "list", *data)]
    assert rolltape("keys", "revoke", made["id"], *data) == {"id": made["id"], "revoked": True}
    rolltape("keys", "revoke", made["id"], *data, code=3)


def test_live_keys_and_projects_of_their_own(server: ServerProcess) -> None:
    data = ("--data", str(server.data))
    project = rolltape("projects", "create", "Clinic", *data)
    assert project["id"] in [one["id"] for one in rolltape("projects", "list", *data)]
    made = rolltape("keys", "create", *data, "--mode", "live", "--project", project["id"])
    assert (made["project_id"], made["key"][:8]) == (project["id"], "sk_live_")
    assert "not_found" in rolltape("keys", "create", *data, "--project", "proj_none", code=3)


def test_a_new_grant_key_is_made(server: ServerProcess) -> None:
    assert rolltape("keys", "rotate-grant-key", "--data", str(server.data))["alg"] == "EdDSA"


def test_doctor_finds_a_healthy_server_healthy_and_an_empty_folder_not(server: ServerProcess, tmp_path: Path) -> None:
    found = rolltape("doctor", "--data", str(server.data))
    assert {one["level"] for one in found} <= {"ok", "warning"}
    sick = rolltape("doctor", "--data", str(tmp_path), code=1)
    assert all(one["cure"] for one in sick if one["level"] == "error")


def test_a_backup_of_a_running_server_is_restored(server: ServerProcess, env: dict[str, str], tmp_path: Path) -> None:
    device = rolltape("devices", "register", "SN-backup", env=env)
    target = tmp_path / "backup.tar"
    rolltape("backup", str(target), "--data", str(server.data))
    assert target.stat().st_mode & 0o077 == 0
    rolltape("restore", str(target), "--data", str(tmp_path / "data"))
    restored = start_server(tmp_path / "data")
    try:
        env_there = {**env, "ROLLTAPE_URL": restored.url}
        assert rolltape("devices", "get", device["id"], env=env_there)["serial_number"] == "SN-backup"
    finally:
        assert restored.stop() == 0
    assert "empty folder" in rolltape("restore", str(target), "--data", str(tmp_path / "data"), code=1)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "rolltape.db-wal").touch()
    assert "rolltape.db-wal" in rolltape("restore", str(target), "--data", str(tmp_path / "old"), code=1)
    assert "no database" in rolltape("backup", str(target), "--data", str(tmp_path / "none"), code=1)


def test_recordings_are_in_the_backup_wherever_the_data_folder_is(tmp_path: Path) -> None:
    data = tmp_path / "incoming" / "data"
    data.parent.mkdir()
    with running_server(data) as there:
        env = {"ROLLTAPE_URL": there.url, "ROLLTAPE_API_KEY": make_key(data)["key"]}
        (tmp_path / "tape.ogg").write_bytes(SOUND)
        user = rolltape("end-users", "create", "anna", env=env)["id"]
        rolltape("recordings", "upload", str(tmp_path / "tape.ogg"), "--end-user-id", user, env=env)
        told = rolltape("backup", str(tmp_path / "backup.tar"), "--data", str(data))
    assert told["recordings"] == 1
    rolltape("restore", str(tmp_path / "backup.tar"), "--data", str(tmp_path / "restored"))
    assert {one["level"] for one in rolltape("doctor", "--data", str(tmp_path / "restored"))} == {"ok"}
    for path in (tmp_path / "restored" / "rolltape.db", tmp_path / "restored" / "recordings", data / "rolltape.db"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_mistyped_data_folder_is_not_made(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for command in (["keys", "list"], ["projects", "list"], ["keys", "revoke", "key_1"], ["keys", "rotate-grant-key"]):
        assert "--data" in rolltape(*command, "--data", str(nowhere), code=1)
    assert not nowhere.exists()


def test_a_database_that_is_none_is_told_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "rolltape.db").write_bytes(bytes(range(256)) * 64)
    assert f"rolltape doctor --data {tmp_path}" in rolltape_plain("serve", "--data", str(tmp_path), code=1)


def test_a_certificate_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    tls = ["--tls-cert", str(tmp_path / "no.pem"), "--tls-key", str(tmp_path / "key.pem")]
    assert "no.pem" in rolltape_plain("serve", "--data", str(tmp_path / "data"), "--port", "0", *tls, code=1)


def test_an_upload_that_outlasts_the_drain_is_cut_off_with_its_bytes_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data, ROLLTAPE_DRAIN_SECONDS="1") as server, upload_of_half(server) as line:
        part = the_part_in(data / "recordings")
        assert server.stop() == 0
        assert line.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert part.read_bytes() == SOUND[:1000]
    assert "Traceback" not in (tmp_path / "data.log").read_text()


def upload_of_half(server: ServerProcess) -> socket.socket:
    """A line on which an upload has begun and goes no further."""
    with Client(server.url, make_key(server.data)["key"]) as client:
        recording = client.recordings.create(
            started_at="2026-01-01T00:00:00Z", end_user_id=client.end_users.create("anna").id
        )
        place = urlsplit(client.recordings.upload_url(recording.id, "audio/ogg", file_size_bytes=len(SOUND)).upload_url)
    line = socket.create_connection((place.hostname or "", place.port or 0), timeout=30)
    head = f"PATCH {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: {len(SOUND)}\r\n"
    tus = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n\r\n"
    line.sendall((head + tus).encode() + SOUND[:1000])
    return line


def the_part_in(folder: Path) -> Path:
    """Wait until the bytes of an upload have a place."""
    end = time.monotonic() + 20
    while not (parts := list(folder.rglob("*.part"))):
        assert time.monotonic() < end
        Event().wait(0.02)
    return parts[0]


def test_a_device_is_commanded_from_the_shell(server: ServerProcess, env: dict[str, str], tmp_path: Path) -> None:
    user = rolltape("end-users", "create", "shell", env=env)
    device = rolltape("devices", "register", "SN-shell", env=env)["id"]
    token = rolltape("devices", "bind", device, user["id"], env=env)["device_token"]
    nobody = rolltape("commands", "send", device, "trigger_upload", "--wait", "0.2", code=7, env=env)
    assert rolltape("commands", "cancel", device, nobody["id"], env=env)["status"] == "cancelled"
    with FakeRecorder(server.url, token, tmp_path / "state"):
        start = rolltape("commands", "send", device, "start_recording", "--wait", "20", env=env)
        again = rolltape("commands", "send", device, "start_recording", "--wait", "20", code=1, env=env)
        assert again["error"]["code"] == "already_recording"
        rolltape("commands", "send", device, "stop_recording", "--wait", "20", env=env)
        seen = rolltape("commands", "history", device, start["id"], env=env)
        story = dict.fromkeys(one["type"].partition(".")[2] for one in seen)  # an offer may come by two routes
        assert list(story) == ["created", "offered", "delivered", "executed"], seen
        assert rolltape("commands", "watch", device, start["id"], env=env)["status"] == "executed"
        recordings = rolltape("recordings", "list", "--device-id", device, env=env)
        assert [one["command_id"] for one in recordings] == [start["id"]]
    rolltape("devices", "unbind", device, "--force", env=env)
    rolltape("commands", "send", device, "start_recording", code=5, env=env)
    rolltape("devices", "delete", device, "--yes", env=env)
    rolltape("devices", "get", device, code=3, env=env)


def test_audio_goes_up_and_down_from_the_shell(env: dict[str, str], tmp_path: Path) -> None:
    user = rolltape("end-users", "create", "singer", env=env)["id"]
    tape = tmp_path / "tape.flac"
    tape.write_bytes(SOUND)
    recording = rolltape("recordings", "upload", str(tape), "--end-user-id", user, "--metadata", '{"a": 1}', env=env)
    assert (recording["status"], recording["metadata"]) == ("uploaded", {"a": 1})
    told = rolltape("recordings", "download", recording["id"], str(tmp_path), env=env)
    assert Path(told["path"]).read_bytes() == SOUND
    assert Path(told["path"]).name == f"{recording['id']}.flac"
    rolltape("recordings", "delete", recording["id"], "--yes", env=env)


def test_a_recorder_is_started_by_hand_and_ends_well(
    server: ServerProcess, env: dict[str, str], tmp_path: Path
) -> None:
    user = rolltape("end-users", "create", "by-hand", env=env)
    device = rolltape("devices", "register", "SN-hand", env=env)["id"]
    token = rolltape("devices", "bind", device, user["id"], env=env)["device_token"]
    state = {"ROLLTAPE_STATE": str(tmp_path / "state")}
    assert "no recorder" in rolltape("recorder-control", "status", code=6, env=state)
    settings = {**state, "ROLLTAPE_TOKEN": token, "ROLLTAPE_SOURCE": "lavfi:sine=frequency=440"}
    command = [*ROLLTAPE, "recorder", "--server", server.url]
    with Leashed[str](command, stderr=subprocess.PIPE, text=True, env={**os.environ, **settings}) as process:
        assert process.stderr is not None
        assert any("is up" in line for line in process.stderr)
        started = rolltape("recorder-control", "start", env=state)
        assert "already" in str(rolltape("recorder-control", "start", code=1, env=state))
        assert rolltape("recorder-control", "stop", env=state)["recording_id"] == started["recording_id"]
        assert rolltape("recorder-control", "mute", env=state)["muted"] is True
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
