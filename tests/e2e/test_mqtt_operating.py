"""What an operator meets with a broker: TLS, the doctor, settings that can't be used."""

import socket
from pathlib import Path
from typing import Any

import pytest

from rolltape import Client
from rolltape.config import BadSetting, Settings
from rolltape.mqtt.address import parse
from rolltape.testing.process import make_key, running_server
from rolltape.testing.recorder import FakeRecorder
from rolltape.wiring import admin_doctor
from tests.brokers import ADMIN, mosquitto, nats, needs_mosquitto
from tests.certificates import make_certificate
from tests.e2e.test_recorder_mqtt import bound, is_up, until, until_there


def told(data: Path, **env: str) -> list[tuple[str, str]]:
    """What the doctor says of the broker."""
    return [(found.level, found.what) for found in admin_doctor(data, env) if found.what.startswith("MQTT")]


def nobody() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@needs_mosquitto
def test_the_doctor_tries_the_broker(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker", dynsec=True) as broker:
        assert told(tmp_path) == []
        ((level, what),) = told(tmp_path, ROLLTAPE_MQTT=broker.url, ROLLTAPE_MQTT_DYNSEC="yes")
        assert (level, ADMIN[1] in what) == ("ok", False)
        ((level, what),) = told(tmp_path, ROLLTAPE_MQTT=broker.url.replace(ADMIN[1], "another-word"))
        assert (level, "another-word" in what, "Not authorized" in what) == ("error", False, True)
    ((level, what),) = told(tmp_path, ROLLTAPE_MQTT=broker.url)
    assert (level, "refused" in what) == ("error", True)
    with mosquitto(tmp_path / "open") as broker:
        ((level, what),) = told(tmp_path, ROLLTAPE_MQTT=broker.url, ROLLTAPE_MQTT_DYNSEC="yes")
        assert (level, "dynamic-security" in what) == ("error", True)


def test_the_doctor_tries_a_nats_server(tmp_path: Path) -> None:
    with nats(tmp_path / "nats") as broker:
        assert [level for level, _ in told(tmp_path, ROLLTAPE_MQTT=broker.url)] == ["ok"]
    assert [level for level, _ in told(tmp_path, ROLLTAPE_MQTT=f"nats://127.0.0.1:{nobody()}")] == ["error"]


@pytest.mark.parametrize(
    "env",
    [
        {"ROLLTAPE_MQTT": "http://u:hidden-word@host"},
        {"ROLLTAPE_MQTT_AUTH_SECRET": "hidden-word"},
        {"ROLLTAPE_MQTT": "nats://host", "ROLLTAPE_MQTT_DYNSEC": "yes"},
        {"ROLLTAPE_MQTT": "mqtt://host", "ROLLTAPE_MQTT_CA_FILE": "ca.pem"},
        {"ROLLTAPE_MQTT_DYNSEC": "perhaps"},
        {"ROLLTAPE_DATABASE": "mysql://u:hidden-word@host/db"},
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_no_secret_in_it_shown(env: dict[str, str]) -> None:
    with pytest.raises(BadSetting) as refused:
        Settings.from_env(env)
    assert list(env)[-1] in str(refused.value)
    assert "hidden-word" not in str(refused.value)


def test_no_secret_is_in_what_settings_and_addresses_show() -> None:
    chosen = Settings.from_env(
        {"ROLLTAPE_MQTT": "mqtts://u:hidden-word@host", "ROLLTAPE_MQTT_AUTH_SECRET": "hidden-word-of-some-length"}
    )
    assert "hidden-word" not in repr(chosen) + repr(parse(str(chosen.mqtt))) + parse(str(chosen.mqtt)).shown


@pytest.mark.parametrize("url", ["mqtt://", "http://host", "mqtt://host/path", "mqtt://:word@host", "mqtt://host?x=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"broker|password"):
        parse(url)


@needs_mosquitto
def test_with_tls_server_and_recorder_know_the_broker_by_its_certificate(tmp_path: Path) -> None:
    chain, key = make_certificate(tmp_path)
    with mosquitto(tmp_path / "broker", tls=(chain, key)) as broker:
        secure = {"ROLLTAPE_MQTT": broker.url, "ROLLTAPE_MQTT_CA_FILE": str(chain)}
        assert [level for level, _ in told(tmp_path, **secure)] == ["ok"]
        ((level, what),) = told(tmp_path, ROLLTAPE_MQTT=broker.url)
        assert (level, "certificate" in what) == ("error", True)
        with running_server(tmp_path / "data", **secure) as server:
            until_there(server)
            with Client(server.url, make_key(server.data)["key"]) as connected:
                device = bound(connected, "tls")
                options: dict[str, Any] = {
                    "mqtt": f"mqtts://127.0.0.1:{broker.port}",
                    "ca_file": chain,
                    "channel_first_sec": 0.2,
                }
                with FakeRecorder(server.url, device.device_token, tmp_path / "state", **options) as recorder:
                    until(lambda: is_up(recorder), "the broker")
                    done = connected.devices.stop_recording(device.id, wait=20)
                    assert (done.status, done.delivery.route) == ("failed", "channel")
