"""The virtual radio for tests: real peripherals and a real bleak client in one event loop. See rolltape/radio."""

from rolltape.radio.virtual import Cut, Direction, VirtualRadio

__all__ = ["Cut", "Direction", "VirtualRadio"]
