"""The SQLite store: the operations on one file, with one writer."""

from pathlib import Path

from rolltape.store.connections import Hear, nobody
from rolltape.store.inputs import Created, NewCommand
from rolltape.store.sqlite.connections import SqliteConnections
from rolltape.store.sqlite.flush import flush
from rolltape.store.sqlite.lulls import Lulls
from rolltape.store.stored import Stored


class SqliteStore(Stored):
    """All of it, on the file in `folder`, whose schema must be up to date.

    `on_binding_ended` hears of each device whose binding ended, `on_moved` of each of whose commands one has moved:
    however that came, once it is committed, and before the caller has its answer.
    """

    def __init__(self, folder: Path, on_binding_ended: Hear = nobody, on_moved: Hear = nobody) -> None:
        self._lulls = Lulls()
        self._sqlite = SqliteConnections(folder, on_binding_ended, on_moved, self._lulls.ended)
        super().__init__(self._sqlite, flush)

    async def create_command(self, new: NewCommand, now: int) -> Created:
        created = await super().create_command(new, now)
        self._sqlite.outlook.created(created.command.expires_at)
        return created

    async def anything_pending(self, device_id: str) -> bool:
        if device_id in self._lulls:
            return False
        found = await super().anything_pending(device_id)  # at once: nothing is heard of between this and the next line
        if not found:
            self._lulls.began(device_id)
        return found
