"""The parts of `rolltape simulate`: chance that a seed decides, the heap of those who sleep, and shared connections."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import cast

import pytest

from rolltape.clock import SystemClock
from rolltape.simulate.dice import Dice, Fate, Luck
from rolltape.simulate.pool import NOTHING, Cut, Origin, Pool, Reply, origin_of
from rolltape.simulate.timers import NEVER, Timers


def test_a_seed_gives_the_same_rolls_again_and_each_device_others() -> None:
    first, again, other = Dice(1, 7), Dice(1, 7), Dice(1, 8)
    rolls = [first.roll() for _ in range(100)]
    assert rolls == [again.roll() for _ in range(100)]
    assert rolls != [other.roll() for _ in range(100)]
    assert all(0 <= roll < 1 for roll in rolls)
    assert 0.4 < sum(rolls) / 100 < 0.6


def test_as_many_calls_are_lost_as_was_asked_for_and_none_once_the_network_has_healed() -> None:
    luck, dice = Luck(0.2), Dice(3, 0)
    fates = [luck.of_call(dice) for _ in range(10_000)]
    lost = sum(fate not in (Fate.WELL, Fate.TWICE) for fate in fates)
    assert 1800 < lost < 2200
    assert set(fates) == set(Fate)
    luck.heal()
    assert {luck.of_call(dice) for _ in range(1000)} == {Fate.WELL}


class Sleeper:
    def __init__(self) -> None:
        self.wake_at = NEVER


def test_only_the_newest_word_wakes_a_sleeper() -> None:
    async def story() -> list[Sleeper]:
        woken: list[Sleeper] = []
        clock, over = SystemClock(), asyncio.Event()

        def due(sleeper: Sleeper, now: float) -> None:
            assert sleeper.wake_at is NEVER
            woken.append(sleeper)
            if sleeper is last:
                over.set()

        timers = Timers(clock, due)
        moved, quiet, last = Sleeper(), Sleeper(), Sleeper()
        now = clock.monotonic()
        timers.set(moved, now)
        timers.set(moved, now + 0.02)
        timers.set(quiet, now + 0.01)
        timers.set(quiet, inf)
        timers.set(last, now + 0.04)
        async with asyncio.timeout(10):
            await over.wait()
        assert woken == [moved, last]
        assert len(timers) == 0
        return woken

    asyncio.run(story())


async def answered(pool: Pool, request: bytes, cut: Cut = Cut.NOT) -> Reply:
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    pool.call(request, reply.set_result, cut)
    async with asyncio.timeout(10):
        return await reply


class Server:
    """Answers each request with `answer`, or not at all where that is empty; and counts its connections."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0
        self.gone = asyncio.Semaphore(0)

    async def close(self) -> None:
        """Until all its connections are gone, as those of a pool that was closed are."""
        for _ in range(self.connections):
            await self.gone.acquire()

    def talker(self) -> asyncio.Protocol:
        server = self

        class Talker(asyncio.Protocol):
            heard = b""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                server.connections += 1
                self.transport = cast(asyncio.Transport, transport)

            def data_received(self, data: bytes) -> None:
                self.heard += data
                if self.heard.endswith(b"\r\n\r\n") and server.answer:
                    self.heard = b""
                    self.transport.write(server.answer)

            def connection_lost(self, exc: Exception | None) -> None:
                server.gone.release()

        return Talker()


async def with_pool(answer: bytes, story: Callable[[Pool, Server], Awaitable[None]], patience: float = 10.0) -> None:
    server = Server(answer)
    listener = await asyncio.get_running_loop().create_server(server.talker, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    pool = Pool([Origin("127.0.0.1", port, None, "")], SystemClock(), most=2, patience=patience)
    try:
        await story(pool, server)
    finally:
        await pool.close()
        await server.close()
        listener.close()


REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok"


def test_a_fleet_shares_its_connections_and_uses_them_again() -> None:
    async def story(pool: Pool, server: Server) -> None:
        replies = await asyncio.gather(*(answered(pool, REQUEST) for _ in range(50)))
        replies += [await answered(pool, REQUEST) for _ in range(50)]
        assert set(replies) == {Reply(200, b"ok", "7")}
        assert server.connections <= 2
        assert len(pool) == server.connections

    asyncio.run(with_pool(ANSWER, story))


@pytest.mark.parametrize("cut", [Cut.HALFWAY, Cut.AFTER])
def test_a_cut_call_has_no_answer_and_the_next_gets_a_connection_of_its_own(cut: Cut) -> None:
    async def story(pool: Pool, server: Server) -> None:
        assert await answered(pool, REQUEST, cut) == NOTHING
        assert (await answered(pool, REQUEST)).status == 200
        assert server.connections == 2

    asyncio.run(with_pool(ANSWER, story))


def test_a_server_that_says_nothing_is_given_up() -> None:
    async def story(pool: Pool, server: Server) -> None:
        assert await answered(pool, REQUEST) == NOTHING

    asyncio.run(with_pool(b"", story, patience=0.1))


def test_a_server_that_is_not_there_or_speaks_no_http_gives_no_answer() -> None:
    async def story(pool: Pool, server: Server) -> None:
        assert await answered(pool, REQUEST) == NOTHING
        nobody = Pool([origin_of("http://127.0.0.1:1", None)], SystemClock(), most=1, patience=5)
        assert await answered(nobody, REQUEST) == NOTHING
        await nobody.close()

    asyncio.run(with_pool(b"SSH-2.0\r\n\r\n", story))


def test_an_origin_is_where_a_url_points() -> None:
    assert origin_of("http://rolltape.example/under", None) == Origin("rolltape.example", 80, None, "/under")
    assert origin_of("http://[::1]:8787", None).host_header == "[::1]:8787"
    assert origin_of("https://rolltape.example", None).port == 443
