"""What an operator relies on: backups that carry on where they were, findings with their cure, and a quiet end."""

import os
import signal
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.testing.process import ServerProcess, make_key, running_server, start_server
from rolltape.wire.grant import authenticate
from rolltape.wire.keys import verifiers_from_jwks
from rolltape.wiring import Finding, admin_backup, admin_doctor, admin_restore, admin_rotate_grant_key
from rolltape.wiring.backup import SEQ_SKIPPED, CantBackUp


def client_of(server: ServerProcess, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)


def bound_device(http: httpx2.Client, serial: str) -> tuple[str, dict[str, Any]]:
    device_id = http.post("/v1/devices", json={"serial_number": serial}).json()["id"]
    user = http.post("/v1/end-users", json={"external_id": serial}).json()["id"]
    bound: dict[str, Any] = http.post(f"/v1/devices/{device_id}/bind", json={"end_user_id": user}).json()
    return device_id, bound


def start(http: httpx2.Client, device_id: str) -> dict[str, Any]:
    answer = http.post(f"/v1/devices/{device_id}/commands", json={"type": "start_recording"})
    assert answer.status_code == 201, answer.text
    command: dict[str, Any] = answer.json()
    return command


def levels(findings: list[Finding]) -> dict[str, str]:
    return {finding.what.split(":")[0]: finding.level for finding in findings}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[tuple[ServerProcess, str]]:
    data = tmp_path / "data"
    with running_server(data) as server:
        yield server, make_key(data)["key"]


def test_a_backup_of_a_running_server_goes_on_where_it_was_with_later_numbers(
    serving: tuple[ServerProcess, str], tmp_path: Path
) -> None:
    server, key = serving
    with client_of(server, key) as http:
        device_id, bound = bound_device(http, "sn-1")
        before = start(http, device_id)
        told = admin_backup(server.data, tmp_path / "backup.tar")
        assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
        assert told["bytes"] > 0
    admin_restore(tmp_path / "backup.tar", tmp_path / "restored")
    assert all(finding.level == "ok" for finding in admin_doctor(tmp_path / "restored", {}))
    with running_server(tmp_path / "restored") as again, client_of(again, key) as http:
        found = http.get(f"/v1/devices/{device_id}/commands/{before['id']}").json()
        assert found["grant_token"] == before["grant_token"], "the same facts and key give the same grant"
        after = start(http, device_id)
        keys = verifiers_from_jwks(bound["grant_keys"])
        claims = [
            authenticate(token, keys, iss=bound["grant_iss"], aud=device_id, gen=1)
            for token in (before["grant_token"], after["grant_token"])
        ]
        assert claims[1].seq == claims[0].seq + SEQ_SKIPPED + 1


def test_a_backup_is_not_restored_over_a_server_nor_from_a_strange_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make_key(data)
    admin_doctor(data, {})
    with running_server(data):
        admin_backup(data, tmp_path / "backup.tar")
    with pytest.raises(CantBackUp, match="empty folder"):
        admin_restore(tmp_path / "backup.tar", data)
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name in ("rolltape.db", "master.key", "../escaped"):
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(CantBackUp, match="not a backup"):
        admin_restore(tmp_path / "evil.tar", tmp_path / "elsewhere")
    assert not (tmp_path / "escaped").exists()
    (tmp_path / "cut.tar").write_bytes((tmp_path / "backup.tar").read_bytes()[:1000])
    with pytest.raises(CantBackUp):
        admin_restore(tmp_path / "cut.tar", tmp_path / "elsewhere")
    with pytest.raises(CantBackUp, match="no database"):
        admin_backup(tmp_path / "nowhere", tmp_path / "never.tar")


