"""`rolltape serve --workers N`: several nodes behind one port, restarted, killed and ended under load."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from rolltape.config import BadSetting, Settings
from rolltape.testing.process import ServerProcess, make_key, start_server
from tests.e2e.hammer import Hammer
from tests.postgres import server

UNLIMITED = {"ROLLTAPE_KEY_RATE": "0", "ROLLTAPE_DEVICE_RATE": "0"}
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")


@pytest.fixture(scope="module")
def database() -> Iterator[None]:
    """An empty database, as the setting has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROLLTAPE_DATABASE", asyncio.run(server().schema("workers")))
        yield


@contextmanager
def two(folder: Path, name: str) -> Iterator[ServerProcess]:
    """Two nodes of one parent. All of a module have one database, and so one master key."""
    started = start_server(
        folder / name, 0, "--workers", "2", ROLLTAPE_MASTER_KEY_FILE=str(folder / "key"), **UNLIMITED
    )
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers of this module have their data and their key."""
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def nodes(folder: Path, database: None) -> Iterator[ServerProcess]:
    """Two nodes that each test leaves as they were."""
    with two(folder, "shared") as started:
        yield started


@pytest.fixture
def own_nodes(folder: Path, database: None, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """Two nodes that the test may end."""
    with two(folder, request.function.__name__[-40:]) as started:
        yield started


def log_of(node: ServerProcess) -> str:
    return (node.data.parent / f"{node.data.name}.log").read_text()


def children(node: ServerProcess) -> set[int]:
    """The process ids of the nodes that run."""
    found = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text()
    return {int(pid) for pid in found.split()}


def until(what: str, node: ServerProcess, times: int = 1) -> None:
    """Waits until the log says so."""
    for _ in range(1200):
        if len(re.findall(what, log_of(node))) >= times:
            return
        threading.Event().wait(0.025)
    raise AssertionError(f"the log never said {what!r}: {log_of(node)}")


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_rolling_restart_fails_no_request_and_loses_no_device(own_nodes: ServerProcess) -> None:
    key = make_key(own_nodes.data)["key"]
    hammer = asyncio.run(_hammered(own_nodes, key))
    assert hammer.failed == []
    assert len(hammer.made) > 50
    assert hammer.closes[1012] >= 2
    assert set(hammer.closes) == {1012}, "each channel was closed for a restart, and none broke"
    assert set(hammer.executed) == set(hammer.made), "each command reached its device"
    assert own_nodes.stop() == 0
    assert "Traceback" not in log_of(own_nodes)
    assert "ERROR" not in log_of(own_nodes)


async def _hammered(nodes: ServerProcess, key: str) -> Hammer:
    hammer, done = Hammer(nodes.url, key), asyncio.Event()
    polled, live, carried = [[await hammer.bound(f"{kind}{n}") for n in range(2)] for kind in "plc"]
    devices = [device for device, _, _ in (*polled, *live, *carried)]
    clients = [asyncio.create_task(hammer.poll(token, done)) for _, token, _ in polled]
    clients += [asyncio.create_task(hammer.live(token, done)) for _, token, _ in live]
    clients += [asyncio.create_task(hammer.carry(await hammer.relay_token(user), done)) for _, _, user in carried]
    makers = [asyncio.create_task(hammer.create(device, keep=keep)) for keep in (True, False) for device in devices]
    makers += [asyncio.create_task(hammer.create(device, keep=True, wait=5)) for device in devices]
    before = children(nodes)
    nodes.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(until, "node 2 was restarted", nodes)
    assert not before & children(nodes)
    hammer.quiet.set()
    await asyncio.gather(*makers)
    async with asyncio.timeout(30):
        while set(hammer.executed) != set(hammer.made):
            await asyncio.sleep(0.05)
    done.set()
    await asyncio.to_thread(nodes.process.send_signal, signal.SIGTERM)  # which ends the streams that wait
    await asyncio.gather(*clients)
    return hammer


@needs_proc
def test_a_node_that_dies_is_replaced_and_none_outlives_its_parent(own_nodes: ServerProcess) -> None:
    dead = min(children(own_nodes))
    os.kill(dead, signal.SIGKILL)
    until(f"pid {dead}\\) has ended: killed by signal 9", own_nodes)
    for _ in range(20):  # one node listens, and gets them all
        assert httpx2.get(f"{own_nodes.url}/ready").status_code == 200
    until("is back", own_nodes)
    pids = children(own_nodes)
    assert len(pids) == 2
    assert dead not in pids
    own_nodes.kill()
    for _ in range(800):
        if all(is_gone(pid) for pid in pids):
            break
        threading.Event().wait(0.025)
    assert [pid for pid in pids if not is_gone(pid)] == []


def test_metrics_are_of_all_nodes_whichever_is_asked(nodes: ServerProcess) -> None:
    for _ in range(40):
        httpx2.get(f"{nodes.url}/health")
    text = httpx2.get(f"{nodes.url}/metrics").text
    counts = re.findall(r'rolltape_http_requests_total\{node="(\d)",operation="getHealth",status="200"\} (\d+)', text)
    assert [node for node, _ in counts] == ["1", "2"], "40 connections fall to both"
    assert sum(int(count) for _, count in counts) == 40
    assert text.count("\nprocess_resident_memory_bytes{") == 2
    assert text.count("# TYPE rolltape_channels_open") == 1
    assert re.findall(r'rolltape_wakeups_heard\{node="(\d)"\} (\d)', text) == [("1", "1"), ("2", "1")]


def test_two_deployments_do_not_share_a_port(nodes: ServerProcess, tmp_path: Path) -> None:
    port = int(nodes.url.rpartition(":")[2])
    with pytest.raises(RuntimeError, match=f"can't listen on 127.0.0.1:{port}"):
        start_server(tmp_path / "data", port, "--workers", "2")


def test_a_node_that_can_not_start_ends_them_all_and_says_why(nodes: ServerProcess, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    with pytest.raises(RuntimeError, match="is not the one of this database"):
        start_server(tmp_path / "data", 0, "--workers", "2", ROLLTAPE_MASTER_KEY_FILE=str(key))


def test_more_than_one_process_needs_postgres() -> None:
    with pytest.raises(BadSetting, match="ROLLTAPE_WORKERS=2 needs PostgreSQL"):
        Settings.from_env({"ROLLTAPE_WORKERS": "2"})


def test_a_parent_imports_nothing_that_has_a_secret() -> None:
    code = "import sys, rolltape.cli.main, rolltape.cli.admin, rolltape.nodes.parent; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "rolltape.nodes.parent" in found
    assert [name for name in found if name.startswith(("asyncpg", "apsw", "cryptography", "rolltape.service"))] == []
