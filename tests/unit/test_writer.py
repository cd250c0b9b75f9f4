"""The single writer: many callers in one commit, and none of them at the mercy of another.

Whatever it promises it promises of brief operations, which run on the event loop, and of those that have the thread.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from rolltape.codes import Code, Problem
from rolltape.store.database import Db, drive
from rolltape.store.sqlite.database import connect
from rolltape.store.sqlite.writer import MAX_WAITING, Writer


def _prepared(folder: Path) -> None:
    db = connect(folder)
    db.conn.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY, text TEXT UNIQUE NOT NULL)")
    db.conn.close()


def _notes(folder: Path) -> list[str]:
    db = connect(folder, readonly=True)
    found = [text for (text,) in db.rows("SELECT text FROM notes ORDER BY n")]
    db.conn.close()
    return found


def _on_a_writer(folder: Path, use: Callable[[Writer], Awaitable[None]], *brief: Callable[..., Any]) -> None:
    async def on_its_loop() -> None:
        writer = Writer(folder, brief=frozenset(brief))
        try:
            await use(writer)
        finally:
            await writer.close()

    _prepared(folder)
    asyncio.run(on_its_loop())


async def note(db: Db, text: str) -> str:
    """Writes one."""
    await db.run("INSERT INTO notes (text) VALUES (?)", (text,))
    return text


async def long_note(db: Db, text: str) -> str:
    """The same, of which nobody says that it is brief."""
    return await note(db, text)


async def refuse(db: Db, text: str) -> str:
    """Refuses before it has written."""
    raise Problem(Code.NOT_FOUND, text)


async def note_and_refuse(db: Db, text: str) -> str:
    """Refuses after it has written."""
    await note(db, text)
    raise Problem(Code.NOT_FOUND, text)


async def note_and_break(db: Db, text: str) -> str:
    """Breaks after it has written."""
    await note(db, text)
    raise ZeroDivisionError


async def where(db: Db) -> int:
    """The thread in which it ran, after it has written."""
    await note(db, "here")
    return threading.get_ident()


BOTH = pytest.mark.parametrize(
    "brief", [(), (note, refuse, note_and_refuse, note_and_break, where)], ids=["beside", "on the loop"]
)


@asynccontextmanager
async def _held(writer: Writer) -> AsyncIterator[threading.Event]:
    """Keeps the writer busy until the event is set, so that what comes meanwhile goes into one batch."""
    started, go = threading.Event(), threading.Event()

    async def hold(db: Db) -> None:
        started.set()
        assert go.wait(10)

    busy = asyncio.ensure_future(writer.run(hold))
    assert await asyncio.to_thread(started.wait, 10)
    try:
        yield go
    finally:
        go.set()
        await busy


@BOTH
def test_an_answer_comes_after_the_commit(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use(writer: Writer) -> None:
        assert await writer.run(note, "a") == "a"
        assert _notes(tmp_path) == ["a"]

    _on_a_writer(tmp_path, use, *brief)


@BOTH
def test_what_is_brief_runs_on_the_loop_and_all_else_beside_it(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use(writer: Writer) -> None:
        assert (await writer.run(where) == threading.get_ident()) is bool(brief)

    _on_a_writer(tmp_path, use, *brief)


@BOTH
def test_the_loop_goes_on_while_another_process_writes(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use(writer: Writer) -> None:
        other = connect(tmp_path)
        other.begin()
        task = asyncio.ensure_future(writer.run(note, "a"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        other.commit()
        other.conn.close()
        assert await task == "a"

    _on_a_writer(tmp_path, use, *brief)


@BOTH
def test_all_are_done_in_their_order(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use(writer: Writer) -> None:
        async with _held(writer) as together:
            tasks = [asyncio.ensure_future(writer.run(long_note if n % 7 == 0 else note, str(n))) for n in range(200)]
            await asyncio.sleep(0)
            together.set()
            await asyncio.gather(*tasks)
        assert _notes(tmp_path) == [str(n) for n in range(200)]

    _on_a_writer(tmp_path, use, *brief)


@BOTH
@pytest.mark.parametrize("bad", [refuse, note_and_refuse, note_and_break])
def test_an_operation_that_fails_neither_spoils_nor_half_does_another(
    tmp_path: Path, bad: Callable[[Db, str], Coroutine[Any, Any, str]], brief: tuple[Any, ...]
) -> None:
    async def use(writer: Writer) -> None:
        async with _held(writer) as together:
            works = [writer.run(note, "1"), writer.run(bad, "2"), writer.run(note, "3"), writer.run(bad, "4")]
            tasks = [asyncio.ensure_future(work) for work in works]
            await asyncio.sleep(0)
            together.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer if isinstance(answer, str) else None for answer in answers] == ["1", None, "3", None]
        assert _notes(tmp_path) == ["1", "3"]

    _on_a_writer(tmp_path, use, *brief)


@BOTH
def test_a_statement_that_the_database_refuses_is_unavailable_to_its_caller_alone(
    tmp_path: Path, brief: tuple[Any, ...]
) -> None:
    async def use(writer: Writer) -> None:
        answers = await asyncio.gather(*(writer.run(note, text) for text in "aab"), return_exceptions=True)
        problems = [answer for answer in answers if isinstance(answer, Problem)]
        assert [problem.code for problem in problems] == [Code.UNAVAILABLE]
        assert sorted(_notes(tmp_path)) == ["a", "b"]

    _on_a_writer(tmp_path, use, *brief)


@pytest.mark.parametrize("on_the_loop", [False, True])
def test_a_full_disk_is_unavailable_and_leaves_nothing_and_room_heals_it(
    tmp_path: Path, on_the_loop: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fill(db: Db, pages: int) -> None:
        await db.run(f"PRAGMA max_page_count={pages}")

    async def large_note(db: Db, text: str) -> str:
        return await note(db, text * 20_000)

    async def use(writer: Writer) -> None:
        await writer.run(note, "before")
        await writer.run(fill, 1)  # SQLite takes the present size as the least
        both = await asyncio.gather(*(writer.run(large_note, text) for text in "ab"), return_exceptions=True)
        assert all(isinstance(answer, Problem) and answer.code == Code.UNAVAILABLE for answer in both)
        assert _notes(tmp_path) == ["before"]
        await writer.run(fill, 100_000)
        assert len(await writer.run(large_note, "c")) == 20_000
        told = [record.message for record in caplog.records]
        assert "refused a write" in told[0]
        assert told[-1] == "the database takes writes again"
        assert told.count(told[-1]) == 1

    caplog.set_level("INFO", "rolltape.store")
    _on_a_writer(tmp_path, use, *([note, large_note] if on_the_loop else []))


def test_too_many_waiting_are_refused_at_once_and_those_that_wait_are_done(tmp_path: Path) -> None:
    async def use(writer: Writer) -> None:
        async with _held(writer) as together:
            tasks = [asyncio.ensure_future(writer.run(_nothing)) for _ in range(MAX_WAITING + 2)]
            await asyncio.sleep(0)
            refused = [task for task in tasks if task.done()]
            together.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert len(refused) == 2
        assert sum(answer is None for answer in answers) == len(tasks) - len(refused)
        assert {a.code for a in answers if isinstance(a, Problem)} == {Code.UNAVAILABLE}

    _on_a_writer(tmp_path, use)


async def _nothing(db: Db) -> None:
    """Does nothing."""


@BOTH
def test_a_caller_that_goes_away_cancels_its_wait_and_not_its_write(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use(writer: Writer) -> None:
        async with _held(writer) as together:
            task = asyncio.ensure_future(writer.run(note, "a"))
            await asyncio.sleep(0)
            task.cancel()
            together.set()
            with pytest.raises(asyncio.CancelledError):
                await task
        await writer.run(note, "b")
        assert _notes(tmp_path) == ["a", "b"]

    _on_a_writer(tmp_path, use, *brief)


@BOTH
def test_closing_finishes_what_waits_and_refuses_what_comes_later(tmp_path: Path, brief: tuple[Any, ...]) -> None:
    async def use() -> None:
        writer = Writer(tmp_path, brief=frozenset(brief))
        tasks = [asyncio.ensure_future(writer.run(note, str(n))) for n in range(50)]
        await asyncio.sleep(0)
        await writer.close()
        assert await asyncio.gather(*tasks) == [str(n) for n in range(50)]
        with pytest.raises(Problem):
            await writer.run(note, "late")

    _prepared(tmp_path)
    asyncio.run(use())
    assert len(_notes(tmp_path)) == 50


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    _prepared(tmp_path)
    db = connect(tmp_path, readonly=True)
    with pytest.raises(apsw.ReadOnlyError):
        drive(note(db, "a"))
    db.conn.close()
