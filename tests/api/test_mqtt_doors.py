"""What brokers ask over HTTP, in each one's own words: EMQX, VerneMQ, mosquitto-go-auth."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rolltape.wire.mqtt import topic
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract

SECRET = "a-secret-of-the-broker"
OWN = ("rolltape-server", "its-own-password")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    url = f"mqtt://{OWN[0]}:{OWN[1]}@127.0.0.1:1"
    with open_contract(tmp_path_factory.mktemp("web"), mqtt=url, mqtt_auth_secret=SECRET) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def ask(world: ContractWorld, path: str, body: Any, *, hook: str = "", form: bool = False) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {SECRET}"} | ({"vernemq-hook": hook} if hook else {})
    parts = {"data": body} if form else {"json": body}
    return world.web.http.post(f"{world.web.base_url}/broker/{path}", headers=headers, **parts)


def shown(device: BoundDevice, name: str = "clientid", **other: str) -> dict[str, str]:
    return {"username": device.id, "password": device.token, name: device.id, **other}


def of(device: BoundDevice, leaf: str) -> str:
    return topic(str(device.bound["project_id"]), device.id, leaf)


def test_emqx_is_told_whom_to_let_in_and_what_they_may_do(world: ContractWorld, device: BoundDevice) -> None:
    told = ask(world, "emqx/authn", shown(device)).json()
    assert (told["result"], told["is_superuser"]) == ("allow", False)
    assert told["acl"][-1] == {"permission": "deny", "action": "all", "topic": "#"}
    allowed = {(rule["action"], rule["topic"]) for rule in told["acl"] if rule["permission"] == "allow"}
    assert allowed == {
        *(("publish", f"eq {of(device, leaf)}") for leaf in ("heartbeat", "ack", "report")),
        *(("subscribe", f"eq {of(device, leaf)}") for leaf in ("offer", "answer")),
    }
    assert ask(world, "emqx/authn", shown(device, password="dtok_wrong")).json() == {"result": "deny"}
    server = {"username": OWN[0], "password": OWN[1], "clientid": "rolltape-node-1"}
    assert ask(world, "emqx/authn", server).json() == {"result": "allow", "is_superuser": True}


@pytest.mark.parametrize(
    ("action", "leaf", "result"),
    [
        ("publish", "ack", "allow"),
        ("publish", "offer", "deny"),
        ("subscribe", "offer", "allow"),
        ("subscribe", "ack", "deny"),
        ("anything", "ack", "deny"),
    ],
)
def test_emqx_is_told_of_each_topic(
    world: ContractWorld, device: BoundDevice, action: str, leaf: str, result: str
) -> None:
    asked = {"username": device.id, "clientid": device.id, "topic": of(device, leaf), "action": action}
    assert ask(world, "emqx/authz", asked).json() == {"result": result}
    asked["topic"] = of(world.device(), leaf)
    assert ask(world, "emqx/authz", asked).json() == {"result": "deny"}


@pytest.mark.parametrize("version", ["", "_m5"])
def test_vernemq_is_told_by_its_hooks(world: ContractWorld, device: BoundDevice, version: str) -> None:
    ok, no = {"result": "ok"}, {"result": {"error": "not_allowed"}}
    register = f"auth_on_register{version}"
    assert ask(world, "vernemq", shown(device, "client_id", mountpoint=""), hook=register).json() == ok
    assert ask(world, "vernemq", shown(device, "client_id", password="x"), hook=register).json() == no
    who = {"username": device.id, "client_id": device.id}
    publish, subscribe = f"auth_on_publish{version}", f"auth_on_subscribe{version}"
    said = {**who, "qos": 1, "payload": "e30=", "retain": False}
    assert ask(world, "vernemq", {**said, "topic": of(device, "report")}, hook=publish).json() == ok
    assert ask(world, "vernemq", {**said, "topic": of(device, "answer")}, hook=publish).json() == no
    wanted = [{"topic": of(device, leaf), "qos": 1} for leaf in ("offer", "answer")]
    assert ask(world, "vernemq", {**who, "topics": wanted}, hook=subscribe).json() == ok
    assert ask(world, "vernemq", {**who, "topics": [*wanted, {"topic": "#", "qos": 1}]}, hook=subscribe).json() == no
    assert ask(world, "vernemq", {**who, "topics": []}, hook=subscribe).json() == no
    assert ask(world, "vernemq", who, hook="on_client_gone").json() == {"result": "next"}


@pytest.mark.parametrize("form", [False, True])
def test_mosquitto_go_auth_is_told_by_status_and_by_body(world: ContractWorld, device: BoundDevice, form: bool) -> None:
    good = ask(world, "http/user", shown(device), form=form)
    assert (good.status_code, good.json()) == (200, {"ok": True, "error": ""})
    assert ask(world, "http/user", shown(device, password="x"), form=form).status_code == 403
    assert ask(world, "http/superuser", {"username": device.id}, form=form).status_code == 403
    for acc, leaf, status in (
        (1, "offer", 200),
        (4, "offer", 200),
        (2, "ack", 200),
        (2, "offer", 403),
        (3, "ack", 403),
    ):
        asked = {"username": device.id, "clientid": device.id, "topic": of(device, leaf), "acc": acc}
        assert ask(world, "http/acl", asked, form=form).status_code == status, (acc, leaf)


def test_nobody_else_may_ask(world: ContractWorld, device: BoundDevice) -> None:
    url, http = f"{world.web.base_url}/broker/emqx/authn", world.web.http
    assert http.post(url, json=shown(device)).status_code == 401
    assert http.post(url, json=shown(device), headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert http.post(f"{url}?secret=wrong", json=shown(device)).status_code == 401
    assert http.post(f"{url}?secret={SECRET}", json=shown(device)).json()["result"] == "allow"
    assert http.get(f"{url}?secret={SECRET}").status_code == 400
    assert http.post(f"{url}?secret={SECRET}", content=b"[").status_code == 400
    assert http.post(f"{url}?secret={SECRET}", content=b"x" * 2_100_000).status_code == 400
    assert http.post(f"{world.web.base_url}/broker/other?secret={SECRET}").status_code == 404


def test_without_a_secret_there_is_no_such_door(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        answer = world.web.http.post(f"{world.web.base_url}/broker/emqx/authn?secret=", json={})
        assert answer.status_code == 404
