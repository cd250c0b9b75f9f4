"""The devices for which nothing waits, as far as is known without a look: most heartbeats are of one of these.

Nobody else writes commands to the file while a server has it, and its writer says which device has a new one. So what
is known here can't be overtaken: whoever creates a command has no answer before its device is taken out, even where the
caller has gone away meanwhile.
"""

from typing import Final

MOST: Final = 250_000
"""The most that are remembered, some 50 bytes each; then all are forgotten, and each costs one look more."""


class Lulls:
    """The devices for which a look found nothing, and for which nothing was created since."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._devices: set[str] = set()

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._devices

    def __len__(self) -> int:
        return len(self._devices)

    def began(self, device_id: str) -> None:
        """A look found nothing."""
        if len(self._devices) >= self._most:
            self._devices.clear()
        self._devices.add(device_id)

    def ended(self, device_id: str) -> None:
        """The device has a new command."""
        self._devices.discard(device_id)
