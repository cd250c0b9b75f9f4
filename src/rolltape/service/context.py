"""What every use case is given: built once, in wiring."""

from dataclasses import dataclass, field

from rolltape.clock import Clock
from rolltape.config import Settings
from rolltape.service.credentials import Credentials
from rolltape.service.doors import Doors
from rolltape.service.vault import Vault
from rolltape.service.wakeups import Wakeups
from rolltape.store.base import Store
from rolltape.store.blobs import BlobStore


@dataclass(slots=True)
class Services:
    """The parts of a server. `draining` is set once it is about to end: nothing waits any more then."""

    config: Settings
    clock: Clock
    store: Store
    blobs: BlobStore
    vault: Vault
    wakeups: Wakeups = field(default_factory=Wakeups)
    credentials: Credentials = field(default_factory=Credentials)
    doors: Doors = field(default_factory=Doors)
    draining: bool = False
