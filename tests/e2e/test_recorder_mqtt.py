"""The recorder over a real broker against a real server: the whole way, sound included."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import httpx2
import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from rolltape import Client
from rolltape.clock import SystemClock
from rolltape.testing.process import ServerProcess, make_key, running_server, start_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wire.device import BoundDevice
from rolltape.wire.keys import b64url
from rolltape.wire.times import parse
from tests.brokers import Broker, mosquitto, nats, needs_mosquitto

CLOCK = SystemClock()
LATER = "2036-01-01T00:00:00.000Z"
pytestmark = needs_mosquitto


@pytest.fixture(scope="module", params=["dynsec", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    with mosquitto(folder, dynsec=True) if request.param == "dynsec" else nats(folder) as broker:
        yield broker


def settings_for(broker: Broker) -> dict[str, str]:
    """Of a server on that broker."""
    dynsec = "no" if broker.url.startswith("nats") else "yes"
    return {"ROLLTAPE_MQTT": broker.url, "ROLLTAPE_MQTT_DYNSEC": dynsec}


@pytest.fixture(scope="module")
def server(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data = tmp_path_factory.mktemp("server") / "data"
    with running_server(data, **settings_for(broker)) as server:
        until_there(server)
        yield server


def until_there(server: ServerProcess) -> None:
    """Comes back once the server has the broker."""
    log = server.data.parent / f"{server.data.name}.log"
    until(lambda: "is there" in log.read_text(), "the broker")


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, make_key(server.data)["key"]) as connected:
        yield connected


def bound(client: Client, name: str) -> BoundDevice:
    device = client.devices.register(name)
    return client.devices.bind(device.id, client.end_users.create(name).id)


def until(holds: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = CLOCK.monotonic() + seconds
    while not holds():
        assert CLOCK.monotonic() < end, f"in vain: {what}"
        Event().wait(0.05)


def recorder_on(broker: Broker, url: str, device: BoundDevice, folder: Path) -> FakeRecorder:
    return FakeRecorder(
        url,
        device.device_token,
        folder / "state",
        mqtt=f"mqtt://127.0.0.1:{broker.port}",
        channel_first_sec=0.2,
        channel_most_sec=1.0,
    )


def told(server: ServerProcess, name: str) -> float:
    """A number of the server's `/metrics`; 0 where it isn't there yet."""
    text = httpx2.get(f"{server.url}/metrics").text
    return float(text.partition(f"\nrolltape_{name} ")[2].partition("\n")[0] or 0)


def is_up(recorder: FakeRecorder) -> bool:
    return bool(recorder.ask(lambda parts: parts.channel.up.is_set()))


def test_a_command_comes_by_the_broker_and_its_sound_is_uploaded(
    client: Client, broker: Broker, tmp_path: Path
) -> None:
    device = bound(client, "whole")
    with recorder_on(broker, client.url, device, tmp_path) as recorder:
        until(lambda: is_up(recorder), "the broker")
        until(lambda: client.devices.get(device.id).last_heartbeat_at, "the first heartbeat")
        done = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
        assert (done.status, done.delivery.route, done.delivery.evidence) == ("executed", "channel", "device")
        until(lambda: [r.status for r in client.recordings.list(device_id=device.id)] == ["uploaded"], "the recording")
        assert is_up(recorder)
        assert recorder.microphone.opened == 1


def test_what_was_made_while_it_was_away_comes_when_it_is_back(client: Client, broker: Broker, tmp_path: Path) -> None:
    device = bound(client, "away")
    with recorder_on(broker, client.url, device, tmp_path) as recorder:
        until(lambda: is_up(recorder), "the broker")
    made = [client.devices.start_recording(device.id), client.devices.stop_recording(device.id)]
    with recorder:
        ended = [client.commands.wait(device.id, command.id, timeout=20) for command in made]
    assert [(c.status, c.error and c.error.code) for c in ended] == [
        ("cancelled", "superseded"),
        ("failed", "not_recording"),
    ]
    assert recorder.microphone.opened == 0


def test_a_device_whose_binding_ends_hears_so_and_ends_what_it_was_told_to_record(
    client: Client, broker: Broker, tmp_path: Path
) -> None:
    device = bound(client, "ended")
    with recorder_on(broker, client.url, device, tmp_path) as recorder:
        until(lambda: is_up(recorder), "the broker")
        assert client.devices.start_recording(device.id, wait=20).status == "executed"
        client.devices.unbind(device.id, force=True)
        if broker.version == 4:  # nobody throws it out there: its next word is refused
            recorder.ask(lambda parts: parts.bells.beat.ring())
        until(lambda: recorder.ask(lambda parts: parts.ended.is_set()), "the end")
        until(lambda: recorder.ask(lambda parts: parts.studio.running is None), "the end of the recording")


def test_a_broker_that_is_gone_costs_seconds_and_no_command(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        server = stack.enter_context(running_server(tmp_path / "data", ROLLTAPE_MQTT=broker.url))
        client = stack.enter_context(Client(server.url, make_key(server.data)["key"]))
        until_there(server)
        device = bound(client, "alone")
        recorder = stack.enter_context(recorder_on(broker, client.url, device, tmp_path))
        until(lambda: is_up(recorder), "the broker")
        assert told(server, "mqtt_up") == 1
        until(lambda: told(server, 'mqtt_messages_total{topic="heartbeat"}'), "the first heartbeat")
        broker.stop()
        done = client.devices.stop_recording(device.id, wait=30)
        assert (done.status, done.error and done.error.code) == ("failed", "not_recording")
        assert done.delivery.route in ("poll", "heartbeat")
        assert told(server, "mqtt_up") == 0
        broker.start()
        until(lambda: is_up(recorder), "the broker that is back")
        until(lambda: client.devices.stop_recording(device.id, wait=5).delivery.route == "channel", "the way by it")
        assert told(server, "mqtt_up") == 1


def test_a_server_that_is_killed_loses_nothing_that_a_device_said(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        server = start_server(tmp_path / "data", ROLLTAPE_MQTT=broker.url)
        try:
            until_there(server)
            port = int(server.url.rsplit(":", 1)[1])
            with Client(server.url, make_key(server.data)["key"]) as client:
                device = bound(client, "kept")
                with recorder_on(broker, client.url, device, tmp_path) as recorder:
                    until(lambda: is_up(recorder), "the broker")
                    started = client.devices.start_recording(device.id, max_duration_sec=1, wait=20)
                    server.kill()
                    until(lambda: recorder.ask(lambda parts: parts.studio.running is None), "the end of the recording")
                    server = start_server(tmp_path / "data", port, ROLLTAPE_MQTT=broker.url)
                    command = client.devices.stop_recording(device.id, wait=30)
                    assert (command.status, command.error and command.error.code) == ("failed", "not_recording")
                    assert client.commands.get(device.id, started.id).status == "executed"
        finally:
            server.kill()


def test_a_broker_that_lies_gives_a_recorder_no_keys_to_trust(tmp_path: Path) -> None:
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(tmp_path / "broker"))
        server = stack.enter_context(running_server(tmp_path / "data", ROLLTAPE_MQTT=broker.url))
        client = stack.enter_context(Client(server.url, make_key(server.data)["key"]))
        until_there(server)
        device = bound(client, "lied to")
        recorder = stack.enter_context(recorder_on(broker, client.url, device, tmp_path))
        until(lambda: is_up(recorder), "the broker")
        until(lambda: recorder.ask(lambda parts: parts.keys.keys), "the keys")
        held = recorder.ask(lambda parts: set(parts.keys.keys))
        server.process.kill()
        server.process.wait()
        liar = stack.enter_context(lying(broker.port, device))
        recorder.ask(lambda parts: parts.bells.beat.ring())
        until(lambda: liar.answered, "the lie")
        until(lambda: recorder.ask(lambda parts: parts.trusted.floor_ms) >= parse(LATER), "that it was heard")
        assert recorder.ask(lambda parts: set(parts.keys.keys)) == held
        assert recorder.ask(lambda parts: parts.identity.known.generation) == device.binding_generation


class Liar:
    """Whether it has answered."""

    answered = False


@contextmanager
def lying(port: int, device: BoundDevice) -> Iterator[Liar]:
    """Somebody on the broker who answers heartbeats in the server's place, with keys of their own."""
    liar = Liar()
    own = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "of-the-liar", "alg": "EdDSA", "use": "sig", "x": b64url(own)}

    def answer(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        asked = json.loads(message.payload)
        told = {
            "gen": device.binding_generation,
            "type": "heartbeat",
            "ref": asked["ref"],
            "binding_generation": 77,
            "server_time": LATER,
            "next_heartbeat_sec": 3600,
            "grant_keys": {"keys": [jwk]},
            "seq_floor": 5,
        }
        client.publish(message.topic.replace("heartbeat", "answer"), json.dumps(told), 0)
        liar.answered = True

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="liar")
    client.on_message = answer
    client.connect("127.0.0.1", port)
    client.subscribe("rolltape/+/+/heartbeat", 1)
    client.loop_start()
    try:
        yield liar
    finally:
        client.disconnect()
        client.loop_stop()
