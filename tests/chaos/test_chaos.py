"""The chaos of `python -m tests.chaos`, a short one; and that it sees promises that are broken."""

import sys
from pathlib import Path
from typing import Any

from rolltape.simulate.device import Device
from rolltape.wire.claims import Claims
from tests.chaos.__main__ import told
from tests.chaos.place import Place
from tests.chaos.run import Plan, run
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


def test_a_node_that_loses_commands_or_expires_them_unguarded_and_devices_that_do_things_twice_are_found_out(
    tmp_path: Path,
) -> None:
    """All of it in one run, in calm: each is seen by its own check."""
    place = Place(tmp_path, server(), f"broken_{tmp_path.name[-20:]}")
    place.nodes[1].program = (sys.executable, "-m", "tests.chaos.broken_node")
    plan = Plan(commands=300, seconds=2, devices=60, every=0.3, ttl=3, loss=0.05, seed=3, calm=True)
    with place:
        report = run(place, plan, kind=Twice)
    assert not report.is_kept
    assert "A PROMISE WAS BROKEN." in told(report)
    assert report.simulate.broken["executed_twice"] > 0
    assert report.simulate.broken["lost"] > 0
    assert report.audit["lost"] > 0
    assert report.audit["seq"] > 0
    assert report.audit["history"] > 0, told(report)
