"""How many machines a fleet needs, and what it costs: the arithmetic of docs/scaling.md, from what was measured.

Each figure of `Measured` comes from a run that docs/scaling.md names. Those of a whole command and of rows do not: they
are estimates from runs of the simulator. Each of `Assumed` is a choice or a price that the reader should replace by
their own. `python -m bench.plan --devices 1000000` prints the plan of any fleet.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

GIB = 2**30
FLEETS = (100_000, 1_000_000, 100_000_000)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one thing costs on the machine of the benchmarks: µs of processor time, bytes."""

    heartbeat_us: float = 107.0
    heartbeat_database_us: float = 42.0
    command_us: float = 3_800.0
    command_database_us: float = 1_900.0
    command_bytes: float = 4_000.0
    device_bytes: float = 1_900.0
    channel_bytes: float = 24 * 1024
    mqtt_bytes: float = 1.7 * 1024


@dataclass(frozen=True, slots=True)
class Assumed:
    """How the fleet lives, and what machines cost."""

    heartbeat_seconds: float = 60
    commands_a_day: float = 10
    peak: float = 4
    """How much busier the busiest minute is than the day's average. Heartbeats have no peak."""
    busy: float = 0.5
    """How much of its processors a machine uses at the peak."""
    retention_days: float = 90
    node_cores: int = 8
    database_cores: int = 32
    database_bytes: float = 8e12
    broker_connections: float = 2e6
    """On a machine of 32 cores and 64 GiB, as EMQX was measured with 10 million on five of them."""
    core_month: float = 25.0
    """Money for a core with 2 to 4 GiB of memory for a month, rented by the year."""
    storage_gb_month: float = 0.12
    """Money for a GB of replicated solid state storage for a month."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a fleet needs."""

    devices: int
    heartbeats_per_s: float
    commands_per_s: float
    node_cores: float
    nodes: int
    database_cores: float
    database_bytes: float
    shards: int
    brokers: int
    channel_bytes: float
    month: float

    @property
    def a_device(self) -> float:
        """Money per device and month."""
        return self.month / self.devices


def plan(devices: int, measured: Measured | None = None, assumed: Assumed | None = None) -> Plan:
    """The plan for so many devices, one copy of everything and no spare."""
    m, a = measured or Measured(), assumed or Assumed()
    heartbeats = devices / a.heartbeat_seconds
    commands = devices * a.commands_a_day / 86_400 * a.peak
    node_cores = (heartbeats * m.heartbeat_us + commands * m.command_us) / 1e6 / a.busy
    database_cores = (heartbeats * m.heartbeat_database_us + commands * m.command_database_us) / 1e6 / a.busy
    stored = devices * (m.device_bytes + a.commands_a_day * a.retention_days * m.command_bytes)
    shards = max(ceil(database_cores / a.database_cores), ceil(stored / a.database_bytes))
    nodes = max(2, ceil(node_cores / a.node_cores))
    brokers = max(3, ceil(devices / a.broker_connections))
    cores = nodes * a.node_cores + shards * a.database_cores * 2 + brokers * 32
    return Plan(
        devices=devices,
        heartbeats_per_s=heartbeats,
        commands_per_s=commands,
        node_cores=node_cores,
        nodes=nodes,
        database_cores=database_cores,
        database_bytes=stored,
        shards=shards,
        brokers=brokers,
        channel_bytes=devices * m.channel_bytes,
        month=cores * a.core_month + 2 * stored / 1e9 * a.storage_gb_month,
    )


def table(plans: list[Plan]) -> str:
    """The plans side by side, as Markdown."""
    rows = [("", *(f"{p.devices:,} devices" for p in plans)), tuple("---" for _ in range(len(plans) + 1))]
    for name, cell in _ROWS:
        rows.append((name, *(cell(p) for p in plans)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_ROWS: tuple[tuple[str, Callable[[Plan], str]], ...] = (
    ("heartbeats/s", lambda p: f"{p.heartbeats_per_s:,.0f}"),
    ("commands/s at the peak", lambda p: f"{p.commands_per_s:,.0f}"),
    ("cores for nodes", lambda p: f"{p.node_cores:,.1f}"),
    ("nodes of 8 cores", lambda p: f"{p.nodes:,}"),
    ("cores for the database", lambda p: f"{p.database_cores:,.1f}"),
    ("stored in the database", lambda p: f"{p.database_bytes / 1e12:,.2f} TB"),
    ("shards of 32 cores, 8 TB", lambda p: f"{p.shards:,}"),
    ("memory for live channels, if all keep one", lambda p: f"{p.channel_bytes / GIB:,.0f} GiB"),
    ("or brokers of 32 cores", lambda p: f"{p.brokers:,}"),
    ("money a month", lambda p: f"{p.month:,.0f}"),
    ("money per device and month", lambda p: f"{p.a_device:.4f}"),
)


def main() -> None:
    """Prints the plans that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description="What a fleet needs, and what it costs.")
    parser.add_argument("--devices", type=int, nargs="+", default=list(FLEETS))
    print(table([plan(devices) for devices in parser.parse_args().devices]))


if __name__ == "__main__":
    main()
