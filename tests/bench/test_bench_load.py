"""The load generators: what they send, what they count, and what spoils a run."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from bench.effort import QUICK
from bench.lanes import HttpLane, in_turn
from bench.load.closed import counted, in_a_line, run_plan
from bench.load.open import run_open
from bench.load.plan import Plan, Requests
from bench.load.run import Figures, request
from bench.servers.echo import echo
from bench.servers.process import cpu_seconds
from bench.session import Missing, Session

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def plan(port: int, **changed: Any) -> Plan:
    facts: dict[str, Any] = {
        "callers": 2,
        "warmup": 0.0,
        "seconds": 0.05,
        "expect": 200,
        "request": "GET / HTTP/1.1\r\n\r\n",
    }
    return Plan(host="127.0.0.1", port=port, **(facts | changed))


async def beside(answer: Answering, run: Callable[[int], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    ended: list[asyncio.Task[None] | None] = []

    async def to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(to_the_end, "127.0.0.1", 0) as server:
        told = await run(server.sockets[0].getsockname()[1])
        await asyncio.gather(*(task for task in ended if task is not None))
        return told


def test_a_server_that_hangs_up_spoils_the_run() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert "closed" in asyncio.run(beside(hang_up, lambda port: run_plan(plan(port))))["errors"][0]


def test_an_open_loop_counts_from_the_moment_when_a_request_was_due() -> None:
    async def late_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asyncio.get_running_loop().call_later(0.15, writer.write, ANSWER)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)

    told = asyncio.run(beside(late_at_first, lambda port: run_open(plan(port, callers=1, per_s=200.0))))
    assert told["errors"] == []
    assert told["answered"] == 10
    assert told["p50_ms"] > 90  # only the first was slow, and yet all of them were kept waiting


def test_every_request_has_a_number_and_a_device_of_its_own() -> None:
    requests = Requests(plan(0, request="%(n)04x %(device)02d", devices=10, first=7))
    sent = [requests.next().split() for _ in range(10)]
    assert [number for number, _ in sent] == [b"%04x" % n for n in range(8, 18)]
    assert len({device for _, device in sent}) == 10


def test_answers_of_the_warm_up_do_not_count_and_a_slow_server_is_waited_for() -> None:
    assert counted([(0.5, 0.1), (1.2, 0.2), (2.5, 0.3)], begin=1.0, seconds=1.0) == ([0.2], 1.0)
    assert counted([(0.5, 0.1), (3.0, 0.3)], begin=1.0, seconds=1.0) == ([0.3], 2.0)
    assert counted([], begin=1.0, seconds=1.0) == ([], 1.0)


def test_a_wrong_answer_spoils_the_run_and_is_told() -> None:
    with echo() as target:
        lane = HttpLane(target, request(target, "POST", "/", "x", {}), 204)
        with pytest.raises(RuntimeError, match="201"):
            lane.run(2, QUICK)


def test_processor_time_is_that_of_the_whole_process() -> None:
    before, told = cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < told + 0.05:
        pass
    assert cpu_seconds(os.getpid()) - before >= 0.04
    assert cpu_seconds(None) == 0.0


def test_a_wrong_answer_is_told_without_its_grant() -> None:
    answer = b'HTTP/1.1 200 OK\r\na: b\r\n\r\n{"id":"cmd_1","grant_token":"secret"}'
    assert in_a_line(answer) == 'HTTP/1.1 200 OK: {"id":"cmd_1",'


class Scripted:
    """A lane that gives what it is told to."""

    note = ""

    def __init__(self, name: str, *rates: float) -> None:
        self.name = name
        self._rates = iter(rates)

    def run(self, callers: int, effort: object) -> Figures:
        rate = next(self._rates)
        if not rate:
            raise RuntimeError("it fell over")
        return Figures(rate, 1.0, 2.0, 0)


def test_a_lane_that_fails_is_told_and_hides_no_other() -> None:
    session = Session(QUICK)
    found = in_turn(session, "create", [Scripted("ours", 3, 4), Scripted("bad", 1, 0), Scripted("good", 1, 2)], 8, 2)
    assert {name: [each.per_s for each in rounds] for name, rounds in found.items()} == {"ours": [3, 4], "good": [1, 2]}
    assert session.outcome.failed == {"create, 8 callers, bad": "it fell over"}
    assert in_turn(session, "create", [Scripted("ours", 0), Scripted("good", 1)], 8, 1) == {}


def start_broker() -> None:
    raise Missing("abroker isn't installed here: apt-get install abroker")


def test_a_missing_tool_is_left_out_by_name_and_is_no_failure() -> None:
    session = Session(QUICK)
    with session.guarded("a broker"):
        start_broker()
    assert session.outcome.left_out == {"a broker": "abroker isn't installed here: apt-get install abroker"}
    assert not session.outcome.failed
