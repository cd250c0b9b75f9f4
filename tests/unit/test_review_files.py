"""What lies on the disk is for the server's own user only, whoever made the folder."""

from pathlib import Path

from rolltape.store.sqlite.database import transaction
from rolltape.wiring.databases import open_database


def test_the_database_is_its_owners_alone_also_in_a_folder_that_all_can_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    db = open_database(tmp_path)
    with transaction(db):
        db.conn.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    db.conn.close()
    assert set(modes.values()) == {0o600}
    assert "rolltape.db-wal" in modes