def test_the_doctor_finds_what_is_wrong_and_says_how_to_mend_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        make_key(data)
        assert server.stop() == 0
    assert set(levels(admin_doctor(data, {})).values()) == {"ok"}
    (data / "master.key").chmod(0o644)
    found = admin_doctor(data, {})
    assert levels(found)["Keys"] == "error"
    assert all(finding.cure for finding in found if finding.level != "ok")
    (data / "master.key").chmod(0o600)
    (data / "master.key").write_bytes(os.urandom(32))
    assert levels(admin_doctor(data, {}))["Keys"] == "error"
    assert levels(admin_doctor(data, {"ROLLTAPE_PORT": "x"}))["Configuration"] == "error"
    with (data / "rolltape.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    assert "error" in levels(admin_doctor(data, {})).values()
    assert admin_doctor(tmp_path / "nowhere", {})[-1].level == "error"


def test_a_new_grant_key_is_taken_by_a_running_server_and_used_once_the_device_holds_it(
    serving: tuple[ServerProcess, str],
) -> None:
    server, key = serving
    with client_of(server, key) as http:
        device_id, bound = bound_device(http, "sn-2")
        device = {"Authorization": f"Bearer {bound['device_token']}"}
        old = bound["grant_keys"]["keys"][0]["kid"]
        new = admin_rotate_grant_key(server.data)["kid"]
        for _ in range(20_000):  # the server looks each second, and so do we, by asking: no credential, no limit
            if len(http.get("/.well-known/jwks.json").json()["keys"]) == 2:
                break
        answer = http.post("/v1/devices/me/heartbeat", json={"grant_kids": [old]}, headers=device).json()
        assert [each["kid"] for each in answer["grant_keys"]["keys"]] == [new, old]
        assert _kid_of(start(http, device_id)) == old
        http.post("/v1/devices/me/heartbeat", json={"grant_kids": [old, new]}, headers=device)
        assert _kid_of(start(http, device_id)) == new


def _kid_of(command: dict[str, Any]) -> str:
    import base64
    import json

    header = command["grant_token"].split(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]
    return kid


def test_sigterm_lets_held_answers_go_at_once_and_ends_with_0(serving: tuple[ServerProcess, str]) -> None:
    server, key = serving
    with client_of(server, key) as http:
        device_id, _ = bound_device(http, "sn-3")
        answers: list[httpx2.Response] = []
        asked = threading.Event()

        def wait() -> None:
            asked.set()
            with client_of(server, key) as mine:
                body = {"type": "start_recording"}
                answers.append(mine.post(f"/v1/devices/{device_id}/commands?wait=60", json=body))

        waiting = threading.Thread(target=wait)
        waiting.start()
        asked.wait()
        for _ in range(2000):
            if http.get(f"/v1/devices/{device_id}/commands").json()["data"]:
                break
        assert server.stop() == 0
        waiting.join(timeout=30)
        assert [answer.status_code for answer in answers] == [201]
        assert answers[0].json()["status"] == "pending"


def test_urls_behind_a_proxy_on_this_machine_that_ends_tls_are_secret_on_the_way(
    serving: tuple[ServerProcess, str],
) -> None:
    server, key = serving
    with client_of(server, key) as http:
        user = http.post("/v1/end-users", json={"external_id": "anna"}).json()["id"]
        recording = {"started_at": "2026-01-01T00:00:00Z", "end_user_id": user}
        place = f"/v1/recordings/{http.post('/v1/recordings', json=recording).json()['id']}/upload-url"
        for headers, scheme in (({}, "http"), ({"X-Forwarded-Proto": "https"}, "https")):
            answer = http.post(place, json={"content_type": "audio/ogg"}, headers=headers)
            assert answer.json()["upload_url"].startswith(
                f"{scheme}://{server.url.removeprefix('http://')}/v1/uploads/"
            )


def test_metrics_count_answers_and_tell_what_is_open(serving: tuple[ServerProcess, str]) -> None:
    server, key = serving
    with client_of(server, key) as http:
        device_id, _ = bound_device(http, "sn-4")
        start(http, device_id)
        text = httpx2.get(f"{server.url}/metrics").text
        assert 'rolltape_http_requests_total{operation="createCommand",status="201"} 1.0' in text
        assert "rolltape_commands_open 1.0" in text
        assert "rolltape_devices_bound 1.0" in text
        assert key not in text


def test_a_binding_after_a_restore_has_a_number_that_the_lost_server_never_gave(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        key = make_key(data)["key"]
        with client_of(server, key) as http:
            device_id, bound = bound_device(http, "sn-5")
            admin_backup(data, tmp_path / "backup.tar")
            user = http.post("/v1/end-users", json={"external_id": "later"}).json()["id"]
            assert http.post(f"/v1/devices/{device_id}/unbind").status_code == 200
            lost = http.post(f"/v1/devices/{device_id}/bind", json={"end_user_id": user}).json()
    admin_restore(tmp_path / "backup.tar", tmp_path / "restored")
    with running_server(tmp_path / "restored") as again, client_of(again, key) as http:
        assert http.get(f"/v1/devices/{device_id}").json()["binding_generation"] == bound["binding_generation"]
        assert http.post(f"/v1/devices/{device_id}/unbind").status_code == 200
        anew = http.post(f"/v1/devices/{device_id}/bind", json={"end_user_id": bound["end_user_id"]}).json()
        assert anew["binding_generation"] > lost["binding_generation"]


def test_with_notice_a_server_says_that_it_goes_and_still_serves(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", ROLLTAPE_NOTICE_SECONDS="600") as server:
        key = make_key(server.data)["key"]
        with client_of(server, key) as http:
            assert http.get("/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            while http.get("/ready").status_code == 200:
                pass
            assert http.post("/v1/devices", json={"serial_number": "late"}).status_code == 201
            assert httpx2.get(f"{server.url}/health").status_code == 200, "new connections are taken too"
        assert server.stop() == 0, "a second signal ends the notice"


def test_a_lost_database_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(data) as server:
        assert server.stop() == 0
    for gone in data.glob("rolltape.db*"):
        gone.unlink()
    (data / "recordings" / "med_1").write_bytes(b"sound")
    with pytest.raises(RuntimeError, match="has recordings but no"):
        start_server(data)
