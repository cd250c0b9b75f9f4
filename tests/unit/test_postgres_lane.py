"""Rounds: whoever comes while one is under way goes into the next, and a pace lets more come along."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from rolltape.store.postgres.lane import ENOUGH, Looks

AN_HOUR = 3600.0


class _Database:
    """Answers each key with its length, round by round, as fast as it is let."""

    def __init__(self, pace: float) -> None:
        self.rounds: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.looks: Looks[str, int] = Looks(self._find, pace)

    async def _find(self, keys: list[str]) -> dict[str, int]:
        self.rounds.append(sorted(keys))
        await self.may_answer.wait()
        return {key: len(key) for key in keys}


def _run(story: Callable[[], Awaitable[None]]) -> None:
    async def patiently() -> None:
        async with asyncio.timeout(20):
            await story()

    asyncio.run(patiently())


async def _turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_lone_caller_never_waits_for_company() -> None:
    async def story() -> None:
        database = _Database(AN_HOUR)
        for key in ("a", "bb", "ccc"):
            assert await database.looks.get(key) == len(key)
        assert database.rounds == [["a"], ["bb"], ["ccc"]]

    _run(story)


class _Timers:
    """What the loop is asked to do later, which nobody does."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []
        patch.setattr(asyncio.get_running_loop(), "call_later", self._later)

    def _later(self, seconds: float, callback: Callable[..., None], *args: object) -> asyncio.Handle:
        self.set.append((seconds, lambda: callback(*args)))
        return asyncio.Handle(callback, args, asyncio.get_running_loop())


async def _between_two_rounds(database: _Database, timers: _Timers) -> list[asyncio.Future[int | None]]:
    """The first round is over, and the next, for which two wait, has yet to begin."""
    database.may_answer.clear()
    asked: list[asyncio.Future[int | None]] = [asyncio.ensure_future(database.looks.get("a"))]
    await _turns()
    asked += [asyncio.ensure_future(database.looks.get(key)) for key in ("b", "c")]
    await _turns()
    database.may_answer.set()
    assert await asked[0] == 1  # its answer doesn't wait
    await _turns()
    assert [AN_HOUR - 60 < seconds <= AN_HOUR for seconds, _ in timers.set] == [True]
    assert database.rounds == [["a"]]
    return asked


def test_who_comes_between_two_paced_rounds_goes_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        database, timers = _Database(AN_HOUR), _Timers(monkeypatch)
        asked = await _between_two_rounds(database, timers)
        asked.append(asyncio.ensure_future(database.looks.get("d")))
        await _turns()
        timers.set[0][1]()
        assert await asyncio.gather(*asked) == [1, 1, 1, 1]
        assert database.rounds == [["a"], ["b", "c", "d"]]
        timers.set[0][1]()  # late, and nobody waits for it any more
        assert await database.looks.get("e") == 1

    _run(story)


def test_a_paced_round_begins_as_soon_as_enough_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        database, timers = _Database(AN_HOUR), _Timers(monkeypatch)
        asked = await _between_two_rounds(database, timers)
        keys = [f"key {n}" for n in range(ENOUGH - 2)]
        asked += [asyncio.ensure_future(database.looks.get(key)) for key in keys[:-1]]
        await _turns()
        assert len(database.rounds) == 1
        asked.append(asyncio.ensure_future(database.looks.get(keys[-1])))
        assert all(await asyncio.gather(*asked))
        assert database.rounds == [["a"], ["b", "c", *keys]]

    _run(story)


def test_what_goes_wrong_all_of_the_round_hear_and_nobody_else() -> None:
    async def story() -> None:
        broken = True

        async def find(keys: list[str]) -> dict[str, int]:
            if broken:
                raise OSError("gone")
            return {}

        looks: Looks[str, int] = Looks(find)
        heard = await asyncio.gather(*(looks.get(key) for key in "ab"), return_exceptions=True)
        assert [type(each) for each in heard] == [OSError, OSError]
        broken = False
        assert await looks.get("a") is None

    _run(story)
