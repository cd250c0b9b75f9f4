"""A quick run of each comparison, with all its servers. Nothing here is timed: a figure is never asserted."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.parts.limits import check_unsigned
from bench.seed.store import Size, seed
from bench.servers.ours import ours
from bench.servers.target import Target

from rolltape.testing.leash import run_leashed
from tests.postgres import url_of

ROOT = Path(__file__).parents[2]
FIELDS = {"bench", "store", "callers", "ours_per_s", "peer", "peer_per_s", "ratio", "p50_ms", "p99_ms"}
PEER = "fastapi+sqlalchemy+pyjwt"
BOTH = {"sqlite", "postgres"}


@pytest.fixture
def scratch() -> Iterator[Path]:
    """Beside pytest's own folders, which are closed to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="bench-test-") as folder:
        yield Path(folder)


def quick(parts: str, folder: Path, stores: str = "sqlite,postgres") -> dict[str, Any]:
    """What a quick run of these parts wrote. It ends well, and every row is whole."""
    out = folder / "out.json"
    command = [sys.executable, "-m", "bench", "--quick", "--only", parts, "--out", str(out), "--scratch", str(folder)]
    command += ["--stores", stores]
    done = run_leashed(command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    written: dict[str, Any] = json.loads(out.read_text())
    assert (written["schema"], written["quick"], written["failed"]) == (2, True, {})
    assert written["machine"]["versions"]["fastapi"]
    for each in written["rows"]:
        assert each.keys() >= FIELDS
        assert min(each["ours_per_s"], each["peer_per_s"], each["ratio"]) > 0
        assert each["bench"] in done.stdout
    assert not list(folder.glob("rolltape-*")), "it cleans up after itself"
    return written


def peers(written: dict[str, Any], bench: str, callers: int | None = None) -> set[tuple[str, str]]:
    rows = [each for each in written["rows"] if each["bench"] == bench and callers in (None, each["callers"])]
    return {(each["store"], each["peer"]) for each in rows}


def test_create_is_compared_with_every_peer_and_every_limit(scratch: Path) -> None:
    written = quick("create,limits", scratch)
    found = {("sqlite", f"{PEER} on sqlite"), ("postgres", f"{PEER} on postgres"), ("postgres", f"{PEER} on sqlite")}
    found |= {("postgres", "procrastinate"), ("postgres", "pgqueuer"), ("sqlite", "nats jetstream")}
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    if shutil.which("mosquitto", path=path) or os.environ.get("CI"):
        found.add(("sqlite", "mosquitto qos 1"))
    else:
        assert "apt-get install mosquitto" in written["left_out"]["mosquitto qos 1"]
    for callers in (1, 8):
        assert peers(written, "create", callers) == found
    assert all(each["note"] for each in written["rows"] if each["bench"] == "create")
    assert {store for store, _ in peers(written, "create_unsigned")} == BOTH
    assert len(peers(written, "create and a limit")) == 6
    assert (scratch / "create.png").stat().st_size > 1000


def test_heartbeats_steady_rates_lists_and_channels_are_measured(scratch: Path) -> None:
    written = quick("heartbeat,steady,list,channel", scratch)
    counts: dict[str, int] = {}
    for each in written["rows"]:
        counts[each["store"]] = counts.get(each["store"], 0) + 1
    assert counts == {"sqlite": 1 + 2 + 2 + 1, "postgres": 1 + 2 + 2 + 1}
    shares = [each["more"] for each in written["rows"] if "server_share" in each["more"]]
    assert len(shares) == 2
    assert all(each["server_share"] > 0 for each in shares)


def test_the_curves_have_each_call_at_each_size(scratch: Path) -> None:
    written = quick("curves", scratch, "postgres")  # SQLite's copies have a test of their own below
    calls, sizes = (4, 4)  # devices have two: numbers of a store's first point must not come again at its second
    assert [each["store"] for each in written["rows"]].count("postgres") == calls * sizes
    assert all(each["more"]["at"] > each["more"]["from"] for each in written["rows"])
    assert (scratch / "curves.png").stat().st_size > 1000


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.curves import part
    from bench.effort import FULL
    from bench.session import Session

    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=3_000_000_000))
    session = Session(FULL)
    fitting = [part.that_fit(session, "sqlite", points) for points in part.curves_of(FULL)]
    assert [[point.count for point in points] for points in fitting] == [[10_000, 100_000], [200_000], []]
    assert "--scratch" in session.outcome.left_out["cost with 1,000,000 devices, sqlite"]


@pytest.fixture(params=sorted(BOTH))
def seeded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    """Twenty devices, 100 closed commands of the first five, nine that wait for each of the first three."""
    import asyncio

    url = asyncio.run(url_of(tmp_path)) if request.param == "postgres" else None
    with ours(seed(tmp_path / "data", Size(20, closed=100, over=5, waiting=9, queued=3), url)) as target:
        yield target


def test_copies_are_devices_and_commands_as_the_server_makes_them(seeded: Target) -> None:
    base, devices = f"http://{seeded.host}:{seeded.port}/v1", seeded.devices.each(20)
    with httpx2.Client(headers={"authorization": f"Bearer {seeded.key}"}) as backend:
        for number, (id_, token) in enumerate(devices):
            assert backend.get(f"{base}/devices/{id_}").json()["status"] == "bound"
            counts = {
                status: len(backend.get(f"{base}/devices/{id_}/commands?limit=100&status={status}").json()["data"])
                for status in ("executed", "pending")
            }
            assert counts == {"executed": 20 if number < 5 else 0, "pending": 9 if number < 3 else 0}
            said = backend.post(
                f"{base}/devices/me/heartbeat", json={}, headers={"authorization": f"Bearer {token}"}
            ).json()
            assert (len(said["commands"]), said["more"]) == ((4, True) if number < 3 else (0, False))
        command = backend.get(f"{base}/devices/{devices[0][0]}/commands?status=pending").json()["data"][0]
        history = backend.get(f"{base}/devices/{devices[0][0]}/commands/{command['id']}/events").json()["data"]
        assert history[0]["data"]["id"] == command["id"]
        assert history[0]["data"]["device_id"] == devices[0][0]


def test_a_server_that_signs_is_not_taken_for_one_that_does_not(seeded: Target) -> None:
    with pytest.raises(RuntimeError, match="does"):
        check_unsigned(seeded)
