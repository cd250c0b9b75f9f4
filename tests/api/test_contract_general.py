"""What holds for every call: credentials, ids, times, limits, errors, lists, and the calls that need no credential."""

import re
import threading
from collections.abc import Iterator
from datetime import datetime

import pytest

from rolltape.codes import Code
from tests.api.web_world import STORES, WebWorld, is_refused, open_web

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("limited"), key_rate=1000, device_rate=1) as world:
        yield world


def test_health_says_exactly_what_it_should_and_needs_no_credential(world: WebWorld) -> None:
    answer = world.call("GET", "/health", "")
    assert answer.json() == {"status": "healthy", "database": "connected", "billing": "disabled"}
    assert world.call("GET", "/ready", "").json() == {"ready": True}
    assert world.call("GET", "/openapi.json", "").json()["openapi"].startswith("3.1")
    assert world.call("GET", "/docs", "").headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Token abc", "Basic abc", "Bearer sk_test_unknown", "Bearer x y"]
)
def test_a_missing_malformed_or_unknown_credential_is_401(world: WebWorld, value: str | None) -> None:
    headers = {} if value is None else {"Authorization": value}
    assert is_refused(world.call("GET", "/v1/devices", "", headers=headers), 401, Code.UNAUTHORIZED)


def test_a_key_without_the_scope_is_403_and_told_which_one_it_needs(world: WebWorld) -> None:
    answer = world.call("POST", "/v1/devices", world.reader, json={"serial_number": "x"})
    assert is_refused(answer, 403, Code.FORBIDDEN)
    assert "devices:write" in answer.json()["error"]["message"]
    assert answer.json()["error"]["details"] == {"needed": "devices:write"}


def test_commands_need_the_scopes_of_devices(world: WebWorld) -> None:
    device_id, _ = world.bound_device()
    path = f"/v1/devices/{device_id}/commands"
    command = world.made(path, type="trigger_upload")["id"]
    for call, needed in [
        (("POST", path), "devices:write"),
        (("DELETE", f"{path}/{command}"), "devices:write"),
        (("GET", f"{path}/pending"), "devices:write"),
        (("POST", f"{path}/{command}/ack"), "devices:write"),
        (("POST", f"{path}/{command}/report"), "devices:write"),
        (("POST", f"/v1/devices/{device_id}/heartbeat"), "devices:write"),
        (("GET", "/v1/end-users"), "end_users:read"),
        (("POST", "/v1/end-users"), "end_users:write"),
        (("GET", "/v1/recordings"), "recordings:read"),
        (("POST", "/v1/recordings"), "recordings:write"),
        (("GET", "/v1/keys"), "keys:write"),
    ]:
        answer = world.call(*call, credential=world.reader)
        assert is_refused(answer, 403, Code.FORBIDDEN)
        assert answer.json()["error"]["details"] == {"needed": needed}
    for readable in (path, f"{path}/{command}", f"{path}/{command}/events"):
        assert world.call("GET", readable, world.reader).status_code == 200


