"""What is secret is in no event and in no line of the log, whatever the requests were."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.testing.process import ServerProcess, make_key, running_server
from rolltape.wire import receipt
from rolltape.wire.keys import b64url, un_b64url
from rolltape.wire.receipt import Receipt
from tests.api.contract_world import open_contract
from tests.api.relay_world import new_key, public_half, relayed


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
        for name in ("key", "device_token", "relay_token", "grant_secret", "grant_token", "upload_url", "answer_cwt"):
            if told.get(name):
                self.keep(told[name])
        for offer in told.get("commands", []):
            self.keep(offer["grant_token"])
            self.keep(offer.get("grant_cwt", offer["grant_token"]))
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
    _relay(secrets, device, user, alg)
    small = call("POST", "/v1/keys", json={"scopes": ["devices:read"]})
    call("DELETE", f"/v1/keys/{small['id']}")
    _misuse(secrets, path, command, fresh, small["key"])
    call("POST", f"{path}/unbind", json={"force": True})
    call("POST", f"/v1/devices/me/commands/{command}/report", fresh, json={"status": "executed"})
    call("POST", "/v1/devices/me/heartbeat", fresh)


def _relay(secrets: Secrets, device: str, user: str, alg: str) -> None:
    """A relay's calls for a device without a key and for one that signs, with receipts that are right and wrong."""
    call, key = secrets.call, new_key()
    signing = call("POST", "/v1/devices", json={"serial_number": f"signs {alg}", "public_key": public_half(key)})["id"]
    bound = call("POST", f"/v1/devices/{signing}/bind", json={"end_user_id": user})
    relay = call("POST", "/v1/relay-tokens", json={"end_user_id": user})["relay_token"]
    commands = {
        id_: call("POST", f"/v1/devices/{id_}/commands", json={"type": "trigger_upload"})["id"]
        for id_ in (device, signing)
    }
    call("GET", "/v1/relay/commands", relay)
    for id_, command in commands.items():
        path = f"/v1/relay/devices/{id_}"
        said = Receipt(
            aud=bound["grant_iss"], device=signing, gen=1, counter=1, status="delivered", jti=commands[signing]
        )
        signed = secrets.keep(b64url(receipt.sign(said, key)))
        call("POST", f"{path}/challenge", relay, json={"nonce": b64url(bytes(16)), "jti": command})
        call("POST", f"{path}/commands/{command}/ack", relay, json={"receipt": signed})
        call("POST", f"{path}/commands/{command}/ack", relay)
        call("POST", f"{path}/commands/{command}/report", relay, json={"status": "executed", "receipt": signed[:-4]})
        call("POST", f"{path}/heartbeat", relay, json={"receipt": signed, "battery_percent": 4})
    call("GET", f"/v1/relay/commands?cursor={relay}", relay)
    call("GET", "/v1/devices", relay)
    call("DELETE", f"/v1/relay-tokens?end_user_id={user}")
    call("GET", "/v1/relay/commands", relay)


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
    assert any(secret.startswith("rtok_") for secret in told.found)
    assert sum(secret.startswith("0o") for secret in told.found) > 4  # COSE_Sign1 in base64url
    assert any(secret.startswith("eyJ") for secret in told.found)
    assert any(secret.startswith("http") for secret in told.found)


def test_no_secret_is_in_the_log(told: Secrets) -> None:
    data = told.server.data
    log = (data.parent / f"{data.name}.log").read_text()
    pieces = {secret if not secret.startswith("http") else secret.rsplit("signature=", 1)[-1] for secret in told.found}
    assert [piece[:12] for piece in pieces if piece in log] == []
    assert "Traceback" not in log


def test_no_credential_is_anywhere_on_the_disk(told: Secrets) -> None:
    credentials = [secret.encode() for secret in told.found if secret.startswith(("sk_", "rk_", "dtok_", "rtok_"))]
    raw = [path.read_bytes() for path in told.server.data.rglob("*") if path.is_file()]
    grants = [secret.rsplit(".", 1)[-1].encode() for secret in told.found if secret.startswith("eyJ")]
    air = [un_b64url(secret)[-16:] for secret in told.found if secret.startswith(("0o", "0Y"))]  # COSE, the end of it
    receipts = [secret.encode() for secret in told.found if secret.startswith("0o")]
    for secret in credentials + grants + air + receipts:
        assert not any(secret in text for text in raw), secret[:12]


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


def test_no_event_of_a_relayed_command_holds_a_secret(tmp_path: Path) -> None:
    with open_contract(tmp_path) as world:
        device = relayed(world, keyed=True)
        command = device.device.command()["id"]
        (offer,) = device.commands()["commands"]
        device.ack(command)
        device.report(command, result={"n": 1})
        delivered = device.sign(device.receipt("delivered", jti=command))
        device.ack(command, receipt=delivered)
        done = device.signed("executed", {"status": "executed"}, jti=command)
        assert device.report(command, done).status_code == 200
        kinds = ("created", "offered", "claimed", "delivered", "executed")
        events = {kind: world.all_events(f"command.{kind}") for kind in kinds}
        assert all(events.values())
        text = json.dumps(events)
        secrets = [device.token, offer["grant_token"], offer["grant_cwt"], delivered, done["receipt"]]
        assert not [secret[:12] for secret in secrets if secret in text or secret[-30:] in text]
        assert all(data["grant_token"] is None for told in events.values() for data in told)
