"""One request, sent twice, is one command; and an answer that waits for the device."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from rolltape.codes import Code
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import NODES, is_refused

DAY = 86_400


@pytest.fixture(scope="module", params=NODES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def create(device: BoundDevice, query: str = "", header: str | None = None, **body: Any) -> httpx2.Response:
    headers = {} if header is None else {"Idempotency-Key": header}
    body.setdefault("type", "start_recording")
    return device.world.call("POST", f"{device.path}/commands{query}", json=body, headers=headers)


def replays(answer: httpx2.Response, command_id: str) -> bool:
    found = (answer.status_code, answer.json()["id"], answer.headers.get("Idempotent-Replayed"))
    return found == (200, command_id, "true")


def test_the_same_request_again_is_200_with_the_command_as_it_now_stands(device: BoundDevice) -> None:
    first = create(device, idempotency_key="k")
    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    again = create(device, idempotency_key="k")
    assert replays(again, first.json()["id"])
    assert again.json() == first.json()
    device.report(first.json()["id"])
    assert create(device, idempotency_key="k").json()["status"] == "executed"
    assert device.story(first.json()["id"]) == ["created", "executed"]


def test_a_header_and_a_body_field_are_one_key(device: BoundDevice) -> None:
    first = create(device, header="k").json()["id"]
    assert replays(create(device, idempotency_key="k"), first)
    assert replays(create(device, header="k", idempotency_key="k"), first)
    assert is_refused(create(device, header="k", idempotency_key="other"), 400, Code.INVALID_REQUEST)


@pytest.mark.parametrize("key", ["", "x" * 256, 5, "a\x00b"])
def test_a_key_has_1_to_255_characters(device: BoundDevice, key: Any) -> None:
    assert is_refused(create(device, idempotency_key=key), 400, Code.INVALID_REQUEST)
    if isinstance(key, str) and "\x00" not in key:
        assert is_refused(create(device, header=key), 400, Code.INVALID_REQUEST, "Idempotency-Key")
    assert create(device, idempotency_key="x" * 255).status_code in (200, 201)


def test_requests_are_compared_after_defaults_and_without_wait(device: BoundDevice) -> None:
    spelled: dict[str, Any] = {"params": {"upload_immediately": True, "max_duration_sec": 3600}, "ttl_seconds": 300}
    first = create(device, idempotency_key="k", **spelled).json()["id"]
    assert replays(create(device, idempotency_key="k"), first)
    assert replays(create(device, idempotency_key="k", params={}), first)
    assert replays(create(device, "?wait=0", idempotency_key="k"), first)
    nested = create(device, idempotency_key="m", params={"metadata": {"a": 1, "b": {"c": 2, "d": 3}}}).json()["id"]
    swapped = {"metadata": {"b": {"d": 3, "c": 2}, "a": 1}}
    assert replays(create(device, idempotency_key="m", params=swapped), nested)


@pytest.mark.parametrize(
    "other",
    [
        {"type": "stop_recording"},
        {"ttl_seconds": 301},
        {"params": {"max_duration_sec": 60}},
        {"params": {"upload_immediately": False}},
        {"params": {"metadata": {"a": 1}}},
    ],
)
def test_the_same_key_with_another_request_is_409(device: BoundDevice, other: dict[str, Any]) -> None:
    first = create(device, idempotency_key="k").json()
    answer = create(device, idempotency_key="k", **other)
    assert is_refused(answer, 409, Code.IDEMPOTENCY_KEY_REUSED)
    assert answer.json()["error"]["details"]["status"] == "pending"
    assert device.read(first["id"]) == first
    assert len(device.world.get(f"{device.path}/commands")["data"]) == 1


def test_a_key_is_looked_at_after_validation(device: BoundDevice) -> None:
    create(device, idempotency_key="k")
    assert is_refused(create(device, idempotency_key="k", ttl_seconds=0), 400, Code.INVALID_REQUEST)


def test_a_key_belongs_to_one_device_and_one_generation(device: BoundDevice) -> None:
    first = create(device, idempotency_key="k").json()["id"]
    assert create(device.world.device(), idempotency_key="k").status_code == 201
    device.unbind()
    replayed = create(device, idempotency_key="k")
    assert replays(replayed, first)
    assert replayed.json()["status"] == "cancelled"
    assert is_refused(create(device, idempotency_key="fresh"), 409, Code.DEVICE_NOT_BOUND)
    device.bind()
    assert create(device, idempotency_key="k").status_code == 201


def test_a_key_is_kept_for_30_days(world: ContractWorld, device: BoundDevice) -> None:
    first = create(device, idempotency_key="k").json()["id"]
    world.pass_time(30 * DAY - 1)
    assert replays(create(device, idempotency_key="k"), first)
    world.pass_time(2)
    assert create(device, idempotency_key="k").status_code == 201


def test_two_at_once_with_one_key_are_one_command(device: BoundDevice) -> None:
    ready = threading.Barrier(16)

    def send(_: int) -> tuple[int, str, str | None]:
        with httpx2.Client() as http:
            ready.wait(10)
            answer = http.post(
                f"{device.world.web.base_url}{device.path}/commands",
                json={"type": "stop_recording", "idempotency_key": "same"},
                headers={"Authorization": f"Bearer {device.world.web.key}"},
            )
        return answer.status_code, answer.json()["id"], answer.headers.get("Idempotent-Replayed")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    assert len({id_ for _, id_, _ in answers}) == 1
    assert sorted((status, replayed or "") for status, _, replayed in answers) == [(200, "true")] * 15 + [(201, "")]
    assert len(device.world.get(f"{device.path}/commands")["data"]) == 1


def held(device: BoundDevice, query: str = "?wait=60", **parts: Any) -> Any:
    """A create that waits, once it is held back; and the id of its command, which lives for 30 seconds."""
    path = f"{device.path}/commands{query}"
    body = {"type": "start_recording", "idempotency_key": "held", "ttl_seconds": 30}
    command = create(device, idempotency_key="held", ttl_seconds=30).json()["id"]
    return device.world.held("POST", path, json=body, topic=command, **parts), command


def test_a_wait_ends_when_the_command_is_terminal(device: BoundDevice) -> None:
    answer, command = held(device)
    device.ack(command)
    assert not answer.done()
    device.report(command, result={"recording_id": "rec_1"})
    assert replays(answer.result(10), command)
    assert answer.result().json()["status"] == "executed"


def test_a_wait_ends_when_its_time_is_up_with_201_all_the_same(world: ContractWorld, device: BoundDevice) -> None:
    path, body = f"{device.path}/commands?wait=5", {"type": "start_recording"}
    before = world.clock.sleepers
    answer = world.pool.submit(world.call, "POST", path, json=body)
    while not (made := world.get(f"{device.path}/commands")["data"]):
        assert not answer.done()
    world.until_waits(made[0]["id"], before)
    assert not answer.done()
    world.pass_time(5)
    assert (answer.result(10).status_code, answer.result().json()["status"]) == (201, "pending")


@pytest.mark.parametrize("preference", ["wait=60", "respond-async, wait=60", "wait=1000"])
def test_a_preference_waits_as_well(device: BoundDevice, preference: str) -> None:
    answer, command = held(device, "", headers={"Prefer": preference})
    device.report(command)
    assert answer.result(10).json()["status"] == "executed"


@pytest.mark.parametrize("end", ["cancel", "stop", "unbind", "delete", "expire", "reset"])
def test_a_wait_ends_whatever_ends_the_command(device: BoundDevice, end: str) -> None:
    answer, command = held(device)
    if end == "cancel":
        device.world.call("DELETE", f"{device.path}/commands/{command}")
    elif end == "stop":
        device.command("stop_recording")
    elif end == "unbind":
        device.unbind()
    elif end == "delete":
        device.world.call("DELETE", device.path)
    elif end == "reset":
        device.world.web.made(f"{device.path}/reset")
    else:
        others = device.world.clock.sleepers - 1
        device.world.pass_time(29)
        device.world.until_waits(command, others)  # it looks by itself now and then: the clock stands still meanwhile
        assert not answer.done()
        device.world.pass_time(1.001)
    assert answer.result(10).status_code == 200
    assert answer.result().json()["status"] == ("expired" if end == "expire" else "cancelled")


def test_a_wait_ends_when_a_reset_that_is_carried_out_cancels_the_command(device: BoundDevice) -> None:
    reset = device.world.web.made(f"{device.path}/reset")["id"]
    answer, _ = held(device)
    device.report(reset)
    assert answer.result(10).json()["status"] == "cancelled"


@pytest.mark.parametrize("wait", ["-1", "61", "x", "nan", ""])
def test_a_wait_is_from_0_to_60(device: BoundDevice, wait: str) -> None:
    answer = create(device, f"?wait={wait}")
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "wait")
    assert device.world.get(f"{device.path}/commands")["data"] == []
