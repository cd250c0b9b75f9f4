"""The SQLite store keeps the promises of every store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from rolltape.store.database import Db
from rolltape.store.operations import accounts
from rolltape.store.sqlite.database import connect, migrate
from rolltape.store.sqlite.store import SqliteStore
from rolltape.testing.store_suite import House, Ready, StoreSuite
from rolltape.testing.store_suite.house import NOW

PROJECTS = ("proj_mine", "proj_other")


async def tenants(db: Db) -> tuple[int, int]:
    """The two tenants of the suite, made the first time."""
    async with db.transaction():
        if not await accounts.projects(db):
            for id_ in PROJECTS:
                await accounts.create_project(db, id_, id_, NOW)
    mine, other = [await accounts.tenant_n(db, id_, "test") for id_ in PROJECTS]
    return mine, other


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[Ready]:
    db = connect(folder)
    try:
        migrate(db)
        mine, other = await tenants(db)
    finally:
        db.conn.close()
    moved: list[str] = []
    store = SqliteStore(folder, on_moved=moved.append)
    try:
        yield Ready(store, mine, other, PROJECTS[0], moved)
    finally:
        await store.close()


class SqliteSuite(StoreSuite):
    """Not collected under this name: the planted bugs run single tests of it."""

    def make_store(self, folder: Path) -> AbstractAsyncContextManager[Ready]:
        return _open(folder)

    def test_a_token_that_comes_again_is_one_event(self, tmp_path: Path) -> None:
        """There is no list of a device's own events yet, so this looks into the file."""

        async def run() -> None:
            async with self.make_store(tmp_path) as ready:
                at = House(ready)
                device = await at.unbound()
                await at.bind(device, token=bytes(32))
                await at.store.add_token(at.tenant_n, device, 1, b"1" * 32, NOW)
                await at.store.use_token(await at.token(b"1" * 32), NOW)
                for _ in range(3):
                    await at.store.note_token_reuse(await at.token(bytes(32)), NOW)

        asyncio.run(run())
        db = connect(tmp_path, readonly=True)
        assert db.first("SELECT count(*) FROM events WHERE type = 'device.token_reused'") == (1,)
        db.conn.close()


class TestSqliteStore(SqliteSuite):
    """All promises, on SQLite."""
