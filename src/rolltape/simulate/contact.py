"""A device's contact with the server, whichever way it goes: what is said next, what a failure means, what befalls it.

A way (heartbeat calls, the live channel, a broker) has to do three things: get ready, say one thing, and
let go. A device asks one question at a time, on every way, so that all of them share this file.
"""

from math import inf
from typing import Final, Protocol

from rolltape.simulate.device import Device
from rolltape.simulate.dice import Fate
from rolltape.simulate.timers import NEVER, Timers
from rolltape.simulate.world import World
from rolltape.wire.command import ReportItem

_FIRST_PAUSE_SEC: Final = 0.5
_CHANGES_WAY: Final = 0.3


class Wire(Protocol):
    """What a device that stays connected speaks on. `awaits`: see the lines that there are."""

    awaits: tuple[str, str | None] | None

    def say(self, text: bytes) -> None:
        """Sends one frame, where the line is still there."""
        ...

    def say_half(self, text: bytes) -> None:
        """Sends half of a frame, and breaks."""
        ...

    def fall_deaf(self) -> None:
        """Hears nothing from now on; the other side doesn't notice."""
        ...

    def close(self) -> None:
        """Lets what was said go out, and breaks without a word."""
        ...

    def cut(self) -> None:
        """Breaks, at once."""
        ...


class Way(Protocol):
    """How a device and the server talk. What is heard goes to Contacts.answered, what isn't to Contacts.failed."""

    @property
    def always_answers(self) -> bool:
        """Whether a question that goes out well is answered in any case, be it with a failure."""
        ...

    def is_ready(self, contact: "Contact", now: float) -> bool:
        """Whether something can be said now. If not, it sees to it, and wakes the contact then."""
        ...

    def beat(self, contact: "Contact", fate: Fate, now: float) -> None:
        """Says how the device is; where it is frugal, also what it asks and what it reports."""
        ...

    def ask(self, contact: "Contact", command_id: str, fate: Fate, now: float) -> None:
        """Asks for the go."""
        ...

    def tell(self, contact: "Contact", report: ReportItem, fate: Fate, now: float) -> None:
        """Reports."""
        ...

    def leave(self, contact: "Contact") -> None:
        """The device is off the network, at once and without a word."""
        ...


class Contact:
    """One device's. `is_frugal`: it puts all it has to say into heartbeats. `lost_at`: no answer comes after that.

    `said`: what its last question was about, where it was about commands: an answer must have changed that.
    """

    __slots__ = (
        "beat_at",
        "calling",
        "device",
        "is_frugal",
        "is_over",
        "line",
        "lost_at",
        "not_before",
        "number",
        "said",
        "tries",
        "wake_at",
        "way",
    )

    def __init__(self, device: Device, way: Way, *, is_frugal: bool, begins: float, number: int = 0) -> None:
        self.device = device
        self.way = way
        self.is_frugal = is_frugal
        self.wake_at = NEVER
        self.beat_at = begins
        self.not_before = begins
        self.lost_at = inf
        self.calling = False
        self.is_over = False
        self.tries = 0
        self.said: tuple[str | None, int] | None = None
        self.line: Wire | None = None
        self.number = number


