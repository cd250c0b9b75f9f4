"""Bodies, queries and headers that are wrong, over a real socket: the right refusal, and nothing changed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rolltape.codes import Code
from rolltape.web.operation import Operation
from rolltape.web.table import OPERATIONS
from tests.api.web_world import WebWorld, body_of, credential_for, is_refused, named, one_of_each, open_web, raw

START = {"type": "start_recording"}
GUARDED = [op for op in OPERATIONS if not op.public and not op.signed]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture(scope="module")
def ids(world: WebWorld) -> dict[str, str]:
    return one_of_each(world)


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.reads_body], ids=named)
def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    world: WebWorld, ids: dict[str, str], op: Operation
) -> None:
    head = (
        f"{op.method} {op.path.format(**ids)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {credential_for(world, op, ids)}\r\nContent-Length: {op.body_limit + 1}\r\n\r\n"
    )
    status, _, body = raw(world, head.encode())
    assert (status, json.loads(body)["error"]["details"]) == (413, {"limit_bytes": op.body_limit})


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.reads_body], ids=named)
def test_a_chunked_body_that_grows_too_large_is_refused(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    def grow() -> Iterator[bytes]:
        yield b'{"x":"'
        for _ in range(op.body_limit // 16_384 + 1):
            yield b"y" * 16_384
        yield b'"}'

    answer = world.call(op.method, op.path.format(**ids), credential_for(world, op, ids), content=grow())
    assert is_refused(answer, 413, Code.PAYLOAD_TOO_LARGE)


def test_a_body_of_exactly_the_greatest_size_is_read(world: WebWorld, ids: dict[str, str]) -> None:
    path = f"/v1/devices/{ids['device_id']}/heartbeat"
    body = b'{"x":"' + b"y" * (1024 * 1024 - 8) + b'"}'
    assert world.call("POST", path, content=body).status_code == 200
    assert world.call("POST", path, content=body + b" ").status_code == 413
    small = b'{"force":false}'
    padded = small + b" " * (64 * 1024 - len(small))
    other, _ = world.bound_device()
    assert world.call("POST", f"/v1/devices/{other}/unbind", content=padded).status_code == 200
    assert world.call("POST", f"/v1/devices/{other}/unbind", content=padded + b" ").status_code == 413


BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"{}x",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"a":NaN}',
    b'{"a":"\\ud800"}',
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"a":' + b"9" * 60_000 + b"}",
]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.reads_body], ids=named)
def test_a_body_that_is_no_object_is_refused_everywhere(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    credential = credential_for(world, op, ids)
    for body in BAD_BODIES:
        if op.lenient and body.startswith(b'{"a":'):
            continue  # what a device path doesn't know it doesn't read
        answer = world.call(op.method, op.path.format(**ids), credential, content=body)
        assert is_refused(answer, 400, Code.INVALID_REQUEST), body[:40]


@pytest.mark.parametrize("op", [op for op in OPERATIONS if op.reads_body and not op.lenient], ids=named)
def test_all_unknown_fields_are_named_on_a_backend_path(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    body = {**body_of(op, ids)["json"], "foo": 1, "bar": {"baz": 2}}
    answer = world.call(op.method, op.path.format(**ids), json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert answer.json()["error"]["details"] == {"unknown": ["foo", "bar"]}


@pytest.mark.parametrize("op", [op for op in GUARDED if not op.lenient], ids=named)
def test_all_unknown_query_parameters_are_named_on_a_backend_path(
    world: WebWorld, ids: dict[str, str], op: Operation
) -> None:
    answer = world.call(op.method, op.path.format(**ids) + "?foo=1&bar", **body_of(op, ids))
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert answer.json()["error"]["details"] == {"unknown": ["foo", "bar"]}


def test_unknown_params_of_a_command_are_named(world: WebWorld, ids: dict[str, str]) -> None:
    path = f"/v1/devices/{ids['device_id']}/commands"
    body = {"type": "start_recording", "params": {"foo": 1, "max_duration_sec": 5, "bar": 2}}
    answer = world.call("POST", path, json=body)
    assert is_refused(answer, 400, Code.INVALID_REQUEST)
    assert answer.json()["error"]["details"] == {"unknown": ["params.bar", "params.foo"]}


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/json; charset=utf-16", ""])
def test_a_body_of_another_type_is_refused(world: WebWorld, ids: dict[str, str], kind: str) -> None:
    path = f"/v1/devices/{ids['device_id']}/commands"
    answer = world.call("POST", path, content=json.dumps(START).encode(), headers={"Content-Type": kind})
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "Content-Type")


def test_a_header_that_counts_may_come_only_once(world: WebWorld, ids: dict[str, str]) -> None:
    twice = [("Authorization", f"Bearer {world.key}"), ("Authorization", f"Bearer {world.reader}")]
    answer = world.http.get(f"{world.base_url}/v1/devices", headers=twice)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "Authorization")


@pytest.mark.parametrize(
    ("header", "body", "param"),
    [("a", "b", "idempotency_key"), ("", None, "Idempotency-Key"), ("x" * 256, None, "Idempotency-Key")],
)
def test_idempotency_keys_that_differ_or_do_not_fit_are_refused(
    world: WebWorld, ids: dict[str, str], header: str, body: str | None, param: str
) -> None:
    path = f"/v1/devices/{ids['device_id']}/commands"
    answer = world.call("POST", path, json={**START, "idempotency_key": body}, headers={"Idempotency-Key": header})
    assert is_refused(answer, 400, Code.INVALID_REQUEST, param)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl_seconds", 0),
        ("ttl_seconds", 604801),
        ("ttl_seconds", "5"),
        ("ttl_seconds", 5.0),
        ("ttl_seconds", True),
        ("ttl_seconds", 10**30),
        ("ttl_seconds", -1),
        ("type", "factory_reset"),
        ("type", ""),
        ("type", 1),
        ("type", None),
        ("idempotency_key", ""),
        ("idempotency_key", "x" * 256),
        ("idempotency_key", "x" * 10000),
        ("idempotency_key", 1),
        ("idempotency_key", "a\x00b"),
        ("params", []),
        ("params", "x"),
        ("params", {"max_duration_sec": 0}),
        ("params", {"max_duration_sec": 86401}),
        ("params", {"max_duration_sec": "1"}),
        ("params", {"metadata": "x"}),
        ("params", {"metadata": {"x": "y" * 16400}}),
        ("params", {"metadata": {"x": "\x00"}}),
        ("params", {"upload_immediately": 1}),
        ("params", {"upload_immediately": "true"}),
    ],
)
def test_a_command_with_a_value_out_of_bounds_is_never_created(world: WebWorld, field: str, value: Any) -> None:
    device_id, _ = world.bound_device()
    path = f"/v1/devices/{device_id}/commands"
    body = json.dumps({**START, field: value}).encode()
    assert is_refused(world.call("POST", path, content=body), 400, Code.INVALID_REQUEST)
    assert world.call("GET", path).json()["data"] == []


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [("ttl_seconds", [1, 604_800], [0, 604_801]), ("idempotency_key", ["x", "y" * 255], ["", "y" * 256])],
)
def test_a_bound_itself_is_inside(world: WebWorld, field: str, good: list[Any], bad: list[Any]) -> None:
    device_id, _ = world.bound_device()
    for value, status in [*((value, 201) for value in good), *((value, 400) for value in bad)]:
        answer = world.call("POST", f"/v1/devices/{device_id}/commands", json={**START, field: value})
        assert answer.status_code == status


def test_a_cursor_that_was_tampered_with_or_is_of_another_list_is_refused(world: WebWorld) -> None:
    for i in range(3):
        world.made("/v1/devices", serial_number=f"cursor-{i}")
    cursor = world.call("GET", "/v1/devices?limit=1").json()["next_cursor"]
    flipped = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    for wrong in (flipped, cursor[:-2], cursor + "A", "x", "A" * 512, "..", "%C3%A9", "=" * 8):
        assert is_refused(world.call("GET", f"/v1/devices?cursor={wrong}"), 400, Code.INVALID_REQUEST, "cursor")
    for path in (f"/v1/devices?status=bound&cursor={cursor}", f"/v1/end-users?cursor={cursor}"):
        assert is_refused(world.call("GET", path), 400, Code.INVALID_REQUEST, "cursor")
    other = world.call("GET", f"/v1/devices?cursor={cursor}", world.other_project)
    assert is_refused(other, 400, Code.INVALID_REQUEST, "cursor")
    assert world.call("GET", f"/v1/devices?cursor={cursor}").status_code == 200


def test_in_a_heartbeat_of_1000_reports_the_right_half_lands(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    right = [world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")["id"] for _ in range(50)]
    wrong: list[Any] = [
        {"id": "cmd_nowhere", "status": "executed"},
        1,
        None,
        {"id": right[0]},
        {"status": "executed"},
        "x",
    ]
    wrong += [
        {"id": right[1], "status": "done"},
        {"id": 5, "status": "failed"},
        [],
        {"id": right[2], "status": "failed", "error": 1},
    ]
    results: list[Any] = []
    for i in range(500):
        results += [wrong[i % len(wrong)], {"id": right[i % 50], "status": "executed", "result": {"n": i % 50}}]
    answer = world.call("POST", "/v1/devices/me/heartbeat", token, json={"results": results})
    assert [result["ok"] for result in answer.json()["results"]] == [False, True] * 500
    path = f"/v1/devices/{device_id}/commands?limit=100"
    assert {command["status"] for command in world.call("GET", path).json()["data"]} == {"executed"}
    over = world.call("POST", "/v1/devices/me/heartbeat", token, json={"results": [{}] * 1001})
    assert is_refused(over, 400, Code.INVALID_REQUEST)
