"""Who may open a channel, and what everybody else is told, before and while it opens."""

import json
from collections.abc import Iterator

import pytest

from rolltape.codes import Code
from rolltape.wire.channel import SUBPROTOCOL
from tests.api.channel_world import PATH, Live, refused, sweep
from tests.api.contract_world import BoundDevice, ContractWorld, open_contract
from tests.api.web_world import is_refused, raw

KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def device(world: ContractWorld) -> BoundDevice:
    return world.device()


def test_the_handshake_chooses_the_subprotocol_and_names_the_request(world: ContractWorld, device: BoundDevice) -> None:
    live = Live(world, device.token)
    answer = live.line.response
    assert answer is not None
    assert live.line.subprotocol == SUBPROTOCOL
    headers = {name.lower(): value for name, value in answer.headers.raw_items()}
    assert "sec-websocket-extensions" not in headers
    world.web.document.check("GET", PATH, 101, headers, b"")
    live.close()


def test_a_device_may_call_itself_me_or_by_its_id_but_never_another(world: ContractWorld, device: BoundDevice) -> None:
    Live(world, device.token, path=f"{device.path}/channel").close()
    status, error = refused(world, device.token, path=f"{world.device().path}/channel")
    assert (status, error["code"], error["param"]) == (404, "not_found", "device_id")


@pytest.mark.parametrize("token", ["", "nonsense", "dtok_" + "A" * 43, "dtok_" + "A" * 500])
def test_without_a_token_that_is_known_none_is_opened(world: ContractWorld, token: str) -> None:
    status, error = refused(world, token)
    assert (status, error["code"]) == (401, "unauthorized")


def test_a_key_is_told_that_only_a_device_may(world: ContractWorld, device: BoundDevice) -> None:
    status, error = refused(world, world.web.key, path=f"{device.path}/channel")
    assert (status, error["code"], error["details"]) == (403, "forbidden", {"needed": "device_token"})


def test_a_relay_is_told_so_too(world: ContractWorld, device: BoundDevice) -> None:
    token = world.web.made("/v1/relay-tokens", end_user_id=device.user)["relay_token"]
    status, error = refused(world, token)
    assert (status, error["code"], error["details"]) == (403, "forbidden", {"needed": "device_token"})


def test_a_token_whose_binding_is_over_is_told_so(world: ContractWorld, device: BoundDevice) -> None:
    device.unbind(force=True)
    status, error = refused(world, device.token)
    assert (status, error["code"]) == (401, "token_revoked")


