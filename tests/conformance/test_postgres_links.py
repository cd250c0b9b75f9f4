"""A node whose line to PostgreSQL misbehaves: it breaks between two statements, swallows an answer, is not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest

from rolltape.codes import Code, Problem
from rolltape.store.postgres.bus import PgBus
from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.store import PgStore
from rolltape.testing.store_suite import House, Ready
from rolltape.wire.command import CommandType
from tests.chaos.link import Link
from tests.conformance.test_sqlite_store import PROJECTS, tenants
from tests.postgres import server, url_of

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'rolltape' AND pid <> pg_backend_pid()"
)


@asynccontextmanager
async def _behind_a_link(folder: Path) -> AsyncIterator[tuple[House, Link]]:
    """A node with one connection, which goes over a link."""
    url = await url_of(folder)
    async with open_pg(url) as db:
        mine, other = await tenants(db)
    link = Link(server().socket)
    await link.open()
    schema = url.rsplit("search_path=", 1)[1]
    through = f"postgresql://postgres@127.0.0.1:{link.port}/postgres?sslmode=disable&search_path={schema}"
    store = await PgStore.open(through, size=1)
    try:
        yield House(Ready(store, mine, other, PROJECTS[0], [])), link
    finally:
        await store.close()
        await link.close()


@pytest.mark.parametrize("hot", [True, False], ids=["in a round", "in a read"])
def test_a_server_that_says_good_bye_while_nobody_asks_it_anything_is_left_for_another_connection(
    tmp_path: Path, hot: bool
) -> None:
    """Its last word comes between two statements, and the end of the connection a little later: see InternalClientError
    in store/postgres/trouble.py."""

    async def run() -> None:
        async with _behind_a_link(tmp_path) as (house, link):
            device = await house.device()
            link.faults.holds_ends = True
            await server().run(CUT)
            await asyncio.wait_for(link.held.wait(), 20)
            await asyncio.sleep(0.02)  # on its way to the client
            if hot:
                assert (await house.create(device)).seq == 1
            else:
                assert await house.store.is_bound(device, 1)
            link.faults.holds_ends = False

    asyncio.run(run())


@pytest.mark.parametrize("type_", ["start_recording", "stop_recording"], ids=["at once", "in a transaction"])
def test_a_creation_whose_answer_was_lost_may_have_been_done_and_its_key_says_so(
    tmp_path: Path, type_: CommandType
) -> None:
    async def run() -> None:
        async with _behind_a_link(tmp_path) as (house, link):
            device = await house.device()
            await house.create(device)  # every statement is known to the database from here on
            asked = count(1)

            def fall_silent(data: bytes) -> None:
                """At the statement that writes, which the look goes before, or where a transaction is committed."""
                if b"COMMIT" in data or (type_ == "start_recording" and next(asked) == 2):
                    link.faults.silent = True
                    asyncio.get_running_loop().call_later(0.3, link.drop, 1.0, Random(0))

            link.on_asked = fall_silent
            with pytest.raises(Problem, match="may have been done") as refused:
                await house.created(device, type_, key="k")
            assert refused.value.code == Code.UNAVAILABLE
            link.on_asked, link.faults.silent = lambda data: None, False
            again = await house.created(device, type_, key="k")
            assert again.replayed
            assert again.command.seq == 2

    asyncio.run(run())


_LAST_WORD = """
CREATE FUNCTION end_the_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON commands DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION end_the_session()
"""


def test_a_creation_whose_session_the_database_ends_is_not_made_again(tmp_path: Path) -> None:
    """Its last word says nothing of the commit, which may have been before it: only the caller's key may try again."""

    async def run() -> None:
        async with _behind_a_link(tmp_path) as (house, _):
            device = await house.device()
            async with open_pg(await url_of(tmp_path)) as db:
                await db.conn.execute(_LAST_WORD)
                with pytest.raises(Problem, match="may have been done"):
                    await house.created(device)
                await db.conn.execute("DROP TRIGGER at_the_end ON commands")
            assert (await house.create(device)).seq == 1

    asyncio.run(run())


def test_a_database_that_is_away_is_left_in_peace_and_fills_no_log(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rolltape.store.postgres.connections.AWAY_SECONDS", 60.0)
    monkeypatch.setattr("rolltape.store.postgres.trouble.LOG_SECONDS", 60.0)
    monkeypatch.setattr("rolltape.store.postgres.trouble._complaints", {})

    async def run() -> None:
        async with _behind_a_link(tmp_path) as (house, link):
            device = await house.device()
            link.faults.refuses = True
            link.drop(1.0, Random(0))
            link.asked_for = 0
            caplog.clear()
            for _ in range(100):
                with pytest.raises(Problem):
                    await house.created(device)
            assert link.asked_for < 20, "calls have each tried a connection, and a database that starts up can't"
            link.faults.refuses = False
            assert isinstance(house.store, PgStore)
            house.store._pg._away_until = 0.0  # as if the time had gone by
            assert (await house.created(device)).command.seq == 1

    asyncio.run(run())
    said = [record for record in caplog.records if "the database can't" in record.getMessage()]
    assert 1 <= len(said) < 20


def test_a_bus_survives_the_good_bye_of_its_server_and_says_what_it_had_to_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rolltape.store.bus.RECONNECT_SECONDS", 0.01)

    async def run() -> None:
        link, heard, something = Link(server().socket), list[str](), asyncio.Event()
        await link.open()

        def hear(topics: tuple[str, ...]) -> None:
            heard.extend(topics)
            if "dev_a" in topics:
                something.set()

        through = f"postgresql://postgres@127.0.0.1:{link.port}/postgres?sslmode=disable"
        speaks = PgBus(through, "rolltape_links", bytes(32), lambda topics: None)
        await speaks.listening.wait()
        link.faults.holds_ends = True
        await server().run(CUT)
        await asyncio.wait_for(link.held.wait(), 20)
        hears = PgBus(server().url, "rolltape_links", bytes(32), hear)
        await hears.listening.wait()
        speaks.publish(["dev_a"])
        await asyncio.wait_for(something.wait(), 20)
        link.faults.holds_ends = False
        await asyncio.gather(speaks.close(), hears.close())
        await link.close()

    asyncio.run(run())
