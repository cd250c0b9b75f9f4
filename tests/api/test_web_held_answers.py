"""Answers that are held back, and limits: polls never starve what matters, and nothing outlives its client."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from rolltape.codes import Code
from tests.api.web_world import WebWorld, is_refused, open_web

POLL = "/v1/devices/me/commands/pending?wait=30"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[WebWorld]:
    with open_web(tmp_path) as world:
        yield world


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def until(holds: Callable[[], bool]) -> None:
    """Waits until it holds; fails after ten seconds."""
    for _ in range(2000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came about")


def held(world: WebWorld) -> int:
    return world.web.held


def poll(world: WebWorld, token: str, path: str = POLL) -> httpx2.Response:
    return httpx2.get(world.base_url + path, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def polls(world: WebWorld, pool: ThreadPoolExecutor, token: str, count: int) -> list["Future[httpx2.Response]"]:
    """So many polls, opened one after the other."""
    found = []
    for i in range(count):
        found.append(pool.submit(poll, world, token))
        until(lambda i=i: held(world) == min(i + 1, 2))  # type: ignore[misc]
    return found


def test_a_poll_comes_back_as_soon_as_there_is_a_command(world: WebWorld, pool: ThreadPoolExecutor) -> None:
    device_id, token = world.bound_device()
    [waiting] = polls(world, pool, token, 1)
    command = world.made(f"/v1/devices/{device_id}/commands", type="start_recording")
    assert [offer["id"] for offer in waiting.result(20).json()["commands"]] == [command["id"]]


def test_a_third_poll_releases_the_oldest_with_an_empty_answer(world: WebWorld, pool: ThreadPoolExecutor) -> None:
    _, token = world.bound_device()
    first, second = polls(world, pool, token, 2)
    third = pool.submit(poll, world, token)
    released = first.result(20).json()
    assert (released["commands"], released["more"]) == ([], False)
    assert not second.done()
    assert not third.done()
    world.loop.call_soon_threadsafe(world.web.drain)
    assert second.result(20).status_code == third.result(20).status_code == 200
    until(lambda: held(world) == 0)


def test_the_polls_of_one_device_leave_those_of_another_alone(world: WebWorld, pool: ThreadPoolExecutor) -> None:
    (_, one), (other_id, other) = world.bound_device(), world.bound_device()
    first = pool.submit(poll, world, other)
    until(lambda: held(world) == 1)
    for _ in range(3):
        pool.submit(poll, world, one)
    until(lambda: held(world) == 3)
    assert not first.done()
    world.made(f"/v1/devices/{other_id}/commands", type="trigger_upload")
    assert first.result(20).json()["commands"]
    world.loop.call_soon_threadsafe(world.web.drain)


def test_a_client_that_goes_away_is_waited_for_no_longer(world: WebWorld) -> None:
    device_id, token = world.bound_device()
    for method, path, credential in [
        ("GET", POLL, token),
        ("POST", f"/v1/devices/{device_id}/commands?wait=30", world.key),
    ]:
        body = {"type": "start_recording"} if method == "POST" else None
        headers = {"Authorization": f"Bearer {credential}"}
        with httpx2.Client(timeout=0.3) as impatient, pytest.raises(httpx2.ReadTimeout):
            impatient.request(method, world.base_url + path, headers=headers, json=body)
        until(lambda: held(world) == 0)
    kept = world.call("GET", f"/v1/devices/{device_id}/commands").json()["data"]
    assert [command["status"] for command in kept] == ["pending"]


def test_create_with_wait_answers_when_the_device_has_reported(world: WebWorld, pool: ThreadPoolExecutor) -> None:
    device_id, token = world.bound_device()
    path = f"/v1/devices/{device_id}/commands"
    for query, headers in [
        ("?wait=30", {}),
        ("", {"Prefer": "respond-async, wait=30"}),
        ("", {"Prefer": "wait=99999"}),
    ]:
        create = pool.submit(
            httpx2.post,
            world.base_url + path + query,
            json={"type": "trigger_upload"},
            headers={"Authorization": f"Bearer {world.key}", **headers},
            timeout=60,
        )
        offer = poll(world, token).json()["commands"][0]
        world.call("POST", f"/v1/devices/me/commands/{offer['id']}/report", token, json={"status": "executed"})
        answer = create.result(20)
        assert (answer.status_code, answer.json()["status"]) == (201, "executed")


@pytest.mark.parametrize(
    ("query", "prefer"), [("", "wait=x"), ("", "wait"), ("", "wait=-5"), ("?wait=0", "wait=60"), ("", "; ,=")]
)
def test_without_a_wait_that_can_be_read_the_answer_comes_at_once(world: WebWorld, query: str, prefer: str) -> None:
    device_id, _ = world.bound_device()
    path = f"/v1/devices/{device_id}/commands{query}"
    answer = world.call("POST", path, json={"type": "start_recording"}, headers={"Prefer": prefer})
    assert answer.json()["status"] == "pending"
    assert answer.elapsed.total_seconds() < 10


def test_draining_releases_every_held_answer_and_holds_no_more(world: WebWorld, pool: ThreadPoolExecutor) -> None:
    device_id, token = world.bound_device()
    waiting = pool.submit(poll, world, token)
    until(lambda: held(world) == 1)
    assert world.call("GET", "/ready", "").status_code == 200
    world.loop.call_soon_threadsafe(world.web.drain)
    assert waiting.result(20).json()["commands"] == []
    assert world.call("GET", "/ready", "").status_code == 503
    assert poll(world, token).status_code == 200
    made = world.call("POST", f"/v1/devices/{device_id}/commands?wait=30", json={"type": "start_recording"})
    assert made.json()["status"] == "pending"


def test_a_database_that_is_gone_makes_the_server_unhealthy(world: WebWorld) -> None:
    world.run(world.app.store.close())
    answer = world.call("GET", "/health", "")
    assert answer.status_code == 503
    assert answer.content == b'{"status":"unhealthy","database":"disconnected","billing":"disabled"}'


def test_polls_that_are_over_their_limit_never_starve_ack_and_report(tmp_path: Path) -> None:
    with open_web(tmp_path, device_rate=1) as world:
        device_id, token = world.bound_device()
        command = world.made(f"/v1/devices/{device_id}/commands", type="trigger_upload")
        mine = f"/v1/devices/me/commands/{command['id']}"
        answers = [world.call("GET", "/v1/devices/me/commands/pending", token) for _ in range(12)]
        assert answers[0].headers["x-ratelimit-limit"] == "10"
        assert answers[0].headers["x-ratelimit-remaining"] == "9"
        refused = [answer for answer in answers if answer.status_code != 200]
        assert refused
        assert all(is_refused(answer, 429, Code.RATE_LIMIT_EXCEEDED) for answer in refused)
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert world.call("POST", f"{mine}/ack", token).status_code == 200
        assert world.call("POST", f"{mine}/report", token, json={"status": "executed"}).status_code == 200


def test_a_key_has_a_limit_of_its_own_that_its_device_does_not_share(tmp_path: Path) -> None:
    with open_web(tmp_path, key_rate=1) as world:
        statuses = [world.call("GET", "/v1/devices/stats").status_code for _ in range(13)]
        assert statuses[:10] == [200] * 10
        assert 429 in statuses[10:]
        assert world.call("GET", "/v1/devices/stats", world.reader).status_code == 200
        assert world.call("GET", "/health").status_code == 200


def test_limits_that_are_off_say_nothing(world: WebWorld) -> None:
    assert "x-ratelimit-limit" not in world.call("GET", "/v1/devices/stats").headers
