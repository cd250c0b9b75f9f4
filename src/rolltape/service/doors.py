"""Credentials that lie with a broker: what it must be told when a device's token is made, and when its binding ends."""

from typing import Protocol


class Keeper(Protocol):
    """Tells a broker. What it can't tell at once it tells later."""

    async def admit(self, project_id: str, device_id: str, generation: int, token: str) -> None:
        """From now on that token is the device's password, and no other. Comes back once the broker has it, or soon."""
        ...

    def shut_out(self, device_id: str) -> None:
        """Its binding is over: soon it is let in no more, and is thrown out where it is in."""
        ...


class Doors:
    """All brokers that want to be told; usually none."""

    def __init__(self) -> None:
        self.keepers: list[Keeper] = []

    async def admit(self, project_id: str, device_id: str, generation: int, token: str) -> None:
        """Tells each of a token that has just been made."""
        for keeper in self.keepers:
            await keeper.admit(project_id, device_id, generation, token)

    def shut_out(self, device_id: str) -> None:
        """Tells each of a binding that is over."""
        for keeper in self.keepers:
            keeper.shut_out(device_id)
