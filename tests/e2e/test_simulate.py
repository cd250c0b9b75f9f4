"""`rolltape simulate` against a real server; and faults planted in devices and in a server, which it must see."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rolltape.sdk.client import Client
from rolltape.sdk.errors import SettingsError
from rolltape.simulate.device import Device
from rolltape.simulate.fleet import simulate
from rolltape.simulate.report import Report
from rolltape.simulate.settings import Wishes
from rolltape.testing.leash import run_leashed
from rolltape.testing.process import ServerProcess, make_key, running_server
from tests.brokers import mosquitto, needs_mosquitto
from tests.e2e.lying_server import lying
from tests.e2e.simulate_faults import Braggart, Dawdler, Forgetful, Loses, swallows_reports, swaps_words


class Place:
    """A running server, and a key."""

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url
        self.key = make_key(server.data)["key"]

    def run(self, kind: type[Device] = Device, url: str | None = None, **wishes: Any) -> Report:
        small = {"devices": 30, "every": 0.5, "seconds": 1.0, "commands_per_second": 60, "ttl": 20, "loss": 0.0}
        return simulate(Wishes((url or self.url,), self.key, **{**small, **wishes}), kind=kind)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_server(tmp_path_factory.mktemp("simulate") / "data") as server:
        yield Place(server)


def test_a_fleet_on_a_bad_network_breaks_no_promise_and_is_cleaned_away(place: Place, tmp_path: Path) -> None:
    told = tmp_path / "report.json"
    options = {
        "--server": place.url,
        "--devices": "200",
        "--route": "mixed",
        "--commands-per-second": "200",
        "--seconds": "2",
        "--every": "0.5",
        "--loss": "0.1",
        "--ttl": "20",
        "--seed": "4",
        "--json": str(told),
    }
    arguments = [part for option in options.items() for part in option]
    command = [sys.executable, "-m", "rolltape.cli.main", "simulate", *arguments, "--clean"]
    done = run_leashed(command, env={"ROLLTAPE_API_KEY": place.key})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every promise was kept." in done.stderr
    report = json.loads(told.read_text())
    assert report["broken"] == {
        "lost": 0,
        "executed_twice": 0,
        "executed_after_expiry": 0,
        "wrong_final_state": 0,
    }
    assert report["unsettled"] == 0
    commands = report["commands"]
    assert commands["created"] == 400
    assert commands["executed"] > 150
    ends = ("executed", "failed", "expired", "cancelled", "open")
    assert sum(commands[end] for end in ends) == commands["created"]
    went_wrong = ("cut", "cut_after", "unsent", "unheard", "twice", "naps", "power_cuts")
    assert [one for one in went_wrong if not report["figures"].get(one)] == []
    with Client(place.url, place.key) as client:
        assert [one.serial_number for one in client.devices.list() if one.serial_number.startswith("sim-4-")] == []
        assert [one.external_id for one in client.end_users.list() if one.external_id.startswith("sim-4-")] == []


@pytest.mark.parametrize("route", ["heartbeat", "channel"])
def test_no_device_stands_still_on_the_worst_of_networks_nor_when_its_fleet_was_there_before(
    place: Place, route: str
) -> None:
    report = place.run(seed=2, devices=20, every=0.2, loss=0.6, ttl=4, route=route)
    assert report.is_kept
    assert report.commands.created == 60
    assert report.unsettled == 0


@pytest.mark.parametrize(
    ("kind", "promise", "wishes"),
    [
        (
            Forgetful,
            "executed_twice",
            {"loss": 0.4, "seconds": 2.0, "every": 0.2, "devices": 60, "commands_per_second": 150},
        ),
        (Dawdler, "executed_after_expiry", {"ttl": 1, "commands_per_second": 20}),
        (Braggart, "wrong_final_state", {"route": "channel"}),
    ],
)
def test_a_device_that_breaks_a_promise_is_found_out(
    place: Place, kind: type[Device], promise: str, wishes: dict[str, Any]
) -> None:
    report = place.run(kind, seed=3, **wishes)
    assert report.broken[promise] > 0
    assert {one.promise for one in report.examples} >= {promise}
    assert not report.is_kept


@pytest.mark.parametrize(
    ("lie", "promise"),
    [(Loses(), "lost"), (swallows_reports, "wrong_final_state"), (swaps_words, "wrong_final_state")],
    ids=["loses", "swallows_reports", "swaps_words"],
)
def test_a_server_that_breaks_a_promise_is_found_out(place: Place, lie: Any, promise: str) -> None:
    with lying(place.url, lie) as url:
        report = place.run(url=url, seed=5, devices=10, commands_per_second=40, ttl=3)
    assert report.broken[promise] > 0
    assert not report.is_kept


def test_only_a_key_of_test_mode_is_taken() -> None:
    with pytest.raises(SettingsError, match="test mode"):
        simulate(Wishes(("http://127.0.0.1:1",), "sk_live_x"))


@needs_mosquitto
@pytest.mark.parametrize("per_line", [1, 10])
def test_a_fleet_on_a_broker_breaks_no_promise(tmp_path: Path, per_line: int) -> None:
    with (
        mosquitto(tmp_path / "broker") as broker,
        running_server(tmp_path / "data", ROLLTAPE_MQTT=broker.url) as server,
    ):
        wishes: dict[str, Any] = {
            "route": "mqtt",
            "brokers": (broker.url,),
            "per_line": per_line,
            "devices": 100,
            "ttl": 60,
        }
        report = Place(server).run(**wishes, loss=0.1, commands_per_second=100)
    assert report.is_kept, report.examples
    assert report.unsettled == 0
    assert report.commands.executed > 30
    went_wrong = ("cut", "cut_after", "unsent", "unheard", "twice", "power_cuts")
    assert [one for one in went_wrong if not report.figures.get(one)] == []
