"""What a simulation is asked to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

RouteChoice = Literal["heartbeat", "channel", "mqtt", "mixed"]
TEST_KEYS: Final = ("sk_test_", "rk_test_")


@dataclass(frozen=True, slots=True)
class Wishes:
    """`servers`: one URL or more of the same deployment. `every`: seconds between heartbeats, None: as the server says.

    `loss`: the part of all calls that get no answer, of devices and of the backend. `ttl`: of most commands, in
    seconds; some live for one to three, so that some expire. `clean`: delete devices and end users at the end.
    `brokers`: URLs of MQTT brokers, for that route. `per_line`: how many devices share a connection to one.
    """

    servers: tuple[str, ...]
    api_key: str
    ca_file: Path | None = None
    devices: int = 100
    route: RouteChoice = "heartbeat"
    commands_per_second: float = 10.0
    seconds: float = 60.0
    every: float | None = None
    seed: int = 1
    loss: float = 0.05
    ttl: int = 300
    clean: bool = False
    brokers: tuple[str, ...] = ()
    per_line: int = 1
