"""Each operation of the table, called once in earnest: its answer is what the document says."""

import json
import re
from collections.abc import Iterator

import msgspec
import pytest
from jsonschema import Draft202012Validator

from rolltape.codes import Code
from rolltape.testing.openapi_check import Document, Undocumented
from rolltape.web.openapi import document, document_bytes
from rolltape.web.operation import PATH_PARAMS
from rolltape.web.table import OPERATIONS
from tests.api.web_world import WebWorld, is_refused, open_web

DOCUMENT = document(OPERATIONS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web")) as world:
        yield world


def test_the_table_and_the_document_have_the_same_operations() -> None:
    documented = {
        (verb.upper(), path): entry["operationId"]
        for path, methods in DOCUMENT["paths"].items()
        for verb, entry in methods.items()
    }
    assert documented == {(op.method, op.path): op.name for op in OPERATIONS}
    assert len({op.name for op in OPERATIONS}) == len(OPERATIONS)


def test_every_schema_is_a_schema_and_every_reference_leads_somewhere() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    found = set(re.findall(r'"\$ref":\s*"([^"]+)"', json.dumps(DOCUMENT)))
    for reference in found:
        _, _, kind, name = reference.split("/")
        assert name in DOCUMENT["components"][kind], reference


def test_every_path_parameter_is_known_and_every_answer_has_a_request_id() -> None:
    for op in OPERATIONS:
        assert set(op.params) <= set(PATH_PARAMS)
        entry = DOCUMENT["paths"][op.path][op.method.lower()]
        assert {p["name"] for p in entry.get("parameters", []) if p["in"] == "path"} == set(op.params)
        for answer in entry["responses"].values():
            resolved = DOCUMENT["components"]["responses"][answer["$ref"].split("/")[3]] if "$ref" in answer else answer
            assert "X-Request-Id" in resolved["headers"], op.name


def test_every_example_is_a_good_body() -> None:
    for op in OPERATIONS:
        if op.body_example is not None:
            msgspec.json.decode(msgspec.json.encode(op.body_example), type=op.body)


def test_the_document_that_is_served_is_that_of_the_table(world: WebWorld) -> None:
    answer = world.call("GET", "/openapi.json", "")
    assert answer.content == document_bytes(OPERATIONS)
    assert answer.json()["openapi"].startswith("3.1")


def test_the_docs_page_reads_nothing_from_elsewhere(world: WebWorld) -> None:
    answer = world.call("GET", "/docs", "")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert " src=" not in answer.text


def test_the_server_says_how_it_is(world: WebWorld) -> None:
    assert world.call("GET", "/health", "").content == (
        b'{"status":"healthy","database":"connected","billing":"disabled"}'
    )
    assert world.call("GET", "/ready", "").json() == {"ready": True}
    keys = world.call("GET", "/.well-known/jwks.json", "").json()
    assert keys["iss"] == "0123456789abcdef"
    assert [key["kty"] for key in keys["keys"]] == ["OKP"]
    head = world.call("HEAD", "/health", "")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "64")


def test_devices_and_end_users_answer_as_documented(world: WebWorld) -> None:
    device_id, _ = world.bound_device()
    serial = world.call("GET", f"/v1/devices/{device_id}").json()["serial_number"]
    again = world.call("POST", "/v1/devices", json={"serial_number": serial})
    assert (again.status_code, again.json()["id"]) == (200, device_id)
    assert [d["id"] for d in world.call("GET", f"/v1/devices?serial_number={serial}").json()["data"]] == [device_id]
    assert world.call("GET", "/v1/devices?status=bound&online=false&limit=1").json()["data"]
    assert world.call("PATCH", f"/v1/devices/{device_id}", json={"settings": {"heartbeat_sec": 30}}).status_code == 200
    assert world.call("GET", f"/v1/devices/{device_id}/state").json()["online"] is False
    assert world.call("GET", "/v1/devices/stats").json()["total_count"] >= 1
    user = world.made("/v1/end-users", external_id=f"other-{device_id}")
    assert is_refused(
        world.call("POST", "/v1/end-users", json={"external_id": user["external_id"]}), 409, Code.EXTERNAL_ID_TAKEN
    )
    refused = world.call("POST", f"/v1/devices/{device_id}/bind", json={"end_user_id": user["id"]})
    assert is_refused(refused, 409, Code.DEVICE_ALREADY_BOUND)
    assert world.call("GET", f"/v1/end-users/{user['id']}").json() == user
    assert world.call("GET", f"/v1/end-users?external_id={user['external_id']}").json()["data"] == [user]
    assert world.call("DELETE", f"/v1/end-users/{user['id']}").status_code == 204
    assert world.call("POST", f"/v1/devices/{device_id}/unbind").json()["status"] == "unbound"
    assert world.call("DELETE", f"/v1/devices/{device_id}?force=true").status_code == 204
    assert is_refused(world.call("GET", f"/v1/devices/{device_id}"), 404, Code.NOT_FOUND)


