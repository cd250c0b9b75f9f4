"""Create against its limits: the same server without its signature, bare commits, bare signing, and a bare server."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.effort import Effort
from bench.lanes import HttpLane, Lane, creates, in_turn
from bench.load.run import Figures, start_request
from bench.rows import row
from bench.seed.store import Size, seed
from bench.servers.echo import echo
from bench.servers.ours import UNSIGNED, ours
from bench.servers.process import ROOT
from bench.servers.target import Target
from bench.servers.unsigned import SIGNATURE
from bench.session import Session, fresh_folder
from rolltape.wire.keys import b64url

CALLERS = 32
NOTES = {
    "unsigned": "all the same but the signature, in whose place stands a constant",
    "echo": "reads the body and answers a constant of 800 bytes: no work at all",
    "sign": "one thread that does nothing but mint grants",
    "commit": "32 rows a durable commit: no look-ups, checks, events, signatures or HTTP",
}


class BareLane:
    """A rate that a process of its own measures and prints; times of single calls there are none."""

    def __init__(self, name: str, kind: str, where: str, note: str) -> None:
        self.name, self.note = name, note
        self._kind, self._where = kind, where

    def run(self, callers: int, effort: Effort) -> Figures:
        """`callers` is the number of rows in a commit, and that is fixed."""
        where = self._where
        with tempfile.TemporaryDirectory(prefix="rolltape-bench-") as folder:
            if self._kind == "sqlite":
                where = str(Path(folder) / "bare.db")
            command = [sys.executable, "-m", "bench.limits.bare", self._kind, where, str(effort.seconds)]
            done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-600:])
        return Figures(float(done.stdout), 0.0, 0.0, 0)


def compare_limits(session: Session) -> None:
    """At 32 callers, on each store."""
    for store in session.effort.stores:
        with session.guarded(f"limits, {store}"), _lanes(session, store) as lanes:
            found = in_turn(session, f"limits, {store}", lanes, CALLERS)
            for lane in lanes[1:]:
                if lane.name in found:
                    name, aim = ("create_unsigned", "at least 0.6") if lane is lanes[1] else ("create and a limit", "")
                    pair = found[lanes[0].name], found[lane.name]
                    session.add(row(name, CALLERS, lane.name, *pair, store=store, target=aim, note=lane.note))


@contextmanager
def _lanes(session: Session, store: str) -> Iterator[list[Lane]]:
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder())
        url, own, bare = (stack.enter_context(session.database(store)) for _ in range(3))
        size = Size(session.effort.devices)
        signed = stack.enter_context(ours(seed(folder / "signed", size, url)))
        unsigned = stack.enter_context(ours(seed(folder / "unsigned", size, own), UNSIGNED))
        check_unsigned(unsigned)
        bare_server = stack.enter_context(echo())
        yield [
            creates(signed),
            creates(unsigned, NOTES["unsigned"]),
            BareLane(f"bare group commit, {store}", store, bare or "", NOTES["commit"]),
            BareLane("bare signing", "sign", "", NOTES["sign"]),
            HttpLane(bare_server, start_request(bare_server), 201, NOTES["echo"]),
        ]


def check_unsigned(target: Target) -> None:
    """RuntimeError when that server does sign: the switch would have come loose, and the row would say nothing."""
    url = f"http://{target.host}:{target.port}/v1/devices/{target.devices.id % {'device': 0}}/commands"
    body = json.dumps({"type": "trigger_upload"}).encode()
    headers = {"authorization": f"Bearer {target.key}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        grant = json.loads(answer.read())["grant_token"]
    if grant.rpartition(".")[2] != b64url(SIGNATURE):
        raise RuntimeError("the server that shouldn't sign does: mend bench/servers/unsigned.py")
