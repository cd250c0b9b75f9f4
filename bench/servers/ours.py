"""`rolltape serve` on a store that has its devices."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.seed.sample import database_setting
from bench.seed.store import Seeded
from bench.servers.postgres import first_pid
from bench.servers.process import listening
from bench.servers.target import Target

NO_LIMITS = {"ROLLTAPE_KEY_RATE": "0", "ROLLTAPE_DEVICE_RATE": "0"}
SERVER = "rolltape.cli.main"
UNSIGNED = "bench.servers.unsigned"


@contextmanager
def ours(seeded: Seeded, module: str = SERVER) -> Iterator[Target]:
    """The server, its rate limits switched off. `module`: UNSIGNED for the one that signs nothing."""
    settings = {**NO_LIMITS, **database_setting(seeded.database)}
    name = "rolltape" if module == SERVER else "rolltape without its signature"
    with listening(module, "serve", "--data", str(seeded.folder), "--port", "0", **settings) as at:
        pid = None if seeded.database is None else first_pid(seeded.database)
        yield Target(name, at.host, at.port, seeded.sample.key, seeded.devices, at.pid, pid)
