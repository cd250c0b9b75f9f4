"""Who may not: credentials that are missing, wrong, ended or swapped, and things of other projects."""

from collections.abc import Iterator

import pytest

from rolltape.codes import Code
from rolltape.web.operation import Operation
from rolltape.web.table import OPERATIONS
from tests.api.web_world import WebWorld, body_of, is_refused, named, one_of_each, open_web

START = {"type": "start_recording"}
GUARDED = [op for op in OPERATIONS if not op.public and not op.signed]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebWorld]:
    with open_web(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture(scope="module")
def ids(world: WebWorld) -> dict[str, str]:
    return one_of_each(world)


@pytest.mark.parametrize("op", GUARDED, ids=named)
def test_without_a_credential_nothing_is_told(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    answer = world.call(op.method, op.path.format(**ids), "", **body_of(op, ids))
    assert is_refused(answer, 401, Code.UNAUTHORIZED)
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Basic c2s6",
        b"sk_test_x",
        b"Bearer sk_test_x y",
        b"Bearer nope",
        b"Bearer \xff\xfe",
        b"Bearer " + b"x" * 10000,
        b"Bearer dtok_" + b"A" * 43,
        b"Bearer sk_live_" + b"A" * 43,
        b"Bearer\tsk_test_x",
    ],
)
def test_a_credential_that_is_none_is_401(world: WebWorld, value: bytes) -> None:
    answer = world.call("GET", "/v1/devices", "", headers={"Authorization": value})
    assert is_refused(answer, 401, Code.UNAUTHORIZED)


@pytest.mark.parametrize("op", [op for op in GUARDED if op.scope], ids=named)
def test_a_key_without_the_scope_is_told_which_one_it_needs(
    world: WebWorld, ids: dict[str, str], op: Operation
) -> None:
    lacking = world.made("/v1/keys", scopes=["end_users:read" if op.scope != "end_users:read" else "devices:read"])
    answer = world.call(op.method, op.path.format(**ids), lacking["key"], **body_of(op, ids))
    assert is_refused(answer, 403, Code.FORBIDDEN)
    assert answer.json()["error"]["details"] == {"needed": op.scope}


@pytest.mark.parametrize("op", [op for op in GUARDED if not op.device], ids=named)
def test_a_device_token_is_refused_on_the_backend_plane(world: WebWorld, ids: dict[str, str], op: Operation) -> None:
    _, token = world.bound_device()
    answer = world.call(op.method, op.path.format(**ids), token, **body_of(op, ids))
    assert is_refused(answer, 403, Code.FORBIDDEN)


@pytest.mark.parametrize("op", [op for op in GUARDED if op.params and op.scope], ids=named)
@pytest.mark.parametrize("whose", ["other_project", "other_mode"])
def test_what_belongs_to_another_project_or_mode_is_not_there(
    world: WebWorld, ids: dict[str, str], op: Operation, whose: str
) -> None:
    before = world.call("GET", f"/v1/devices/{ids['device_id']}").json()
    answer = world.call(op.method, op.path.format(**ids), getattr(world, whose), **body_of(op, ids))
    assert is_refused(answer, 404, Code.NOT_FOUND)
    assert world.call("GET", f"/v1/devices/{ids['device_id']}").json() == before


def test_a_device_token_speaks_for_its_own_device_alone(world: WebWorld, ids: dict[str, str]) -> None:
    _, token = world.bound_device()
    device_paths = [op for op in GUARDED if op.me]
    assert len(device_paths) == 6
    for op in device_paths:
        answer = world.call(op.method, op.path.format(**ids), token, **body_of(op, ids))
        assert is_refused(answer, 404, Code.NOT_FOUND, "device_id")
        if op.scope:
            answer = world.call(op.method, op.path.format(**{**ids, "device_id": "me"}), **body_of(op, ids))
            assert is_refused(answer, 404, Code.NOT_FOUND, "device_id")
            assert "dev_" in answer.json()["error"]["message"]


def test_an_ended_token_only_finishes_its_story(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    command = world.made(f"/v1/devices/{device_id}/commands", **START)
    world.ended_token(device_id, token)
    for method, path in [
        ("POST", "/v1/devices/me/heartbeat"),
        ("GET", "/v1/devices/me/commands/pending?wait=60"),
        ("POST", "/v1/devices/me/token/refresh"),
        ("GET", "/v1/devices"),
    ]:
        assert is_refused(world.call(method, path, token), 401, Code.TOKEN_REVOKED)
    mine = f"/v1/devices/me/commands/{command['id']}"
    assert is_refused(world.call("POST", f"{mine}/ack", token), 409, Code.COMMAND_NO_GO)
    assert world.call("POST", f"{mine}/report", token, json={"status": "executed"}).json()["status"] == "executed"
