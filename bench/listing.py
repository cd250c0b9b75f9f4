"""A page of 100 commands out of many, and out of few: what does the size of the history cost?"""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.client import request
from bench.compare import Effort, Lane, Row, in_turn, row
from bench.servers import Credentials, Target, ours, prepare_ours
from rolltape.clock import machine_ms
from rolltape.store.sqlite.database import connect, transaction

FEW = 1_000
CALLERS = 4
_INSERT = """
WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?1)
INSERT INTO commands (id, tenant_n, device_id, generation, seq, type, status, params, created_at, expires_at,
                      delivered_at, executed_at, reported_at, route, offers, offered_routes, last_offered_at, evidence,
                      result, idempotency_key, request_hash)
SELECT printf('cmd_%022d', i), b.tenant_n, b.device_id, b.generation, i,
       iif(i % 2, 'start_recording', 'stop_recording'), iif(i % 10, 'executed', 'expired'),
       iif(i % 2, '{"max_duration_sec":3600,"upload_immediately":true}', '{}'), ?2 + i, (?2 + i) / 1000 * 1000,
       ?2 + i, ?2 + i, ?2 + i, 'heartbeat', 1, 1, ?2 + i, 'device',
       json_object('recording_id', printf('rec_%022d', i / 2)), printf('key-%d', i), zeroblob(32)
FROM numbers, device_bindings AS b WHERE b.device_id = ?3
"""


def fill(folder: Path, device_id: str, count: int) -> None:
    """So many closed commands on the device, written while no server runs there."""
    db = connect(folder)
    db.conn.execute("PRAGMA synchronous=OFF")
    with transaction(db):
        db.conn.execute(_INSERT, (count, machine_ms() - 10 * count, device_id))
        db.conn.execute("UPDATE device_bindings SET last_seq = ? WHERE device_id = ?", (count, device_id))
    db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.conn.close()


def compare_list(effort: Effort) -> list[Row]:
    """The newest page, whole and by status, of a project with a large history and of one with a small one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rolltape-bench-")))
        few, many = [
            stack.enter_context(ours(folder / name, _filled(folder / name, count)))
            for name, count in (("few", FEW), ("many", effort.fill))
        ]
        return [
            _row("list newest 100", effort, many, few, "limit=100"),
            _row("list 100 executed", effort, many, few, "limit=100&status=executed"),
        ]


def _filled(folder: Path, count: int) -> Credentials:
    given = prepare_ours(folder, 1)
    fill(folder, given.devices[0][0], count)
    return given


def _row(bench: str, effort: Effort, many: Target, few: Target, query: str) -> Row:
    pair = (Lane(many, [_list(many, query)], 200), Lane(few, [_list(few, query)], 200))
    name = f"{bench} of {effort.fill:,}"
    figures = in_turn(pair, CALLERS, effort)
    return row(name, CALLERS, f"rolltape with {FEW:,}", *figures, cost=True, target="under 3")


def _list(target: Target, query: str) -> str:
    return request(target, "GET", f"/v1/devices/{target.devices[0][0]}/commands?{query}", target.key)
