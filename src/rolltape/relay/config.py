"""What a gateway is told at start."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaySettings:
    """Settings of one gateway. Lengths of time are seconds.

    server: base URL, e.g. `https://rolltape.example.com`.
    token, token_file: a relay token, or a file that holds one and is read again whenever it changes; one of the two.
    spool_dir: a folder of its own, made with mode 0700, for what must survive a power cut.
    adapter: the Bluetooth adapter, like `hci1`; the system's first when None. BlueZ only.
    ca_file: PEM file of the authorities that may vouch for the server; the system's when None.
    connections: how many devices at once.
    turn_sec: how long one device may keep its connection while others wait for theirs.
    idle_sec: how long a connection with nothing to do is kept while others wait.
    visit_sec: a device in reach is looked in on so often, for what it may have to tell.
    spool_mb: how much audio the spool may hold.
    """

    server: str
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    spool_dir: Path
    adapter: str | None = None
    ca_file: Path | None = None
    connections: int = 4
    turn_sec: float = 60.0
    idle_sec: float = 2.0
    visit_sec: float = 60.0
    connect_timeout_sec: float = 20.0
    spool_mb: int = 2048
    poll_wait_sec: int = 50
    http_timeout_sec: float = 10.0
    backoff_first_sec: float = 0.5
    backoff_most_sec: float = 60.0
    upload_chunk_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        parts = urlsplit(self.server)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                f"server must be an http or https URL, like https://rolltape.example.com, not {self.server!r}"
            )
        if (self.token is None) == (self.token_file is None):
            raise ValueError(
                "pass a relay token or a file that holds one, not both: --token or --token-file. "
                "Your backend makes it: rolltape relay-tokens create, or POST /v1/relay-tokens"
            )
        if not 1 <= self.connections <= 16:
            raise ValueError("connections must be 1 to 16")
        if not 1 <= self.poll_wait_sec <= 60:
            raise ValueError("poll_wait_sec must be 1 to 60")

    @property
    def base_url(self) -> str:
        """The server, without a slash at the end."""
        return self.server.rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self.server).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")
