"""How much is measured."""

from dataclasses import dataclass

STORES = ("sqlite", "postgres")
FOLLOWED = ("list page", "device look-up", "heartbeat", "create")
"""The calls whose cost the curves follow. Create comes last: what it leaves behind must not be in the others' way."""
CALLERS = (1, 2, 8, 32, 64)


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds are of one round of one server. Each part takes what it needs of this.

    `devices` share the creates, so that none has 100 open commands. Of the `fleets` that send heartbeats the first is
    small enough that tokens which were looked up are still believed; in the last, as in real life, few are.
    `steady_*` are of the open loops. Of the curves: devices of the `small` store, the points `grown` (devices) and
    `closed` (commands), and for each of `queued` devices few and many commands `waiting`: as many as a heartbeat offers
    at once, and near the 100 that may be open (creates come on top). Without `durable` PostgreSQL doesn't wait for its
    disk: for runs whose figures mean nothing.
    """

    rounds: int
    seconds: float
    warmup: float
    callers: tuple[int, ...]
    devices: int
    fleets: tuple[int, ...]
    steady_seconds: float
    steady_devices: int
    fill: int
    channels: int
    idle: tuple[int, ...]
    curve_rounds: int
    curve_warmups: int
    small: int
    grown: tuple[int, ...]
    closed: tuple[int, ...]
    queued: int
    waiting: tuple[int, int]
    stores: tuple[str, ...] = STORES
    followed: tuple[str, ...] = FOLLOWED
    durable: bool = True


FULL = Effort(
    rounds=5,
    seconds=1.3,
    warmup=0.3,
    callers=CALLERS,
    devices=10_000,
    fleets=(1_000, 20_000, 100_000),
    steady_seconds=10.0,
    steady_devices=100_000,
    fill=1_000_000,
    channels=2_000,
    idle=(2_000, 10_000),
    curve_rounds=2,
    curve_warmups=1,
    small=1_000,
    grown=(10_000, 100_000, 1_000_000),
    closed=(200_000, 2_000_000),
    queued=10_000,
    waiting=(4, 90),
)
QUICK = Effort(
    rounds=1,
    seconds=0.1,
    warmup=0.02,
    callers=(1, 8),
    devices=400,
    fleets=(200,),
    steady_seconds=0.4,
    steady_devices=3_000,
    fill=5_000,
    channels=40,
    idle=(40, 60),
    curve_rounds=1,
    curve_warmups=0,
    small=100,
    grown=(200, 400),
    closed=(3_000,),
    queued=100,
    waiting=(4, 20),
    durable=False,
)
