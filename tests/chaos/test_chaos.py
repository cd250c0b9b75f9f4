"""The chaos of `python -m tests.chaos`, a short one; and that it sees promises that are broken."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rolltape.simulate.device import Device
from rolltape.wire.claims import Claims
from tests.chaos.__main__ import told
from tests.chaos.place import Place
from tests.chaos.run import ChaosReport, Plan, run
from tests.chaos.torments import TORMENTS
from tests.postgres import server

SHORT = Plan(
    commands=60 * 60, seconds=60, devices=40, every=0.5, ttl=6, loss=0.05, seed=7, pace=0.1, gap=0.2, once=True
)


def test_whatever_befalls_two_nodes_and_their_database_no_promise_is_broken(tmp_path: Path) -> None:
    with Place(tmp_path, server(), f"chaos_{tmp_path.name[-20:]}") as place:
        report = run(place, SHORT)
    assert report.is_kept, told(report)
    assert "Every promise was kept." in told(report)
    assert {name: one.times for name, one in report.torments.items()} == dict.fromkeys(TORMENTS, 1)
    ends = report.simulate.commands
    assert ends.created > 100
    assert ends.executed > 20
    assert report.events > 2 * ends.created


class Twice(Device):
    """It uploads two times where it was told to once."""

    def act(self, claims: Claims, now: float) -> dict[str, Any]:
        if claims.type == "trigger_upload":
            super().act(claims, now)
        return super().act(claims, now)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> ChaosReport:
    """A run in calm, with one node that breaks promises and devices that do."""
    folder = tmp_path_factory.mktemp("broken")
    place = Place(folder, server(), f"broken_{folder.name[-20:]}")
    place.nodes[1].program = (sys.executable, "-m", "tests.chaos.broken_node")
    plan = Plan(commands=300, seconds=2, devices=60, every=0.3, ttl=4, loss=0.05, seed=3, calm=True)
    with place:
        return run(place, plan, kind=Twice)


def test_commands_that_a_node_loses_are_missed(broken: ChaosReport) -> None:
    assert broken.simulate.broken["lost"] > 0
    assert broken.audit["lost"] > 0
    assert broken.audit["seq"] > 0
    assert not broken.is_kept


def test_commands_that_two_nodes_expire_are_seen(broken: ChaosReport) -> None:
    assert broken.audit["history"] > 0
    whys = [one.why for one in broken.examples if one.what == "history"]
    assert any("expired after" in why for why in whys), whys


def test_devices_that_do_things_twice_are_seen(broken: ChaosReport) -> None:
    assert broken.simulate.broken["executed_twice"] > 0
    assert "A PROMISE WAS BROKEN." in told(broken)