class Contacts:
    """What all contacts have in common. `ways`: those that a device may change between."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways: list[Way] = []
        self.all: list[Contact] = []
        self.timers: Timers = Timers(world.clock, self.turn)

    def begin(self, contact: Contact) -> None:
        """It is in the fleet from now on."""
        self.all.append(contact)
        self.timers.set(contact, contact.beat_at)

    def turn(self, contact: Contact, now: float) -> None:
        """Its time has come, or there is news: says one thing if there is one to say, else sets when to look again."""
        if contact.is_over:
            return
        again = contact.device.tick(now)
        if now >= contact.lost_at:
            contact.way.leave(contact)
            self.failed(contact, now)
        if contact.calling:
            self.timers.set(contact, contact.lost_at)
        elif now < contact.not_before:
            self.timers.set(contact, contact.not_before)
        elif contact.way.is_ready(contact, now) and not self._say(contact, now):
            self.timers.set(contact, min(contact.beat_at, again))

    def answered(self, contact: Contact, now: float) -> None:
        """A question was answered. One that the server takes no notice of is asked again after a back-off."""
        if contact.said is not None and contact.said == _news(contact.device):
            self.failed(contact, now)
            return
        contact.calling, contact.lost_at, contact.said, contact.tries = False, inf, None, 0
        self._befall(contact, now)

    def failed(self, contact: Contact, now: float, retry_after: float = 0.0) -> None:
        """Nothing is known of what was asked: again after a back-off."""
        contact.calling, contact.lost_at, contact.said = False, inf, None
        self.world.figures["no_answer"] += 1
        whole: float = min(self.world.longest_pause, _FIRST_PAUSE_SEC * 2 ** min(contact.tries, 10))
        contact.tries += 1
        contact.not_before = now + max(retry_after, whole * contact.device.dice.between(0.5, 1.0))
        self._change_way(contact)

    def power_went(self, contact: Contact, now: float) -> None:
        """The device was cut off from power while it acted: it no longer knows what it had asked, and begins again."""
        contact.calling, contact.lost_at, contact.said = False, inf, None
        contact.way.leave(contact)
        self.turn(contact, now)

    def next_beat(self, contact: Contact, said: float, now: float) -> None:
        """A heartbeat was answered: `said` is when the server expects the next, in seconds."""
        every = self.world.every or said
        contact.beat_at = now + every * contact.device.dice.between(0.95, 1.05)
        self.world.figures["heartbeats"] += 1

    def over(self, contact: Contact) -> None:
        """Its token has ended, so it says no more."""
        contact.is_over = True
        contact.calling, contact.lost_at = False, inf
        self.world.figures["tokens_ended"] += 1
        contact.way.leave(contact)
        self.timers.set(contact, NEVER)

    def wake_all(self, now: float) -> None:
        """Whoever is off the network comes back within a second."""
        for contact in self.all:
            if contact.not_before > now:
                contact.not_before = now + contact.device.dice.roll()
                if not contact.calling:
                    self.timers.set(contact, contact.not_before)

    def _say(self, contact: Contact, now: float) -> bool:
        device, way = contact.device, contact.way
        question, untold = contact.said = _news(device)
        has_news = question is not None or untold > 0
        if not has_news or not contact.is_frugal:
            contact.said = None
        contact.lost_at = now + self.world.patience
        if now >= contact.beat_at or not device.has_heard or (has_news and contact.is_frugal):
            way.beat(contact, self._fate(contact), now)
        elif question is not None:
            contact.said = (question, untold)
            way.ask(contact, question, self._fate(contact), now)
        elif untold:
            contact.said = (question, untold)
            way.tell(contact, next(iter(device.untold.values())), self._fate(contact), now)
        else:
            contact.lost_at = inf
            return False
        if contact.calling:
            self.timers.set(contact, contact.lost_at)
        return True

    def _fate(self, contact: Contact) -> Fate:
        contact.calling = True
        fate = self.world.luck.of_call(contact.device.dice)
        self.world.figures["calls"] += 1
        if contact.way.always_answers and fate not in (Fate.UNSENT, Fate.UNHEARD):
            contact.lost_at = inf  # so it costs no entry among those who sleep
        if fate is not Fate.WELL:
            self.world.figures[fate.name.lower()] += 1
        return fate

    def _befall(self, contact: Contact, now: float) -> None:
        device, luck = contact.device, self.world.luck
        if device.dice.happens(luck.power_cut):
            device.power_cut(now)
            away = 3.0
        elif device.dice.happens(luck.nap):
            self.world.figures["naps"] += 1
            away = 3 * (self.world.every or 60.0)
        else:
            return
        contact.way.leave(contact)
        contact.not_before = now + device.dice.between(0.1, min(away, self.world.longest_pause * 3))
        self._change_way(contact)

    def _change_way(self, contact: Contact) -> None:
        if len(self.ways) > 1 and contact.line is None and contact.device.dice.happens(_CHANGES_WAY):
            others = [way for way in self.ways if way is not contact.way]
            contact.way = others[int(contact.device.dice.roll() * len(others))]


def _news(device: Device) -> tuple[str | None, int]:
    """What it has to say of commands: the question, and how many reports."""
    return device.question(), len(device.untold)