def test_the_wrong_plane_is_403_and_told_what_is_needed(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    answer = world.call("GET", f"/v1/devices/{device_id}", token)
    assert is_refused(answer, 403, Code.FORBIDDEN)
    assert answer.json()["error"]["details"] == {"needed": "devices:read"}
    answer = world.call("POST", f"/v1/devices/{device_id}/token/refresh")
    assert is_refused(answer, 403, Code.FORBIDDEN)
    assert answer.json()["error"]["details"] == {"needed": "device_token"}


def test_another_projects_and_the_other_modes_objects_are_404(world: WebWorld) -> None:
    device_id, _ = world.bound_device()
    user = world.call("GET", f"/v1/devices/{device_id}").json()["end_user_id"]
    command = world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")["id"]
    for stranger in (world.other_mode, world.other_project):
        for path in (
            f"/v1/devices/{device_id}",
            f"/v1/devices/{device_id}/state",
            f"/v1/devices/{device_id}/commands",
            f"/v1/devices/{device_id}/commands/{command}",
            f"/v1/devices/{device_id}/commands/{command}/events",
            f"/v1/devices/{device_id}/commands/pending",
            f"/v1/end-users/{user}",
        ):
            assert is_refused(world.call("GET", path, stranger), 404, Code.NOT_FOUND), path
        body = {"type": "stop_recording"}
        answer = world.call("POST", f"/v1/devices/{device_id}/commands", stranger, json=body)
        assert is_refused(answer, 404, Code.NOT_FOUND)
        assert world.call("GET", "/v1/devices", stranger).json()["data"] == []
        own = world.call("POST", "/v1/devices", stranger, json={"serial_number": "same"}).json()["id"]
        answer = world.call("POST", f"/v1/devices/{own}/bind", stranger, json={"end_user_id": user})
        assert is_refused(answer, 404, Code.NOT_FOUND)


def test_ids_are_a_prefix_and_letters_and_digits_and_sort_by_time(world: WebWorld) -> None:
    ids = [world.made("/v1/devices", serial_number=f"sorted-{i}")["id"] for i in range(3)]
    assert all(re.fullmatch(r"dev_[A-Za-z0-9]{22}", id_) for id_ in ids)
    assert len(set(ids)) == 3
    project = world.call("GET", f"/v1/devices/{ids[0]}").json()["project_id"]
    assert re.fullmatch(r"proj_[A-Za-z0-9]{1,64}", project)


def test_times_are_utc_with_milliseconds(world: WebWorld) -> None:
    device = world.made("/v1/devices", serial_number="times")
    assert TIME.fullmatch(device["created_at"])
    assert TIME.fullmatch(device["updated_at"])
    assert datetime.fromisoformat(device["created_at"]).utcoffset() is not None


def test_json_is_at_most_64_kib_and_a_heartbeat_1_mib(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    big = b'{"serial_number":"' + b"x" * (64 * 1024) + b'"}'
    assert is_refused(world.call("POST", "/v1/devices", content=big), 413, Code.PAYLOAD_TOO_LARGE)
    answer = world.call("POST", "/v1/devices/me/heartbeat", token, json={"x": "y" * 100_000})
    assert answer.status_code == 200
    answer = world.call("POST", "/v1/devices/me/heartbeat", token, json={"x": "y" * 1024 * 1024})
    assert is_refused(answer, 413, Code.PAYLOAD_TOO_LARGE)
    command = world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")["id"]
    answer = world.call("POST", f"/v1/devices/me/commands/{command}/report", token, content=big)
    assert is_refused(answer, 413, Code.PAYLOAD_TOO_LARGE)


def test_the_path_decides_whether_unknown_fields_count_whatever_the_credential(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    body = {"from_the_future": 1, "battery_percent": 7}
    for credential in (world.key, token):
        path = f"/v1/devices/{device_id}/heartbeat?also=1"
        assert world.call("POST", path, credential, json=body).status_code == 200
    answer = world.call("PATCH", f"/v1/devices/{device_id}", json={"colour": "red", "name": "x", "size": 1})
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert answer.json()["error"]["details"] == {"unknown": ["colour", "size"]}
    answer = world.call("GET", f"/v1/devices/{device_id}?expand=all")
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "expand")
    assert world.call("GET", "/v1/devices/me/commands/pending?from=2030", token).status_code == 200
    assert world.call("POST", "/v1/devices/me/token/refresh?x=1", token, json={"y": 2}).status_code == 200


def test_a_wrong_method_is_405(world: WebWorld) -> None:
    answer = world.call("PUT", "/v1/devices")
    assert is_refused(answer, 405, Code.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_an_error_has_a_code_a_message_and_the_request_id_of_its_header(world: WebWorld) -> None:
    answer = world.call("POST", "/v1/devices", json={"serial_number": 5})
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"code", "message", "param", "request_id"}
    assert (error["code"], error["param"]) == ("invalid_request", "serial_number")
    assert error["request_id"] == answer.headers["x-request-id"]


def test_a_limited_answer_says_how_much_is_left(limited: WebWorld) -> None:
    _, token = limited.bound_device()
    first = limited.call("POST", "/v1/devices/me/heartbeat", token)
    second = limited.call("POST", "/v1/devices/me/heartbeat", token)
    assert first.headers["x-ratelimit-limit"] == "10"
    assert first.headers["x-ratelimit-remaining"] == "9"
    assert second.headers["x-ratelimit-remaining"] in ("8", "9")
    assert int(first.headers["x-ratelimit-reset"]) >= 1
    by_key = limited.call("GET", "/v1/devices")
    assert by_key.headers["x-ratelimit-limit"] == "10000"


def test_over_the_limit_is_429_with_retry_after_and_a_poll_never_starves_a_report(limited: WebWorld) -> None:
    device_id, token = limited.bound_device()
    command = limited.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")["id"]
    refused = None
    for _ in range(20):
        refused = limited.call("GET", "/v1/devices/me/commands/pending", token)
    assert refused is not None
    assert is_refused(refused, 429, Code.RATE_LIMIT_EXCEEDED)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert limited.call("POST", f"/v1/devices/me/commands/{command}/ack", token).status_code == 200
    report = {"status": "executed"}
    assert limited.call("POST", f"/v1/devices/me/commands/{command}/report", token, json=report).status_code == 200


def test_a_limit_of_0_is_none(world: WebWorld) -> None:
    assert "x-ratelimit-limit" not in world.call("GET", "/v1/devices").headers


def test_a_single_object_is_bare_and_uncompressed(world: WebWorld) -> None:
    answer = world.call("POST", "/v1/devices", json={"serial_number": "bare"}, headers={"Accept-Encoding": "gzip"})
    assert answer.json()["serial_number"] == "bare"
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.fixture(scope="module")
def listed(world: WebWorld) -> list[str]:
    """25 users, newest first, in a project of their own."""
    made = [
        world.call("POST", "/v1/end-users", world.other_project, json={"external_id": f"u{i}"}).json()["id"]
        for i in range(25)
    ]
    return made[::-1]


def test_a_list_is_newest_first_in_pages_of_20(world: WebWorld, listed: list[str]) -> None:
    first = world.call("GET", "/v1/end-users", world.other_project).json()
    assert set(first) == {"data", "has_more", "next_cursor"}
    assert [row["id"] for row in first["data"]] == listed[:20]
    assert first["has_more"] is True
    assert re.fullmatch(r"[A-Za-z0-9_.~-]+", first["next_cursor"])
    path = f"/v1/end-users?cursor={first['next_cursor']}"
    rest = world.call("GET", path, world.other_project).json()
    assert ([row["id"] for row in rest["data"]], rest["has_more"], rest["next_cursor"]) == (listed[20:], False, None)


@pytest.mark.parametrize("limit", [1, 24, 25, 26, 100])
def test_a_limit_of_1_to_100_is_obeyed(world: WebWorld, listed: list[str], limit: int) -> None:
    page = world.call("GET", f"/v1/end-users?limit={limit}", world.other_project).json()
    assert [row["id"] for row in page["data"]] == listed[:limit]
    assert page["has_more"] is (limit < 25)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5"])
def test_another_limit_is_400(world: WebWorld, limit: str) -> None:
    assert is_refused(world.call("GET", f"/v1/end-users?limit={limit}"), 400, Code.INVALID_REQUEST, "limit")


def test_a_cursor_is_bound_to_its_filters_and_to_its_list(world: WebWorld, listed: list[str]) -> None:
    cursor = world.call("GET", "/v1/end-users?limit=1", world.other_project).json()["next_cursor"]
    for path in (f"/v1/end-users?external_id=u1&cursor={cursor}", f"/v1/devices?cursor={cursor}"):
        answer = world.call("GET", path, world.other_project)
        assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor"), path
    assert is_refused(world.call("GET", f"/v1/end-users?cursor={cursor}"), 400, Code.INVALID_REQUEST, "cursor")
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    answer = world.call("GET", f"/v1/end-users?cursor={flipped}", world.other_project)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "cursor")


def test_a_list_is_stable_while_rows_are_added(world: WebWorld) -> None:
    for i in range(4):
        world.made("/v1/end-users", external_id=f"stable-{i}")
    first = world.call("GET", "/v1/end-users?limit=2").json()
    world.made("/v1/end-users", external_id="stable-late")
    second = world.call("GET", f"/v1/end-users?limit=2&cursor={first['next_cursor']}").json()
    seen = [row["external_id"] for row in first["data"] + second["data"]]
    assert seen == ["stable-3", "stable-2", "stable-1", "stable-0"]


def test_health_is_503_while_the_database_is_gone(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_web(tmp_path_factory.mktemp("gone")) as world:
        reader = world.app.store._at.reader.conn  # type: ignore[attr-defined]
        done = threading.Event()

        def close() -> None:
            reader.close()
            done.set()

        world.loop.call_soon_threadsafe(close)
        assert done.wait(10)
        answer = world.call("GET", "/health", "")
        assert answer.status_code == 503
        assert answer.json() == {"status": "unhealthy", "database": "disconnected", "billing": "disabled"}
