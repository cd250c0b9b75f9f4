"""Live channels on a server process: its end, its death, and what it writes into its log."""

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rolltape.testing.process import ServerProcess, make_key, start_server
from tests.api.channel_world import Ended, Live, offers


class Backend:
    """A customer's server with one bound device."""

    def __init__(self, server: ServerProcess, key: str) -> None:
        self.server = server
        self.http = httpx2.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        user = self.made("/v1/end-users", external_id="u")["id"]
        self.device = self.made("/v1/devices", serial_number="s")["id"]
        self.token = self.made(f"/v1/devices/{self.device}/bind", end_user_id=user)["device_token"]

    def made(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        made: dict[str, Any] = answer.json()
        return made

    def command(self, type_: str = "trigger_upload") -> str:
        return str(self.made(f"/v1/devices/{self.device}/commands", type=type_)["id"])


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    server = start_server(tmp_path / "data", 0, ROLLTAPE_LOG_LEVEL="debug")
    backend = Backend(server, make_key(server.data)["key"])
    yield backend
    backend.http.close()
    if server.process.poll() is None:
        server.kill()


def test_sigterm_closes_open_channels_for_a_restart_and_ends_with_0(backend: Backend, tmp_path: Path) -> None:
    live, silent = Live(backend.server.url, backend.token), Live(backend.server.url, backend.token)
    live.hello()
    command = backend.command()
    grant = live.answer("offer")["command"]["grant_token"]
    assert live.ack(command)["type"] == "go"
    assert backend.server.stop() == 0
    assert [each.ended().code for each in (live, silent)] == [1012, 1012]
    live.close()
    silent.close()
    log = (tmp_path / "data.log").read_text()
    assert "dtok_" not in log
    assert grant not in log
    assert "Traceback" not in log
    assert "me/channel" not in log


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="this system doesn't tell a process's limits")
def test_a_server_takes_as_many_open_files_as_it_may_have(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        server = start_server(tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert server.stop() == 0
    (line,) = [line.split() for line in limits.splitlines() if line.startswith("Max open files")]
    assert line[3] == line[4]


def test_after_a_kill_what_was_not_acknowledged_is_offered_on_the_next_channel(backend: Backend) -> None:
    live = Live(backend.server.url, backend.token)
    live.hello()
    taken, offered = backend.command(), backend.command()
    assert offers(live.so_far()) == [taken, offered]
    live.ack(taken)
    backend.server.kill()
    with pytest.raises(Ended):
        live.so_far()
    live.close()
    server = start_server(backend.server.data)
    try:
        again = Live(server.url, backend.token)
        again.hello(have=[taken])
        assert offers(again.so_far()) == [offered]
        assert again.report(taken)["status"] == "executed"
        again.close()
    finally:
        assert server.stop() == 0