@pytest.mark.parametrize("alg", ["EdDSA", "HS256"])
def test_bind_gives_what_the_algorithm_needs(world: WebWorld, alg: str) -> None:
    device = world.made("/v1/devices", serial_number=f"alg-{alg}", grant_alg=alg)
    user = world.made("/v1/end-users", external_id=f"alg-{alg}")
    bound = world.made(f"/v1/devices/{device['id']}/bind", end_user_id=user["id"], pk_d="0a" * 64)
    assert ("grant_secret" in bound, "grant_keys" in bound) == (alg == "HS256", alg == "EdDSA")


def test_a_reset_answers_with_a_command_or_with_the_device(world: WebWorld) -> None:
    device_id, _ = world.bound_device()
    first = world.call("POST", f"/v1/devices/{device_id}/reset")
    second = world.call("POST", f"/v1/devices/{device_id}/reset", json={})
    forced = world.call("POST", f"/v1/devices/{device_id}/reset", json={"force": True})
    assert [answer.status_code for answer in (first, second, forced)] == [201, 200, 200]
    assert first.json()["id"] == second.json()["id"]
    assert forced.json()["status"] == "unbound"
    assert is_refused(world.call("POST", f"/v1/devices/{device_id}/reset"), 409, Code.DEVICE_NOT_BOUND)


