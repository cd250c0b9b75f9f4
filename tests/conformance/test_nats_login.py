"""A real NATS server that wants TLS and a login; what a node says to it, and what it never says to another."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rolltape.config import BadSetting, Settings
from rolltape.mqtt.nats_login import read_login
from rolltape.store.nats_bus import NatsBus, NatsServers
from rolltape.testing.process import running_server
from rolltape.wiring import admin_doctor
from tests.certificates import make_certificate
from tests.conformance.test_wake_ups import Heard
from tests.nats_server import NatsServer, needs_nats, running_nats
from tests.nats_users import Nkey, operator_mode, private_file

WORD = "s3cret-of-the-node"
DATABASE = "postgresql://nobody@127.0.0.1:1/none"
pytestmark = needs_nats


@contextmanager
def secured(folder: Path, config: str) -> Iterator[tuple[NatsServer, Path]]:
    """A server that speaks TLS alone, and whom to trust for it."""
    chain, key = make_certificate(folder)
    tls = f'tls {{ cert_file: "{chain}", key_file: "{key}" }}\n'
    (folder / "nats.conf").write_text(tls + config)
    with running_nats("-c", str(folder / "nats.conf")) as server:
        yield server, chain


def secure_url(server: NatsServer, who: str = "") -> str:
    return server.url.replace("nats://", f"tls://{who}")


def wakes(servers: NatsServers) -> None:
    """Two nodes hear each other by it."""

    async def run() -> None:
        heard = Heard(), Heard()
        buses = [NatsBus(servers, "rolltape.x.wakeups", b"key", each) for each in heard]
        for bus in buses:
            await bus.listening.wait()
        buses[0].publish(["dev_1"])
        await heard[1].until("dev_1")
        for bus in buses:
            await bus.close()

    asyncio.run(asyncio.wait_for(run(), 20))


def said(folder: Path, **env: object) -> tuple[str, str]:
    """What the doctor says of NATS: the level, and all of its words."""
    settings = {"ROLLTAPE_DATABASE": DATABASE, **{name: str(value) for name, value in env.items()}}
    found = [one for one in admin_doctor(folder, settings) if "NATS" in one.what or "MQTT" in one.what]
    assert len(found) == 1
    return found[0].level, f"{found[0].what} {found[0].cure}"


def test_by_tls_and_password_nodes_wake_each_other_and_nobody_else_is_believed(tmp_path: Path) -> None:
    with secured(tmp_path, f"authorization {{ user: node, password: {WORD} }}") as (server, ca):
        good = secure_url(server, f"node:{WORD}@")
        wakes(NatsServers((good,), ca))
        wakes(NatsServers((good.replace("tls:", "nats:"),), ca))
        assert said(tmp_path, ROLLTAPE_NATS=good, ROLLTAPE_NATS_CA=ca)[0] == "ok"
        level, words = said(tmp_path, ROLLTAPE_NATS=good.replace(WORD, "wr0ng-word"), ROLLTAPE_NATS_CA=ca)
        assert (level, "Authorization" in words, "wr0ng-word" in words) == ("error", True, False)
        level, words = said(tmp_path, ROLLTAPE_NATS=good)
        assert (level, "certificate" in words, "ROLLTAPE_NATS_CA" in words, WORD in words) == (
            "error",
            True,
            True,
            False,
        )


def test_a_node_is_known_by_its_nkey(tmp_path: Path) -> None:
    user = Nkey("user")
    seed = private_file(tmp_path / "node.nk", f"{user.seed}\n")
    assert read_login(seed).public_nkey == user.public
    with secured(tmp_path, f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}") as (server, ca):
        wakes(NatsServers((secure_url(server),), ca, seed))
        env = {"ROLLTAPE_NATS": secure_url(server), "ROLLTAPE_NATS_CA": ca}
        assert said(tmp_path, **env, ROLLTAPE_NATS_CREDENTIALS=seed)[0] == "ok"
        assert said(tmp_path, **env)[0] == "error"
        stranger = private_file(tmp_path / "stranger.nk", Nkey("user").seed)
        level, words = said(tmp_path, **env, ROLLTAPE_NATS_CREDENTIALS=stranger)
        assert (level, "Authorization" in words, stranger.read_text() in words) == ("error", True, False)


def test_a_node_is_known_by_its_credentials_file(tmp_path: Path) -> None:
    config, creds = operator_mode(tmp_path)
    with secured(tmp_path, config) as (server, ca):
        wakes(NatsServers((secure_url(server),), ca, creds))
        (tmp_path / "elsewhere").mkdir()
        _, others = operator_mode(tmp_path / "elsewhere")
        env = {"ROLLTAPE_NATS": secure_url(server), "ROLLTAPE_NATS_CA": ca}
        assert said(tmp_path, **env, ROLLTAPE_NATS_CREDENTIALS=others)[0] == "error"


def test_the_mqtt_route_by_nats_has_both(tmp_path: Path) -> None:
    user = Nkey("user")
    seed = private_file(tmp_path / "node.nk", user.seed)
    with secured(tmp_path, f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}") as (server, ca):
        env = {"ROLLTAPE_MQTT": secure_url(server), "ROLLTAPE_MQTT_CA_FILE": str(ca)}
        level, words = said(tmp_path, **env)
        assert (level, "Authorization" in words) == ("error", True)
        level, words = said(tmp_path, ROLLTAPE_MQTT=secure_url(server))
        assert (level, "certificate" in words) == ("error", True)
        env["ROLLTAPE_MQTT_CREDENTIALS"] = str(seed)
        assert said(tmp_path, **env)[0] == "ok"
        with running_server(tmp_path / "data", **env) as running:
            log = tmp_path / "data.log"
            for _ in range(1000):
                if "the NATS server at tls://" in log.read_text():
                    break
                threading.Event().wait(0.02)
            assert "is there" in log.read_text()
            assert running.stop() == 0


@contextmanager
def without_tls() -> Iterator[tuple[int, list[bytes]]]:
    """Somebody who speaks as a NATS server without TLS: where, and what was said there."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            line, _ = listening.accept()
            with line:
                line.settimeout(20)
                line.sendall(
                    b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n'
                )
                while data := line.recv(4096):
                    heard.append(data)
                    line.sendall(b"PONG\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        yield listening.getsockname()[1], heard
        thread.join(20)


@pytest.mark.parametrize("variable", ["ROLLTAPE_NATS", "ROLLTAPE_MQTT"])
def test_whoever_leaves_out_tls_is_told_no_password(tmp_path: Path, variable: str) -> None:
    with without_tls() as (port, heard):
        level, words = said(tmp_path, **{variable: f"tls://node:{WORD}@127.0.0.1:{port}"})
    assert (level, "offers no TLS" in words, WORD in words) == ("error", True, False)
    assert heard == []


def mistyped(seed: str) -> str:
    """Another letter in its midst. (Of the last one not all bits count.)"""
    return f"{seed[:20]}{'B' if seed[20] == 'A' else 'A'}{seed[21:]}"


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (Nkey("user").seed, 0o644, "chmod 600"),
        (Nkey("account").seed, 0o600, "neither"),
        (Nkey("user").public, 0o600, "neither"),
        (mistyped(Nkey("user").seed), 0o600, "neither"),
        ("SUA" + "é" * 55, 0o600, "neither"),
        ("", 0o600, "neither"),
        (f"-----BEGIN USER NKEY SEED-----\n{Nkey('user').seed}\n------END USER NKEY SEED------\n", 0o600, "neither"),
        (None, 0, "can't be read"),
    ],
    ids=["open to others", "an account's", "public", "mistyped", "not ASCII", "empty", "unlike a .creds", "missing"],
)
def test_a_file_that_cannot_be_used_is_named_and_nothing_in_it_shown(
    tmp_path: Path, text: str | None, mode: int, words: str
) -> None:
    file = tmp_path / "node.nk"
    if text is not None:
        private_file(file, text).chmod(mode)
    with pytest.raises(OSError, match=words) as refused:
        read_login(file)
    assert str(file) in str(refused.value)
    assert not text or text not in str(refused.value)


def test_credentials_go_with_what_they_are_for() -> None:
    for variable, other in (
        ("ROLLTAPE_NATS_CREDENTIALS", {}),
        ("ROLLTAPE_MQTT_CREDENTIALS", {"ROLLTAPE_MQTT": "mqtt://h"}),
    ):
        with pytest.raises(BadSetting, match=variable):
            Settings.from_env({variable: "file", **other})


def test_no_password_is_in_what_settings_show() -> None:
    assert WORD not in repr(Settings(database=DATABASE, nats=f"tls://node:{WORD}@h"))
