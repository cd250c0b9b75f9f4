"""Looks after the live channels: silence, devices that don't read, offers to be made again."""

from rolltape.delivery.channels import Channels
from rolltape.service.context import Services


class ChannelSweep:
    """One look over all channels stands for a timer on each."""

    name = "channels"
    every_seconds = 1.0

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def run_once(self, app: Services, now: int) -> int:
        """Looks after each; how many there were."""
        return self._channels.sweep()
