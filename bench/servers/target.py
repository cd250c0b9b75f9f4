"""A server under load, and its devices."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Population:
    """Devices by number, from 0: `id` and `token` are %-templates of one, `%(device)…`."""

    count: int
    id: str
    token: str

    def each(self, count: int) -> list[tuple[str, str]]:
        """Id and token of the first `count` devices."""
        return [(self.id % {"device": n}, self.token % {"device": n}) for n in range(count)]


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: where it listens, an API key, its devices, and its processes.

    `database_pid` is of PostgreSQL's first process, None on SQLite.
    """

    name: str
    host: str
    port: int
    key: str
    devices: Population
    pid: int
    database_pid: int | None = None
