"""What the recorder asks of its own body: how full the battery is, and the disk."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_POWER_SUPPLIES = Path("/sys/class/power_supply")
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Storage:
    """In megabytes of 10^6 bytes."""

    total_mb: float
    free_mb: float

    @property
    def used_mb(self) -> float:
        return round(self.total_mb - self.free_mb, 3)


class Probes(Protocol):
    """The body of a device."""

    def battery_percent(self) -> int | None:
        """0 to 100; None where there is no battery."""
        ...

    def storage(self) -> Storage:
        """The disk that recordings go to."""
        ...


class SystemProbes:
    """This machine's battery, if it has one, and the disk under `folder`."""

    def __init__(self, folder: Path, supplies: Path = _POWER_SUPPLIES) -> None:
        self._folder = folder
        self._supplies = supplies

    def battery_percent(self) -> int | None:
        for file in sorted(self._supplies.glob("*/capacity")):
            try:
                if (file.parent / "type").read_text().strip() == "Battery":
                    return max(0, min(100, int(file.read_text())))
            except (OSError, ValueError):
                continue
        return None

    def storage(self) -> Storage:
        usage = shutil.disk_usage(self._folder)
        return Storage(round(usage.total / _MB, 3), round(usage.free / _MB, 3))
