"""Where a broker is, as a URL: `mqtts://user:password@host:8883`, `mqtt://` without TLS, `nats://`, `tls://`."""

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

INSTALL: Final = "pip install 'rolltape[mqtt]'"
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883, "nats": 4222, "tls": 4222}


@dataclass(frozen=True, slots=True)
class Address:
    """A broker. `scheme`: mqtt, mqtts, nats or tls (NATS with TLS). A repr shows no password."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def is_nats(self) -> bool:
        """Whether its own protocol is spoken with a NATS server, and not MQTT."""
        return self.scheme in ("nats", "tls")

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme in ("mqtts", "tls")

    @property
    def is_loopback(self) -> bool:
        """Whether it runs on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def is_trusted(self) -> bool:
        """Whether nobody on the way can speak for it: over TLS, or on this machine."""
        return self.is_secure or self.is_loopback

    @property
    def shown(self) -> str:
        """The address without the password, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse(text: str) -> Address:
    """The address in a URL. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a broker is mqtts://host:8883, mqtt://host:1883, tls://host:4222 or nats://host:4222")
    if parts.password is not None and not parts.username:
        raise ValueError("a password needs a user name before it")
    return Address(
        parts.scheme,
        parts.hostname,
        parts.port if parts.port is not None else _PORTS[parts.scheme],
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


def tls_of(address: Address, ca_file: Path | None) -> ssl.SSLContext | None:
    """Who may vouch for the broker; None where no TLS is spoken. Raises OSError (ssl.SSLError is one)."""
    if not address.is_secure:
        return None
    return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
