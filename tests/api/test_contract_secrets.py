"""What is secret is in no event and in no line of the log, whatever the requests were."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.testing.process import ServerProcess, make_key, running_server
from tests.api.contract_world import open_contract


class Secrets:
    """A real server at its most talkative, and every secret that it told."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.found: set[str] = set()
        self.http = httpx2.Client(base_url=server.url, timeout=20)
        self.key = self.keep(make_key(server.data)["key"])

    def keep(self, secret: str) -> str:
        self.found.add(secret)
        return secret

    def call(self, method: str, path: str, credential: str | None = None, **parts: Any) -> Any:
        headers = {"Authorization": f"Bearer {credential or self.key}", **parts.pop("headers", {})}
        answer = self.http.request(method, path, headers=headers, **parts)
        assert answer.status_code < 500, answer.text
        told = answer.json() if answer.content else {}
        for name in ("key", "device_token", "grant_secret", "grant_token", "upload_url"):
            if told.get(name):
                self.keep(told[name])
        for offer in told.get("commands", []):
            self.keep(offer["grant_token"])
        return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secrets]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data, ROLLTAPE_LOG_LEVEL="debug") as server:
        secrets = Secrets(server)
        for alg in ("EdDSA", "HS256"):
            _use(secrets, alg)
        secrets.http.close()
        assert server.stop() == 0
        yield secrets


def _use(secrets: Secrets, alg: str) -> None:
    call = secrets.call
    device = call("POST", "/v1/devices", json={"serial_number": alg, "grant_alg": alg})["id"]
    user = call("POST", "/v1/end-users", json={"external_id": alg})["id"]
    path = f"/v1/devices/{device}"
    token = call("POST", f"{path}/bind", json={"end_user_id": user, "pk_d": "ab" * 64})["device_token"]
    command = call("POST", f"{path}/commands", json={"type": "start_recording"})["id"]
    call("POST", "/v1/devices/me/heartbeat", token, json={"acks": [command]})
    call("GET", "/v1/devices/me/commands/pending", token)
    call("POST", f"{path}/commands?wait=1", json={"type": "trigger_upload"})
    fresh = call("POST", "/v1/devices/me/token/refresh", token)["device_token"]
    call("POST", "/v1/devices/me/heartbeat", fresh)
    call("POST", "/v1/devices/me/heartbeat", token)
    recording = call("POST", "/v1/recordings", fresh, json={"started_at": "2026-01-01T00:00:00Z"})["id"]
    call("POST", f"/v1/recordings/{recording}/upload-url", fresh, json={"content_type": "audio/ogg"})
    small = call("POST", "/v1/keys", json={"scopes": ["devices:read"]})
    call("DELETE", f"/v1/keys/{small['id']}")
    _misuse(secrets, path, command, fresh, small["key"])
    call("POST", f"{path}/unbind", json={"force": True})
    call("POST", f"/v1/devices/me/commands/{command}/report", fresh, json={"status": "executed"})
    call("POST", "/v1/devices/me/heartbeat", fresh)


def _misuse(secrets: Secrets, path: str, command: str, token: str, revoked: str) -> None:
    """Secrets where they don't belong, and requests that are wrong with a credential that is right."""
    call = secrets.call
    call("GET", path, revoked)
    call("GET", path, token)
    call("GET", f"/v1/devices/{token}")
    call("GET", f"/v1/devices?cursor={token}&serial_number={secrets.key}")
    call("GET", f"/v1/{secrets.key}")
    call("POST", f"{path}/commands", json={"type": token, "idempotency_key": secrets.key})
    call("POST", f"{path}/commands", content=b'{"type":"' + token.encode(), headers={"X-Request-Id": "mine"})
    call("POST", f"/v1/devices/me/commands/{command}/report", token, json={"status": token, "result": token})
    call("POST", "/v1/devices/me/heartbeat", token, json={"acks": [token], "results": [{"id": token}]})


def test_there_were_secrets_of_every_kind_to_be_kept(told: Secrets) -> None:
    kinds = {secret.split("_")[0] if secret[2:3] == "_" or secret.startswith("dtok") else "" for secret in told.found}
    assert {"sk", "rk", "dtok"} <= kinds
    assert any(secret.startswith("eyJ") for secret in told.found)
    assert any(secret.startswith("http") for secret in told.found)


def test_no_secret_is_in_the_log(told: Secrets) -> None:
    data = told.server.data
    log = (data.parent / f"{data.name}.log").read_text()
    pieces = {secret if not secret.startswith("http") else secret.rsplit("signature=", 1)[-1] for secret in told.found}
    assert [piece[:12] for piece in pieces if piece in log] == []
    assert "Traceback" not in log


def test_no_credential_is_anywhere_on_the_disk(told: Secrets) -> None:
    credentials = [secret.encode() for secret in told.found if secret.startswith(("sk_", "rk_", "dtok_"))]
    raw = [path.read_bytes() for path in told.server.data.rglob("*") if path.is_file()]
    grants = [secret.rsplit(".", 1)[-1].encode() for secret in told.found if secret.startswith("eyJ")]
    assert not [secret[:12] for secret in credentials + grants if any(secret in text for text in raw)]


def test_what_must_be_secret_on_the_disk_is_for_its_owner_alone(told: Secrets) -> None:
    assert told.server.data.stat().st_mode & 0o077 == 0
    keys = list(Path(told.server.data).glob("*.key"))
    assert keys
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys)


@pytest.mark.parametrize("alg", ["EdDSA", "HS256"])
def test_no_event_holds_a_secret(tmp_path: Path, alg: str) -> None:
    with open_contract(tmp_path) as world:
        device = world.device(grant_alg=alg)
        command = device.command()
        device.heartbeat()
        device.ack(command["id"])
        device.report(command["id"], result={"recording_id": "rec_1"})
        fresh = world.call("POST", "/v1/devices/me/token/refresh", device.token).json()["device_token"]
        for token in (fresh, device.token):
            world.call("POST", "/v1/devices/me/heartbeat", token)
        device.unbind(force=True)
        world.write_states()
        kinds = ("command.created", "command.offered", "command.delivered", "command.executed", "device.registered",
                 "device.bound", "device.unbound", "device.online", "device.token_reused")  # fmt: skip
        events = {kind: world.all_events(kind) for kind in kinds}
        assert all(events.values())
        text = json.dumps(events)
        secrets = [device.token, fresh, command["grant_token"], command["grant_token"].rsplit(".", 1)[-1]]
        assert not [secret for secret in [*secrets, device.bound.get("grant_secret", "dtok_")] if secret in text]
