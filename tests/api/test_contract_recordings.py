"""Recordings, call by call: every answer, error answers included, is held against the document."""

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.wire.ids import new_id
from tests.api.web_world import STORES, WebWorld, is_refused, open_web

SOUND = b"OggS" + bytes(range(256)) * 8
SHA = hashlib.sha256(SOUND).hexdigest()
BEGAN = "2027-01-01T12:00:00.000Z"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web"), store=request.param) as opened:
        yield opened


@pytest.fixture
def bound(world: WebWorld) -> tuple[str, str]:
    return world.bound_device()


def begin(world: WebWorld, token: str, **fields: Any) -> dict[str, Any]:
    answer = world.call("POST", "/v1/recordings", token, json={"started_at": BEGAN, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def announce(world: WebWorld, token: str, recording: str, **fields: Any) -> dict[str, Any]:
    body = {"type": "audio", "content_type": "audio/ogg", **fields}
    answer = world.call("POST", f"/v1/recordings/{recording}/upload-url", token, json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def at(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def put(world: WebWorld, upload: dict[str, Any], content: bytes = SOUND) -> httpx2.Response:
    return world.call("PUT", at(upload["upload_url"]), "", content=content, headers=upload["headers"])


def complete(world: WebWorld, token: str, recording: str, **claims: Any) -> httpx2.Response:
    return world.call("POST", f"/v1/recordings/{recording}/upload-complete", token, json=claims)


def uploaded(world: WebWorld, token: str) -> str:
    recording: str = begin(world, token)["id"]
    assert put(world, announce(world, token, recording)).status_code == 200
    assert complete(world, token, recording, content_sha256=SHA).status_code == 200
    return recording


def test_a_recording_is_made_once_under_its_own_id_and_never_under_anothers(
    world: WebWorld, bound: tuple[str, str]
) -> None:
    device_id, token = bound
    id_ = new_id("rec", 1)
    made = begin(world, token, id=id_, name="Round", metadata={"room": 4})
    assert (made["id"], made["device_id"], made["source"], made["status"]) == (id_, device_id, "device", "pending")
    assert made["started_at"] == made["recorded_at"] == BEGAN
    again = world.call("POST", "/v1/recordings", token, json={"id": id_, "recorded_at": BEGAN})
    assert (again.status_code, again.json()["name"]) == (200, "Round")
    _, stranger = world.bound_device()
    taken = world.call("POST", "/v1/recordings", stranger, json={"id": id_, "started_at": BEGAN})
    assert is_refused(taken, 409, Code.ID_CONFLICT)


def test_a_commands_metadata_is_merged_in_for_the_backend_and_hidden_from_the_device(
    world: WebWorld, bound: tuple[str, str]
) -> None:
    device_id, token = bound
    params = {"metadata": {"case": 7}}
    command = world.made(f"/v1/devices/{device_id}/commands", type="start_recording", params=params)["id"]
    made = begin(world, token, command_id=command, metadata={"own": 1})
    assert made["metadata"] == {"own": 1}
    seen = world.call("GET", f"/v1/recordings/{made['id']}").json()
    assert (seen["metadata"], seen["command_id"]) == ({"own": 1, "case": 7}, command)


def test_the_bytes_come_by_one_put_and_by_no_second_one(world: WebWorld, bound: tuple[str, str]) -> None:
    _, token = bound
    recording = begin(world, token)["id"]
    assert is_refused(complete(world, token, recording), 409, Code.UPLOAD_INCOMPLETE)
    upload = announce(world, token, recording, file_size_bytes=len(SOUND))
    assert is_refused(put(world, upload, SOUND[:-1]), 400, Code.INVALID_REQUEST)
    wrong_type = world.call("PUT", at(upload["upload_url"]), "", content=SOUND, headers={"Content-Type": "text/plain"})
    assert is_refused(wrong_type, 400, Code.INVALID_REQUEST)
    assert put(world, upload).status_code == 200
    assert is_refused(put(world, upload), 409, Code.UPLOAD_CONFLICT)
    again = announce(world, token, recording, file_size_bytes=len(SOUND))
    assert again["media_id"] == upload["media_id"]


def test_the_upload_url_is_a_tus_resource_that_goes_on_where_it_was(world: WebWorld, bound: tuple[str, str]) -> None:
    _, token = bound
    recording = begin(world, token)["id"]
    path = at(announce(world, token, recording, file_size_bytes=len(SOUND))["upload_url"])
    assert world.call("OPTIONS", path, "").status_code == 204
    assert world.call("HEAD", path, "").status_code == 412
    patch = {**TUS, "Content-Type": "application/offset+octet-stream"}
    first = world.call("PATCH", path, "", content=SOUND[:100], headers={**patch, "Upload-Offset": "0"})
    assert (first.status_code, first.headers["upload-offset"]) == (204, "100")
    elsewhere = world.call("PATCH", path, "", content=SOUND[100:], headers={**patch, "Upload-Offset": "7"})
    assert is_refused(elsewhere, 409, Code.UPLOAD_CONFLICT)
    typeless = world.call("PATCH", path, "", content=b"x", headers={**TUS, "Upload-Offset": "100"})
    assert is_refused(typeless, 415, Code.UNSUPPORTED_MEDIA_TYPE)
    head = world.call("HEAD", path, "", headers=TUS)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("100", str(len(SOUND)))
    assert is_refused(complete(world, token, recording), 409, Code.UPLOAD_INCOMPLETE)
    rest = world.call("PATCH", path, "", content=SOUND[100:], headers={**patch, "Upload-Offset": "100"})
    assert rest.status_code == 204
    done = complete(world, token, recording, content_sha256=SHA, file_size_bytes=len(SOUND)).json()
    assert (done["status"], done["content_sha256"]) == ("uploaded", SHA)


def test_a_wrong_claim_is_told_and_a_right_one_mends_it_once_and_for_all(
    world: WebWorld, bound: tuple[str, str]
) -> None:
    _, token = bound
    recording = begin(world, token)["id"]
    put(world, announce(world, token, recording))
    wrong = complete(world, token, recording, content_sha256="0" * 64)
    assert is_refused(wrong, 409, Code.INTEGRITY_FAILURE)
    assert world.call("GET", f"/v1/recordings/{recording}").json()["status"] == "integrity_failure"
    claims = {"content_sha256": SHA, "duration_ms": 1500, "ended_at": "2027-01-01T12:00:01.500Z"}
    done = complete(world, token, recording, **claims)
    assert done.status_code == 200
    assert done.json()["content_sha256_verified_at"] is not None
    assert (done.json()["duration_ms"], done.json()["duration_seconds"]) == (1500, 2)
    assert complete(world, token, recording, **claims).status_code == 200
    assert is_refused(complete(world, token, recording, duration_ms=9), 409, Code.UPLOAD_CONFLICT)
    body = {"type": "audio", "content_type": "audio/ogg"}
    late = world.call("POST", f"/v1/recordings/{recording}/upload-url", token, json=body)
    assert is_refused(late, 409, Code.UPLOAD_CONFLICT)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_bytes_go_out_whole_and_in_ranges_once_they_are_in(
    world: WebWorld, bound: tuple[str, str], method: str
) -> None:
    _, token = bound
    waiting = begin(world, token)["id"]
    early = world.call(method, f"/v1/recordings/{waiting}/download-url")
    assert is_refused(early, 409, Code.UPLOAD_INCOMPLETE)
    told = world.call(method, f"/v1/recordings/{uploaded(world, token)}/download-url").json()
    path = at(told["download_url"])
    assert world.call("GET", path, "").content == SOUND
    part = world.call("GET", path, "", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, SOUND[4:8])
    beyond = world.call("GET", path, "", headers={"Range": f"bytes={len(SOUND)}-"})
    assert is_refused(beyond, 416, Code.RANGE_NOT_SATISFIABLE)
    assert world.call("HEAD", path, "").headers["content-length"] == str(len(SOUND))
    assert is_refused(world.call("GET", path + "x", ""), 403, Code.FORBIDDEN)


def test_lists_are_narrowed_by_each_filter_and_refuse_what_none_has(world: WebWorld, bound: tuple[str, str]) -> None:
    device_id, token = bound
    pending, done = begin(world, token)["id"], uploaded(world, token)
    user = world.call("GET", f"/v1/recordings/{done}").json()["end_user_id"]
    for query, expected in (
        (f"device_id={device_id}", [done, pending]),
        (f"device_id={device_id}&status=uploaded", [done]),
        (f"end_user_id={user}&status=pending", [pending]),
        (f"device_id={device_id}&command_id={new_id('cmd', 1)}", []),
    ):
        found = world.call("GET", f"/v1/recordings?{query}").json()["data"]
        assert [each["id"] for each in found] == expected, query
    assert is_refused(world.call("GET", "/v1/recordings?status=lost"), 400, Code.INVALID_REQUEST, "status")
    assert is_refused(world.call("GET", "/v1/recordings?colour=red"), 400, Code.INVALID_REQUEST)


def test_a_deletion_takes_the_recording_and_its_bytes(world: WebWorld, bound: tuple[str, str]) -> None:
    _, token = bound
    recording = uploaded(world, token)
    path = at(world.call("GET", f"/v1/recordings/{recording}/download-url").json()["download_url"])
    assert world.call("DELETE", f"/v1/recordings/{recording}").status_code == 204
    assert is_refused(world.call("GET", f"/v1/recordings/{recording}"), 404, Code.NOT_FOUND)
    assert is_refused(world.call("GET", path, ""), 404, Code.NOT_FOUND)
    again = world.call("POST", "/v1/recordings", token, json={"id": recording, "started_at": BEGAN})
    assert is_refused(again, 409, Code.ID_CONFLICT)


def test_another_projects_recording_is_not_there(world: WebWorld, bound: tuple[str, str]) -> None:
    recording = begin(world, bound[1])["id"]
    for other in (world.other_project, world.other_mode):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/download-url")):
            assert is_refused(world.call(method, f"/v1/recordings/{recording}{path}", other), 404, Code.NOT_FOUND)


def test_a_recording_begun_under_an_ended_binding_is_brought_home_by_its_token_alone(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    begun = begin(world, token)["id"]
    ended = world.ended_token(device_id, token)
    put(world, announce(world, ended, begun))
    assert complete(world, ended, begun, content_sha256=SHA).status_code == 200
    user = world.made("/v1/end-users", external_id=new_id("req", 0))["id"]
    fresh = world.made(f"/v1/devices/{device_id}/bind", end_user_id=user)["device_token"]
    theirs = begin(world, fresh)["id"]
    body = {"type": "audio", "content_type": "audio/ogg"}
    refused = world.call("POST", f"/v1/recordings/{theirs}/upload-url", ended, json=body)
    assert is_refused(refused, 404, Code.NOT_FOUND)
