"""What was moved from a data folder into PostgreSQL is served from there alone: two copies would use a `seq` twice."""

from pathlib import Path

from rolltape.store.database import Db
from rolltape.store.transfer import marks
from rolltape.store.transfer.marks import Moved
from rolltape.wire.times import iso


def said_of(data: Path, moved_to: Moved) -> str:
    """What is the matter with that folder, and what to do."""
    if not moved_to.done:
        return (
            f"The database in {data} is being moved to PostgreSQL ({moved_to.to}), since {iso(moved_to.since)}, and "
            "that isn't finished. Go on: rolltape migrate-store. Or stay: rolltape migrate-store --undo."
        )
    return (
        f"The database in {data} was moved to PostgreSQL ({moved_to.to}) at {iso(moved_to.since)}, and is no longer "
        "the one that counts: set ROLLTAPE_DATABASE. To go back to it, without what PostgreSQL has had since: "
        "rolltape migrate-store --undo."
    )


async def refuse_moved(data: Path, file: Db) -> None:
    """Raises ValueError where the database of that folder is moved, or was."""
    if (moved_to := await marks.moved(file)) is not None:
        raise ValueError(said_of(data, moved_to))


UNFINISHED = "A copy of a data folder into this PostgreSQL isn't finished."
GO_ON = "Go on with rolltape migrate-store on that folder, or use another database."


async def refuse_unfinished(db: Db) -> None:
    """Raises ValueError where not all is there yet."""
    if await marks.copying(db) is not None:
        raise ValueError(f"{UNFINISHED} {GO_ON}")
