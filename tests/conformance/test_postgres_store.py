"""The PostgreSQL store keeps the promises of every store."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from rolltape.store.postgres.database import open_pg
from rolltape.store.postgres.store import PgStore
from rolltape.testing.store_suite import Ready, StoreSuite
from tests.conformance.test_sqlite_store import PROJECTS, tenants
from tests.postgres import url_of


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[Ready]:
    url = await url_of(folder)
    async with open_pg(url) as db:
        mine, other = await tenants(db)
    moved: list[str] = []
    store = await PgStore.open(url, on_moved=moved.append)
    try:
        yield Ready(store, mine, other, PROJECTS[0], moved)
    finally:
        await store.close()


class PgSuite(StoreSuite):
    """Not collected under this name: the planted bugs run single tests of it."""

    def make_store(self, folder: Path) -> AbstractAsyncContextManager[Ready]:
        return _open(folder)


class TestPostgresStore(PgSuite):
    """All promises, on PostgreSQL."""
