"""What an operator reads in the log of a real server, and what never stands there."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event

import httpx2
import pytest

from rolltape import __version__
from rolltape.config import Settings
from rolltape.testing.process import ServerProcess, make_key, running_server, start_server
from rolltape.wiring.telling import summary
from tests.api.channel_world import Live
from tests.chaos.link import Link, LinkThread
from tests.postgres import server as postgres

PATIENCE_SEC = 20
ACCESS = re.compile(r"INFO rolltape\.access: (\S+) (\S+) status=(\S+) ms=([0-9.]+) request=(\S+) who=(.+)$", re.M)


def log_of(server: ServerProcess) -> str:
    return (server.data.parent / f"{server.data.name}.log").read_text()


def wait_for(server: ServerProcess, words: str) -> None:
    until = time.monotonic() + PATIENCE_SEC
    while words not in log_of(server):
        assert time.monotonic() < until, f"{words!r} is not in {log_of(server)}"
        Event().wait(0.02)


def test_each_answer_is_a_line_without_anybodys_secret_and_each_step_of_the_end_too(tmp_path: Path) -> None:
    server = start_server(tmp_path / "data", ROLLTAPE_ACCESS_LOG="yes")
    key = make_key(server.data)
    with httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key['key']}"}) as http:
        device = http.post("/v1/devices", json={"serial_number": "hidden"}).json()["id"]
        user = http.post("/v1/end-users", json={"external_id": "u"}).json()["id"]
        token = http.post(f"/v1/devices/{device}/bind", json={"end_user_id": user}).json()["device_token"]
        relay = http.post("/v1/relay-tokens", json={"end_user_id": user}).json()["relay_token"]
        for path, bearer, named in (
            ("/v1/devices/me/commands/pending?wait=0&x=hidden", token, "beat-1"),
            ("/v1/relay/devices", relay, "relay-1"),
            (f"/v1/devices?limit=1&serial_number={key['key']}", "dtok_" + "A" * 43, "no-1"),
            (f"/nowhere/{token}/a%0Ab", token, "no-2"),
        ):
            http.get(path, headers={"Authorization": f"Bearer {bearer}", "X-Request-Id": named})
    live = Live(server.url, token)
    live.hello()
    assert server.stop() == 0
    live.close()
    log = log_of(server)
    said = {found[4]: (found[0], found[1], found[2], found[5]) for found in ACCESS.findall(log)}
    assert said["beat-1"] == ("GET", "/v1/devices/me/commands/pending", "200", device)
    assert said["relay-1"] == ("GET", "/v1/relay/devices", "200", f"relay of {user}")
    assert said["no-1"] == ("GET", "/v1/devices", "401", "-")
    assert said["no-2"] == ("GET", "/nowhere/[secret]/a%0Ab", "404", "-")
    assert ("POST", "/v1/devices", "201", key["id"]) in said.values()
    assert ("GET", "/v1/devices/me/channel", "101", device) in said.values()
    for secret in (key["key"], token, relay, "dtok_", "hidden"):
        assert secret not in log
    steps = ("serves at", "told to end", "draining: 0 held answers and 1 channels", "no new connection", "is written")
    places = [log.index(step) for step in steps]
    assert places == sorted(places)


def test_without_the_setting_no_answer_is_logged(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        httpx2.get(f"{server.url}/health")
        assert server.stop() == 0
        assert "rolltape.access" not in log_of(server)


def test_the_first_line_says_what_the_server_is_and_no_password() -> None:
    settings = Settings(
        database="postgresql://rolltape:hidden@db.example.com:5433/name?password=hidden&sslmode=require",
        nats="nats://u:hidden@one:4222,tls://hidden@two:4222",
        mqtt="mqtts://server:hidden@broker:8883",
        recordings="s3://bucket/prefix",
        workers=3,
    )
    line = summary(settings, "https://0.0.0.0:443")
    assert "hidden" not in line
    for part in (
        f"rolltape {__version__} serves at https://0.0.0.0:443;",
        "PostgreSQL at postgresql://db.example.com:5433/name;",
        "NATS at nats://one:4222, tls://two:4222;",
        "channel, relay, MQTT by mqtts://broker:8883;",
        "recordings: s3://bucket/prefix;",
        "workers: 3",
    ):
        assert part in line


@pytest.fixture
def link() -> Iterator[tuple[Link, LinkThread]]:
    """A link to the tests' PostgreSQL, which can be cut."""
    links = LinkThread()
    yield links.open(postgres().socket), links
    links.close()


def test_a_database_that_is_away_is_told_of_and_so_is_its_return(tmp_path: Path, link: tuple[Link, LinkThread]) -> None:
    base, links = link
    asyncio.run(postgres().schema("logs"))
    url = f"postgresql://postgres:hidden@127.0.0.1:{base.port}/postgres?sslmode=disable&search_path=logs"
    with running_server(tmp_path / "data", ROLLTAPE_DATABASE=url) as server:
        wait_for(server, "wake-ups between nodes are heard\n")
        base.faults.refuses = True
        links.do(lambda: base.drop(1.0, Random(1)))
        wait_for(server, "ERROR rolltape.store: the database can't: ")
        wait_for(server, "WARNING rolltape.wakeups: no wake-ups between nodes at the moment, so news takes seconds: ")
        base.faults.refuses = False
        wait_for(server, "INFO rolltape.store: the database can be reached again, after ")
        wait_for(server, "INFO rolltape.wakeups: wake-ups between nodes are heard again, after ")
        assert server.stop() == 0
        assert "hidden" not in log_of(server)