def test_a_token_that_was_replaced_is_unknown(world: ContractWorld, device: BoundDevice) -> None:
    fresh = world.call("POST", "/v1/devices/me/token/refresh", device.token).json()["device_token"]
    Live(world, fresh).close()
    status, error = refused(world, device.token)
    assert (status, error["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("subprotocol", ["", "rolltape.channel.v2", "mqtt"])
def test_without_the_subprotocol_none_is_opened(world: ContractWorld, device: BoundDevice, subprotocol: str) -> None:
    status, error = refused(world, device.token, subprotocols=subprotocol)
    assert (status, error["code"], error["param"]) == (400, "invalid_request", "Sec-WebSocket-Protocol")
    assert SUBPROTOCOL in error["message"]


def test_a_subprotocol_among_others_is_found(world: ContractWorld, device: BoundDevice) -> None:
    live = Live(world, device.token, subprotocols=f"mqtt {SUBPROTOCOL}")
    assert live.line.subprotocol == SUBPROTOCOL
    live.close()


def test_a_plain_get_is_told_to_upgrade(world: ContractWorld, device: BoundDevice) -> None:
    answer = world.call("GET", PATH, device.token)
    assert is_refused(answer, 400, Code.INVALID_REQUEST, "Upgrade")
    assert is_refused(world.call("GET", PATH, ""), 401, Code.UNAUTHORIZED)
    assert is_refused(world.call("POST", PATH, device.token), 405, Code.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize("path", ["/", "/v1/devices/me/heartbeat", "/v1/nowhere", "/health", "/v1/devices"])
def test_no_socket_is_taken_anywhere_else(world: ContractWorld, device: BoundDevice, path: str) -> None:
    status, error = refused(world, device.token, path=path)
    assert (status, error["code"]) == (404, "not_found")


VERSION = "Sec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("headers", "param"),
    [
        (VERSION, "Sec-WebSocket-Key"),
        (VERSION + "Sec-WebSocket-Key: short\r\n", "Sec-WebSocket-Key"),
        (VERSION + KEY + KEY, "Sec-WebSocket-Key"),
        (KEY, "Sec-WebSocket-Version"),
        ("Sec-WebSocket-Version: 8\r\n" + KEY, "Sec-WebSocket-Version"),
        (VERSION + KEY + "X-Long: " + "x" * 9000 + "\r\n", None),
    ],
)
@pytest.mark.parametrize("asked", ["mine-1", "not sane", None])
def test_a_handshake_that_is_none_opens_nothing_and_is_told_so_like_any_other_request(
    world: ContractWorld, device: BoundDevice, headers: str, param: str | None, asked: str | None
) -> None:
    named = "" if asked is None else f"X-Request-Id: {asked}\r\n"
    text = (
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{named}{headers}"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\nAuthorization: Bearer {device.token}\r\n\r\n"
    )
    status, answered, body = raw(world.web, text.encode())
    error = json.loads(body)["error"]
    assert (status, error["code"], error.get("param")) == (400, "invalid_request", param)
    assert "Sec-WebSocket-Version: 13" in error["message"]
    assert (answered["content-type"], answered["connection"]) == ("application/json", "close")
    assert answered["x-request-id"] == error["request_id"]
    assert (error["request_id"] == asked) == (asked == "mine-1" and param is not None)
    assert len(body) == int(answered["content-length"])


def test_a_handshake_by_post_is_told_to_use_get(world: ContractWorld, device: BoundDevice) -> None:
    text = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{VERSION}{KEY}\r\n"
    status, answered, body = raw(world.web, text.encode())
    assert (status, json.loads(body)["error"]["code"], answered["allow"]) == (405, "method_not_allowed", "GET")


def test_two_credentials_in_one_handshake_are_refused(world: ContractWorld, device: BoundDevice) -> None:
    twice = f"Authorization: Bearer {device.token}\r\n" * 2
    text = (
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"{KEY}Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n{twice}\r\n"
    )
    status, _, body = raw(world.web, text.encode())
    assert (status, b'"param":"Authorization"' in body) == (400, True)


def test_openings_count_in_the_devices_rate(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("web"), device_rate=1) as world:
        device = world.device()
        for _ in range(10):
            Live(world, device.token).close()
        status, error = refused(world, device.token)
        assert (status, error["code"], error["details"]) == (429, "rate_limit_exceeded", {"retry_after": 1})
        world.pass_time(1)
        Live(world, device.token).close()


def test_a_server_that_drains_opens_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        device = world.device()
        world.web.web.drain()
        status, error = refused(world, device.token)
        assert (status, error["code"]) == (503, "unavailable")


def test_openings_are_counted_and_open_channels_are_a_gauge(world: ContractWorld, device: BoundDevice) -> None:
    live = Live(world, device.token)
    live.hello()
    live.say(type="of_another_age", x=1)
    live.so_far()
    text = world.call("GET", "/metrics", "").text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["rolltape_channels_open"]) >= 1
    assert float(values['rolltape_http_requests_total{operation="openChannel",status="101"}']) >= 1
    assert float(values['rolltape_channel_frames_total{type="unknown"}']) >= 1
    assert float(values['rolltape_channel_frames_total{type="hello"}']) >= 1
    live.close()


def test_a_device_that_comes_and_goes_leaves_nothing_behind(world: ContractWorld, device: BoundDevice) -> None:
    channels = world.web.web.channels
    for said_hello in (True, False):
        live = Live(world, device.token)
        if said_hello:
            live.hello()
        live.close()
    last = Live(world, device.token)
    last.hello()
    last.line.socket.close()  # without a word
    world.pass_time(100)
    sweep(world)
    other = Live(world, world.device().token)
    other.hello()
    while len(channels) > 1:
        other.so_far()
    other.close()
