"""Settings that are handed from one process to another are the same there."""

from pathlib import Path

from rolltape.config import Settings


def test_what_a_parent_hands_on_its_nodes_read_alike() -> None:
    for settings in (
        Settings(),
        Settings(
            data=Path("/srv/rolltape"),
            database="postgresql://rolltape@db/rolltape",
            workers=4,
            mqtt="mqtts://server:secret@broker:8883",
            mqtt_dynsec=True,
            retention_days=0,
        ),
    ):
        assert Settings.from_env(settings.as_env(), data=settings.data) == settings
