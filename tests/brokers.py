"""Real brokers on the loopback: Mosquitto, with and without its dynamic-security plugin, and NATS."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rolltape.testing.leash import Leashed
from tests.tools import needs

needs_mosquitto = needs("mosquitto")
PLUGIN = next(Path("/usr/lib").rglob("mosquitto_dynamic_security.so"), Path("mosquitto_dynamic_security.so"))
ADMIN = ("rolltape-server", "the-server-s-own-password")
QUICK_START_SEC = 20


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Broker:
    """One that runs, and may be stopped and started again on the same ports. `url` is for servers."""

    command: list[str]
    folder: Path
    port: int
    url: str
    version: int = 5
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] | None = None

    def start(self) -> None:
        """Comes back once it takes connections."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = Leashed[bytes](self.command, stdout=log, stderr=log, cwd=self.folder, env=self.env)
        for _ in range(QUICK_START_SEC * 100):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            threading.Event().wait(0.01)
        raise AssertionError((self.folder / "broker.log").read_text())

    def stop(self) -> None:
        """At once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def mosquitto(folder: Path, *, dynsec: bool = False, tls: tuple[Path, Path] | None = None) -> Iterator[Broker]:
    """Mosquitto: one that lets everybody in, or one where only the server's own user may do anything."""
    folder.mkdir(exist_ok=True, parents=True)
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "max_inflight_messages 0", "max_queued_messages 100000", "user root"]
    lines.append("set_tcp_nodelay true")
    url = f"mqtt://127.0.0.1:{port}"
    if dynsec:
        _make_dynsec(folder / "dynsec.json")
        lines += [f"plugin {PLUGIN}", f"plugin_opt_config_file {folder / 'dynsec.json'}"]
        url = f"mqtt://{ADMIN[0]}:{ADMIN[1]}@127.0.0.1:{port}"
    if tls is not None:
        lines += [f"certfile {tls[0]}", f"keyfile {tls[1]}"]
        url = url.replace("mqtt:", "mqtts:", 1)
    lines.append(f"allow_anonymous {str(not dynsec).lower()}")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    program = shutil.which("mosquitto") or "mosquitto"
    broker = Broker([program, "-c", str(folder / "mosquitto.conf")], folder, port, url)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _make_dynsec(path: Path) -> None:
    """As docs/mqtt.md says: `mosquitto_ctrl dynsec init`, and a role for what is under rolltape/."""
    made = ["mosquitto_ctrl", "dynsec", "init", str(path), *ADMIN]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
    config = json.loads(path.read_text())
    acls = [
        {"acltype": type_, "topic": "rolltape/#", "allow": True} for type_ in ("publishClientSend", "subscribePattern")
    ]
    config["roles"].append({"rolename": "rolltape-server", "acls": acls})
    config["clients"][0]["roles"].append({"rolename": "rolltape-server"})
    path.write_text(json.dumps(config))


@contextmanager
def nats(folder: Path, more: str = "") -> Iterator[Broker]:
    """A NATS server with its MQTT side, which lets everybody in, unless `more` of its configuration says otherwise."""
    folder.mkdir(exist_ok=True, parents=True)
    port, mqtt_port = free_port(), free_port()
    (folder / "nats.conf").write_text(
        f'server_name: "one"\nlisten: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder / "js"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{mqtt_port}" }}\n{more}\n'
    )
    program = str(Path(sys.executable).with_name("nats-server"))
    broker = Broker(
        [program, "-c", str(folder / "nats.conf")], folder, mqtt_port, f"nats://127.0.0.1:{port}", version=4
    )
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


AMQTT = Path(sys.prefix) / "amqtt"
"""Where `make` puts it: apart, as it wants an older websockets than Rolltape does."""
AUTH_SECRET = "what-the-broker-shows"
needs_amqtt = pytest.mark.skipif(
    not AMQTT.exists() and not os.environ.get("CI"), reason=f"needs amqtt in {AMQTT}: run make, which puts it there"
)


@contextmanager
def amqtt(folder: Path, http_port: int) -> Iterator[Broker]:
    """amqtt (MQTT 3.1.1), which asks the server at that port, as mosquitto-go-auth does, whom to let in."""
    folder.mkdir(exist_ok=True, parents=True)
    port = free_port()
    script = Path(__file__).with_name("amqtt_broker.py")
    command = [sys.executable, str(script), str(port), str(http_port), AUTH_SECRET]
    env = {**os.environ, "PYTHONPATH": str(AMQTT)}
    broker = Broker(command, folder, port, "", version=4, env=env)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
