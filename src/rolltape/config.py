"""Every setting of the server, in one place: `FIELDS` below is what docs/settings.md lists.

Read once at the start, from the environment and from the command line; frozen after that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

DAY_MS = 86_400_000


class BadSetting(ValueError):
    """A setting that can't be used; the message names it and says what it takes."""


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    read.__doc__ = f"a whole number from {low} to {high}"
    return read


def _days(text: str) -> int:
    """0, or a whole number from 30 to 36500"""
    number = int(text)
    if number != 0 and not 30 <= number <= 36_500:  # an idempotency key is kept for 30 days
        raise ValueError
    return number


def _path(text: str) -> Path:
    """a path"""
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def _host(text: str) -> str:
    """a host name or an address"""
    if not text or any(c.isspace() or c == "\0" for c in text):
        raise ValueError
    return text


def _url(text: str) -> str:
    """a URL like https://rolltape.example.com, without a path"""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError
    return f"{parts.scheme}://{parts.netloc}"


def _bucket(text: str) -> str:
    """s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; the prefix may be left out"""
    parts = urlsplit(text)
    if (
        parts.scheme not in ("s3", "gs", "az")
        or not parts.netloc
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError
    return text.rstrip("/")


def _database(text: str) -> str:
    """a URL like postgresql://user:password@host:5432/name"""
    if urlsplit(text).scheme not in ("postgresql", "postgres"):
        raise ValueError
    return text


def _nats(text: str) -> str:
    """one or more URLs like nats://user:password@host:4222 or tls://token@host:4222, with commas between them"""
    for each in text.split(","):
        parts = urlsplit(each)
        if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path or parts.query or parts.fragment:
            raise ValueError
        _ = parts.port  # raises ValueError
    return text


def _broker(text: str) -> str:
    """mqtts://user:password@host:8883, mqtt:// without TLS, or tls:// and nats:// for NATS"""
    if urlsplit(text).scheme not in ("mqtt", "mqtts", "nats", "tls") or not urlsplit(text).hostname:
        raise ValueError
    return text


def _secret(text: str) -> str:
    """at least 16 characters of ASCII, without spaces"""
    if len(text) < 16 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError
    return text


def _yes(text: str) -> bool:
    """yes or no"""
    if text.lower() not in ("yes", "no"):
        raise ValueError
    return text.lower() == "yes"


def _level(text: str) -> str:
    """debug, info, warning or error"""
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError
    return text.lower()


def _setting(variable: str, read: Callable[[str], Any], default: Any, what: str, *, secret: bool = False) -> Any:
    """`secret`: it is, or has a password in it, so it is shown to nobody."""
    metadata = {"variable": variable, "read": read, "what": what, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can choose."""

    data: Path = _setting("ROLLTAPE_DATA", _path, Path("rolltape-data"), "folder of the database, keys and recordings")
    database: str | None = _setting(
        "ROLLTAPE_DATABASE",
        _database,
        None,
        "PostgreSQL, which several servers may share; without it, an SQLite file in the data folder",
        secret=True,
    )
    pool_size: int = _setting(
        "ROLLTAPE_POOL_SIZE", _whole(3, 1000), 10, "connections to PostgreSQL that one server opens at most"
    )
    nats: str | None = _setting(
        "ROLLTAPE_NATS",
        _nats,
        None,
        "NATS for the wake-ups between nodes; without it PostgreSQL carries them",
        secret=True,
    )
    nats_ca: Path | None = _setting(
        "ROLLTAPE_NATS_CA", _path, None, "CAs (PEM) that sign NATS's certificate, where the system doesn't know them"
    )
    nats_credentials: Path | None = _setting(
        "ROLLTAPE_NATS_CREDENTIALS",
        _path,
        None,
        "file (mode 0600) that says who this server is to that NATS: a .creds file, or an NKEY seed",
    )
    host: str = _setting("ROLLTAPE_HOST", _host, "127.0.0.1", "address to listen on")
    port: int = _setting("ROLLTAPE_PORT", _whole(0, 65535), 8787, "port to listen on; 0 takes a free one")
    tls_cert: Path | None = _setting(
        "ROLLTAPE_TLS_CERT", _path, None, "certificate chain (PEM); with the key, speaks TLS"
    )
    tls_key: Path | None = _setting("ROLLTAPE_TLS_KEY", _path, None, "private key of the certificate (PEM)")
    public_url: str | None = _setting(
        "ROLLTAPE_PUBLIC_URL", _url, None, "how the outside reaches this server, for upload and download URLs"
    )
    master_key_file: Path | None = _setting(
        "ROLLTAPE_MASTER_KEY_FILE", _path, None, "file with the master key; else master.key in the data folder"
    )
    recordings: str | None = _setting(
        "ROLLTAPE_RECORDINGS",
        _bucket,
        None,
        "object store for the recordings' bytes (s3://, gs://, az://); else a folder in the data folder",
    )
    recordings_public_url: str | None = _setting(
        "ROLLTAPE_RECORDINGS_PUBLIC_URL",
        _url,
        None,
        "how devices reach an s3:// store, where the server has another way",
    )
    mqtt: str | None = _setting(
        "ROLLTAPE_MQTT",
        _broker,
        None,
        "MQTT broker, or NATS server, that devices may come by; with the server's own user",
        secret=True,
    )
    mqtt_ca_file: Path | None = _setting(
        "ROLLTAPE_MQTT_CA_FILE", _path, None, "authorities (PEM) that may vouch for the broker; else the system's"
    )
    mqtt_credentials: Path | None = _setting(
        "ROLLTAPE_MQTT_CREDENTIALS",
        _path,
        None,
        "file (mode 0600) that says who this server is to ROLLTAPE_MQTT=tls://… or nats://…: .creds, or an NKEY seed",
    )
    mqtt_auth_secret: str | None = _setting(
        "ROLLTAPE_MQTT_AUTH_SECRET",
        _secret,
        None,
        "what a broker shows when it asks here whom to let in; without it nobody may ask",
        secret=True,
    )
    mqtt_dynsec: bool = _setting(
        "ROLLTAPE_MQTT_DYNSEC", _yes, False, "whether devices are made known to Mosquitto's dynamic-security plugin"
    )
    key_rate: int = _setting("ROLLTAPE_KEY_RATE", _whole(0, 10**6), 1000, "requests/s of one API key; 0: no limit")
    device_rate: int = _setting(
        "ROLLTAPE_DEVICE_RATE", _whole(0, 10**6), 10, "requests/s of one device token; 0: no limit"
    )
    relay_grant_seconds: int = _setting(
        "ROLLTAPE_RELAY_GRANT_SECONDS", _whole(60, 3600), 900, "how long a grant lasts that a relay is handed, at most"
    )
    max_upload_bytes: int = _setting(
        "ROLLTAPE_MAX_UPLOAD_BYTES", _whole(1, 2**40), 2 * 2**30, "the greatest recording, in bytes"
    )
    reserve_bytes: int = _setting(
        "ROLLTAPE_RESERVE_BYTES", _whole(0, 2**50), 256 * 2**20, "disk space kept free for the database, in bytes"
    )
    drain_seconds: int = _setting(
        "ROLLTAPE_DRAIN_SECONDS", _whole(1, 600), 10, "how long open requests may take at the end"
    )
    notice_seconds: int = _setting(
        "ROLLTAPE_NOTICE_SECONDS",
        _whole(0, 600),
        0,
        "how long /ready says 503, at the end, while requests are still taken: time for a load balancer to look away",
    )
    workers: int = _setting(
        "ROLLTAPE_WORKERS",
        _whole(1, 256),
        1,
        "how many processes serve on this machine, on one port; more than 1 needs PostgreSQL",
    )
    retention_days: int = _setting(
        "ROLLTAPE_RETENTION_DAYS",
        _days,
        90,
        "after how many days closed commands go, and events; 0: never. Recordings stay until they are deleted",
    )
    access_log: bool = _setting(
        "ROLLTAPE_ACCESS_LOG", _yes, False, "whether each answer is logged: method, path, status, time, and who asked"
    )
    log_level: str = _setting("ROLLTAPE_LOG_LEVEL", _level, "info", "how much is logged, on standard error")

    def aged_before(self, now: int) -> int | None:
        """What is over since this moment (ms) or longer has aged at `now`; None where nothing ages."""
        return now - self.retention_days * DAY_MS if self.retention_days else None

    @staticmethod
    def from_env(env: Mapping[str, str], **given: Any) -> "Settings":
        """The settings in `env`; what is given by name and isn't None goes before. Raises BadSetting."""
        values: dict[str, Any] = {}
        for each in fields(Settings):
            text = env.get(each.metadata["variable"])
            if given.get(each.name) is not None:
                text = str(given[each.name])
            if text is not None and text != "":
                values[each.name] = _read(each.metadata, text)
        settings = Settings(**values)
        _check_together(settings)
        _check_mqtt(settings)
        return settings

    def as_env(self) -> dict[str, str]:
        """The environment that `from_env` makes the same settings of."""
        return {
            each.metadata["variable"]: ("yes" if value else "no") if isinstance(value, bool) else str(value)
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
        }


def _check_together(settings: Settings) -> None:
    """Raises BadSetting for settings that need or exclude each other."""
    wrong = (
        (
            (settings.tls_cert is None) != (settings.tls_key is None),
            "ROLLTAPE_TLS_CERT and ROLLTAPE_TLS_KEY go together: give both, or neither.",
        ),
        (
            settings.recordings_public_url and not (settings.recordings or "").startswith("s3://"),
            "ROLLTAPE_RECORDINGS_PUBLIC_URL goes with ROLLTAPE_RECORDINGS=s3://…, and nothing else.",
        ),
        (
            settings.nats is not None and settings.database is None,
            "ROLLTAPE_NATS goes with ROLLTAPE_DATABASE: an SQLite file has one server, which wakes itself.",
        ),
        (
            settings.nats_ca is not None and settings.nats is None,
            "ROLLTAPE_NATS_CA goes with ROLLTAPE_NATS, and nothing else.",
        ),
        (
            settings.nats_credentials is not None and settings.nats is None,
            "ROLLTAPE_NATS_CREDENTIALS goes with ROLLTAPE_NATS, and nothing else.",
        ),
        (
            settings.workers > 1 and settings.database is None,
            f"ROLLTAPE_WORKERS={settings.workers} needs PostgreSQL: an SQLite file has one process. "
            "Set ROLLTAPE_DATABASE=postgresql://…, or leave out ROLLTAPE_WORKERS and --workers.",
        ),
    )
    for is_wrong, message in wrong:
        if is_wrong:
            raise BadSetting(message)


def _check_mqtt(settings: Settings) -> None:
    scheme = urlsplit(settings.mqtt or "").scheme
    if settings.mqtt_dynsec and scheme not in ("mqtt", "mqtts"):
        raise BadSetting("ROLLTAPE_MQTT_DYNSEC goes with ROLLTAPE_MQTT=mqtts://… or mqtt://…, and nothing else.")
    if settings.mqtt_credentials is not None and scheme not in ("nats", "tls"):
        raise BadSetting("ROLLTAPE_MQTT_CREDENTIALS goes with ROLLTAPE_MQTT=tls://… or nats://…, and nothing else.")
    if settings.mqtt_ca_file is not None and scheme not in ("mqtts", "tls"):
        raise BadSetting("ROLLTAPE_MQTT_CA_FILE goes with ROLLTAPE_MQTT=mqtts://… or tls://…, and nothing else.")


def _read(metadata: Mapping[str, Any], text: str) -> Any:
    read = metadata["read"]
    try:
        return read(text)
    except ValueError:
        shown = "" if metadata["secret"] or "@" in text else f"={text!r}"  # what stands before it may be a password
        raise BadSetting(f"{metadata['variable']}{shown} can't be used: it takes {read.__doc__}.") from None
