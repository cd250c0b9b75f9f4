"""`rolltape simulate` as `bench.fleet` runs it, on devices and a server that break promises: one third breaks each."""

import sys
from functools import partial
from typing import Any

from rolltape.cli.main import main
from rolltape.simulate import fleet
from rolltape.simulate.device import Device
from tests.e2e.lying_server import lying
from tests.e2e.simulate_faults import Dawdler, Doubler, Loses


def _one_of_each(world: Any, number: int, *facts: Any) -> Device:
    kind = (Device, Doubler, Dawdler)[number % 3]
    return kind(world, number, *facts)


if __name__ == "__main__":
    at = sys.argv.index("--server") + 1
    fleet.simulate = partial(fleet.simulate, kind=_one_of_each)  # type: ignore[arg-type]
    with lying(sys.argv[at], Loses()) as url:
        sys.argv[at] = url
        main()
