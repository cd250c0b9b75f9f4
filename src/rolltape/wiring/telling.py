"""What a server says of itself as it starts: in one line, and without a password."""

from urllib.parse import urlsplit

from rolltape import __version__
from rolltape.config import Settings


def summary(settings: Settings, url: str) -> str:
    """Version, address, store, recordings, wake-ups, routes and nodes, for the log."""
    routes = "heartbeat, poll, channel, relay"
    parts = [
        f"rolltape {__version__} serves at {url}",
        f"store: {_store(settings)}",
        f"recordings: {settings.recordings or settings.data / 'recordings'}",
        f"wake-ups: {_wakeups(settings)}",
        f"routes: {routes}" + (f", MQTT by {without_secrets(settings.mqtt)}" if settings.mqtt else ""),
        f"retention: {f'{settings.retention_days} days' if settings.retention_days else 'for ever'}",
        f"workers: {settings.workers}",
    ]
    return "; ".join(parts)


def _store(settings: Settings) -> str:
    if settings.database is None:
        return f"SQLite in {settings.data}"
    return f"PostgreSQL at {without_secrets(settings.database)}"


def _wakeups(settings: Settings) -> str:
    if settings.nats is not None:
        return f"NATS at {', '.join(without_secrets(each) for each in settings.nats.split(','))}"
    return "in the process" if settings.database is None else "PostgreSQL"


def without_secrets(url: str) -> str:
    """A URL's scheme, host, port and path: no user, no password, no query, in which there may be one, too."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
