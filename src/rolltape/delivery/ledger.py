"""What the device behind a channel has in hand: so that nothing is offered too often, and it hears what stands no more.

Pure: no clock and no store. Times are seconds of the monotonic timer.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from rolltape.domain.lifecycle import is_open
from rolltape.wire.channel import MAX_HAVE
from rolltape.wire.command import Status
from rolltape.wire.heartbeat import MAX_OFFERS

QUIET_SEC: Final = 10.0
"""An offer that was not acknowledged for so long is made again."""


class Ledger:
    """Offered here and not acknowledged; said to be in hand when the channel began; acknowledged and not ended.

    Most channels have nothing in hand, and there are thousands: so the three are made when they are needed.
    """

    __slots__ = ("_offered", "_resumed", "_taken")

    def __init__(self) -> None:
        self._offered: dict[str, float] | None = None
        self._resumed: dict[str, float] | None = None
        self._taken: set[str] | None = None

    def resume(self, ids: Iterable[str], now: float) -> None:
        """The device says that it holds these, from a channel before or another route."""
        self._resumed = dict.fromkeys(ids, now) or None

    def offered(self, ids: Iterable[str], now: float) -> None:
        """These were offered on this channel."""
        fresh = dict.fromkeys(ids, now)
        for id_ in fresh:
            self.drop(id_)
        self._offered = {**(self._offered or {}), **fresh} or None

    def take(self, id_: str) -> None:
        """It was acknowledged: from now on only its end is news."""
        self.drop(id_)
        if self._taken is None:
            self._taken = set()
        if len(self._taken) < MAX_HAVE:
            self._taken.add(id_)

    def drop(self, id_: str) -> None:
        """The device is done with it."""
        if self._offered is not None:
            self._offered.pop(id_, None)
        if self._resumed is not None:
            self._resumed.pop(id_, None)
        if self._taken is not None:
            self._taken.discard(id_)

    def ids(self) -> tuple[str, ...]:
        """All that is in hand."""
        return (*(self._offered or ()), *(self._resumed or ()), *(self._taken or ()))

    def room(self, now: float) -> int:
        """How many more may be offered at present."""
        return MAX_OFFERS - sum(now - at < QUIET_SEC for at in (self._offered or {}).values())

    def quiet(self, now: float) -> tuple[str, ...]:
        """What is not to be offered at present."""
        held = (*(self._offered or {}).items(), *(self._resumed or {}).items())
        return tuple(id_ for id_, at in held if now - at < QUIET_SEC)

    def is_due(self, now: float) -> bool:
        """Whether something has been in hand for so long without a word that it should be offered again."""
        return any(
            now - at >= QUIET_SEC for held in (self._offered, self._resumed) if held is not None for at in held.values()
        )

    def settle(self, statuses: Mapping[str, Status]) -> list[tuple[str, Status | None]]:
        """Takes note of how all of them stand; what the device must hear of, with its status (None: not its own).

        That a command which the device resumed with is `delivered` is no news to it.
        """
        news = []
        for id_ in self.ids():
            status = statuses.get(id_)
            if status == "delivered":
                told = self._offered is not None and id_ in self._offered
                self.take(id_)
            else:
                told = status is None or not is_open(status)
                if told:
                    self.drop(id_)
            if told:
                news.append((id_, status))
        return news
