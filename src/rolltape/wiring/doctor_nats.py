"""What `rolltape doctor` looks at in the NATS that carries wake-ups."""

from collections.abc import Iterator

from rolltape.config import Settings
from rolltape.wiring.databases import nats_bus, nats_servers
from rolltape.wiring.findings import Finding


def nats_findings(settings: Settings) -> Iterator[Finding]:
    """Whether it answers and lets us in. Nothing where it isn't set."""
    if settings.nats is None:
        return
    try:
        nats_bus(settings).reachable(nats_servers(settings))
    except ValueError as error:
        if isinstance(error, OSError):  # as one is that an unknown certificate raises
            yield _unusable(error)
            return
        yield Finding("error", f"{error}.", "Install it, or unset ROLLTAPE_NATS: PostgreSQL then carries the wake-ups.")
    except Exception as error:  # of a library with many kinds of its own
        yield _unusable(error)
    else:
        yield Finding("ok", "NATS answers.")


def _unusable(error: Exception) -> Finding:
    return Finding(
        "error",
        f"NATS can't be used: {type(error).__name__}: {error}.",
        "Check ROLLTAPE_NATS, for TLS ROLLTAPE_NATS_CA, and that NATS runs there. "
        "Without it, commands still arrive, seconds later.",
    )