def test_commands_answer_as_documented(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    path = f"/v1/devices/{device_id}/commands"
    body = {"type": "start_recording", "params": {"metadata": {"case": 7}}, "idempotency_key": "k"}
    made = world.call("POST", path, json=body)
    replayed = world.call("POST", f"{path}?wait=0.05", json=body, headers={"Idempotency-Key": "k"})
    assert (made.status_code, replayed.status_code) == (201, 200)
    assert replayed.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in made.headers
    reused = world.call("POST", path, json={**body, "ttl_seconds": 5})
    assert is_refused(reused, 409, Code.IDEMPOTENCY_KEY_REUSED)
    one = f"{path}/{made.json()['id']}"
    assert world.call("GET", one).json()["status"] == "pending"
    assert world.call("GET", one, world.reader).json()["grant_token"] is None
    assert world.call("GET", f"{path}?status=pending&status=executed&type=start_recording").json()["data"]
    assert world.call("DELETE", one).json()["status"] == "cancelled"
    assert world.call("DELETE", one).json()["status"] == "cancelled"
    assert [e["type"] for e in world.call("GET", f"{one}/events").json()["data"]] == [
        "command.created",
        "command.cancelled",
    ]
    no_go = world.call("POST", f"/v1/devices/me/commands/{made.json()['id']}/ack", token)
    assert is_refused(no_go, 409, Code.COMMAND_NO_GO)


def test_the_device_plane_answers_as_documented(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    command = world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")
    mine = f"/v1/devices/me/commands/{command['id']}"
    beat = world.call("POST", "/v1/devices/me/heartbeat", token, json={"battery_percent": 50, "from_the_future": 1})
    assert [offer["id"] for offer in beat.json()["commands"]] == [command["id"]]
    assert world.call("POST", "/v1/devices/me/heartbeat", token).status_code == 200
    offered = world.call("GET", f"/v1/devices/{device_id}/commands/pending?wait=0&x=1", token).json()["commands"]
    assert [offer["id"] for offer in offered] == [command["id"]]
    assert world.call("POST", f"{mine}/ack", token).json() == {"go": True, "status": "delivered"}
    report = {"status": "executed", "result": {"uploaded": 3}}
    assert world.call("POST", f"{mine}/report", token, json=report).json()["status"] == "executed"
    other = world.call("POST", f"{mine}/report", token, json={"status": "failed"})
    assert is_refused(other, 409, Code.RESULT_CONFLICT)
    late = {"id": command["id"], **report}
    beat = world.call(
        "POST", f"/v1/devices/{device_id}/heartbeat", json={"acks": [command["id"], 5], "results": [late, 1]}
    )
    assert [ack["go"] for ack in beat.json()["acks"]] == [False, False]
    assert [result["ok"] for result in beat.json()["results"]] == [True, False]
    fresh = world.call("POST", "/v1/devices/me/token/refresh", token).json()["device_token"]
    assert world.call("POST", "/v1/devices/me/heartbeat", fresh, json={}).status_code == 200
    assert is_refused(world.call("POST", "/v1/devices/me/heartbeat", token, json={}), 401, Code.UNAUTHORIZED)


def test_recordings_and_their_bytes_answer_as_documented(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    made = world.call("POST", "/v1/recordings", token, json={"started_at": "2026-01-02T03:04:05.678Z", "x": 1})
    assert made.status_code == 201
    recording = f"/v1/recordings/{made.json()['id']}"
    assert is_refused(world.call("GET", f"{recording}/download-url"), 409, Code.UPLOAD_INCOMPLETE)
    assert is_refused(world.call("POST", f"{recording}/upload-complete", token), 409, Code.UPLOAD_INCOMPLETE)
    to = world.call("POST", f"{recording}/upload-url", token, json={"content_type": "audio/ogg", "x": 1}).json()
    upload = to["upload_url"].removeprefix(world.base_url)
    assert world.call("OPTIONS", upload, "").status_code == 204
    assert world.call("PUT", upload, "", content=b"0123456789", headers=to["headers"]).status_code == 200
    assert world.call("PUT", upload + "x", "", content=b"0123456789", headers=to["headers"]).status_code == 403
    assert world.call("HEAD", upload, "").status_code == 412
    assert world.call("HEAD", upload, "", headers={"Tus-Resumable": "1.0.0"}).status_code == 200
    tus = {"Tus-Resumable": "1.0.0", "Upload-Offset": "3", "Content-Type": "application/offset+octet-stream"}
    assert world.call("PATCH", upload, "", content=b"345", headers=tus).status_code == 409
    wrong = world.call("POST", f"{recording}/upload-complete", token, json={"content_sha256": "0" * 64})
    assert is_refused(wrong, 409, Code.INTEGRITY_FAILURE)
    done = world.call("POST", f"{recording}/upload-complete", json={"file_size_bytes": 10, "duration_ms": 5}).json()
    assert done["status"] == "uploaded"
    for method in ("GET", "POST"):
        url = world.call(method, f"{recording}/download-url").json()["download_url"].removeprefix(world.base_url)
    assert world.call("GET", url, "").content == b"0123456789"
    part = world.call("GET", url, "", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert world.call("GET", url, "", headers={"Range": "bytes=10-"}).status_code == 416
    assert world.call("HEAD", url, "").headers["content-length"] == "10"
    assert world.call("GET", f"/v1/recordings?device_id={device_id}&status=uploaded").json()["data"] == [done]
    assert world.call("GET", recording).json() == done
    assert world.call("DELETE", recording).status_code == 204
    assert is_refused(world.call("GET", recording), 404, Code.NOT_FOUND)


def test_keys_answer_as_documented(world: WebWorld) -> None:
    made = world.made("/v1/keys", name="short-lived", scopes=["devices:read"])
    assert world.call("GET", "/v1/devices", made["key"]).status_code == 200
    listed = world.call("GET", "/v1/keys?limit=100").json()["data"]
    assert made["id"] in [key["id"] for key in listed]
    assert world.call("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    assert is_refused(world.call("GET", "/v1/devices", made["key"]), 401, Code.UNAUTHORIZED)


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (418, {"x-request-id": "r", "content-type": "application/json"}, b"{}", "documented are"),
        (200, {"content-type": "application/json"}, b"{}", "X-Request-Id"),
        (200, {"x-request-id": "r", "content-type": "text/plain"}, b"{}", "Content-Type"),
        (200, {"x-request-id": "r", "content-type": "application/json"}, b"{}", "required"),
        (200, {"x-request-id": "r", "content-type": "application/json"}, b'{"ready":true,"x":1}', "Additional"),
        (429, {"x-request-id": "r", "content-type": "application/json"}, b"{}", "documented are"),
    ],
)
def test_the_check_of_answers_finds_what_is_wrong(status: int, headers: dict[str, str], body: bytes, why: str) -> None:
    with pytest.raises(Undocumented, match=why):
        Document(DOCUMENT).check("GET", "/ready", status, headers, body)


def test_the_check_of_answers_knows_which_codes_an_operation_has() -> None:
    checker = Document(DOCUMENT)
    headers = {"x-request-id": "r", "content-type": "application/json"}
    body = b'{"error":{"code":"%s","message":"m","request_id":"r"}}'
    checker.check("DELETE", "/v1/devices/dev_1", 409, headers, body % b"device_recording")
    with pytest.raises(Undocumented, match="upload_conflict"):
        checker.check("DELETE", "/v1/devices/dev_1", 409, headers, body % b"upload_conflict")
    checker.check("PUT", "/v1/devices/dev_1", 405, headers, body % b"method_not_allowed")
    with pytest.raises(Undocumented, match="no such operation"):
        checker.check("GET", "/v1/nowhere", 200, headers, b"{}")
