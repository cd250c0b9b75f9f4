"""What a recorder is told at start. Everything it learns later lies in its state folder."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rolltape.mqtt.address import parse
from rolltape.recorder.binding import Binding

DEFAULT_SOURCE = "alsa:default"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """Settings of one recorder.

    server: base URL, e.g. `https://rolltape.example.com`. Without TLS only a loopback host is trusted for time, keys.
    None: there is no connection of its own, and all goes by relays. token: the device token from bind. A fresh token
    (a new bind) replaces what was learned with the old one.
    binding: bind's answer, for a device behind relays. ble: its Bluetooth adapter, as bumble names them; None: whoever
    made the recorder brings relays to it.
    state_dir: a folder of its own, made with mode 0700; journal, replay record, tokens and audio lie there.
    source: `alsa:DEVICE`, `file:PATH` (played over and over) or `lavfi:GRAPH` (an FFmpeg test source).
    grant_kid, grant_secret: from bind, for an HS256 device; the secret in base64url. Then no other key is held.
    ca_file: PEM file of the authorities that may vouch for the server; the system's when None.
    refresh_token: ask for a fresh token once, at start.
    mqtt: URL of a broker, `mqtts://host:8883`, by which offers come in place of the live channel; the device's id and
    its token are user name and password. mqtt_session_sec: how long the broker keeps offers for a device that is away.
    channel: keep a live channel open; without it offers come by long poll. channel_first_sec: the longest first wait
    before it is opened again, which doubles up to channel_most_sec.
    min_free_mb, min_battery_percent: below these no recording starts (`storage_full`, `low_battery`).
    """

    server: str | None = None
    token: str | None = field(default=None, repr=False)
    state_dir: Path
    binding: Binding | None = None
    ble: str | None = None
    source: str = DEFAULT_SOURCE
    grant_kid: str | None = None
    grant_secret: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    refresh_token: bool = False
    firmware_version: str | None = None
    device_name: str | None = None
    connection_type: tuple[str, ...] = ("wifi",)
    min_free_mb: float = 50.0
    min_battery_percent: int = 5
    local_max_duration_sec: int = 86_400
    bit_rate: int = 48_000
    poll_wait_sec: int = 50
    mqtt: str | None = None
    mqtt_session_sec: int = 3600
    channel: bool = True
    http_timeout_sec: float = 10.0
    backoff_first_sec: float = 0.5
    backoff_most_sec: float = 60.0
    channel_first_sec: float = 10.0
    channel_most_sec: float = 300.0
    upload_chunk_bytes: int = 1 << 20
    keep_uploaded: bool = False

    def __post_init__(self) -> None:
        if self.server is not None:
            _check_server(self.server)
            if not self.any_token:
                raise ValueError("token is empty: bind the device and pass the device_token of the answer")
        if self.mqtt is not None:
            _check_broker(self.mqtt, self.server)
        if self.server is None and self.binding is None:
            raise ValueError("server is missing: a recorder needs one, or else bind's answer and relays near it")
        if self.ble is not None and self.binding is None:
            raise ValueError("behind a relay a recorder must be told who it is: pass bind's answer too")
        if (self.grant_kid is None) != (self.grant_secret is None):
            raise ValueError("grant_kid and grant_secret go together: pass both from bind's answer, or neither")
        if not 1 <= self.poll_wait_sec <= 60:
            raise ValueError("poll_wait_sec must be 1 to 60")

    @property
    def any_token(self) -> str:
        """The device token, from wherever it came; empty where there is none."""
        return self.token or (self.binding and self.binding.device_token) or ""

    @property
    def shared_secret(self) -> tuple[str | None, str | None]:
        """Id and secret of an HS256 device's key, from wherever they came."""
        if self.grant_kid is None and self.binding is not None:
            return self.binding.grant_kid, self.binding.grant_secret
        return self.grant_kid, self.grant_secret

    @property
    def base_url(self) -> str:
        """The server without a slash at its end."""
        return (self.server or "").rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def is_trusted(self) -> bool:
        """Whether what this server says counts as authentic: over TLS, or on this machine."""
        return self.is_loopback or urlsplit(self.base_url).scheme == "https"


def _check_server(server: str) -> None:
    parts = urlsplit(server)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"server must be an http or https URL, like https://rolltape.example.com, not {server!r}")


def _check_broker(mqtt: str, server: str | None) -> None:
    address = parse(mqtt)
    if address.is_nats or address.username is not None:
        raise ValueError("mqtt must be mqtts://host:8883 or mqtt://host:1883, without a user: the device is the user")
    if server is None:
        raise ValueError(
            "mqtt goes with a server: recordings are uploaded to it, and keys and the first word come from it"
        )
