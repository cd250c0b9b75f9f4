"""Who torments: a thread that draws one torment after the other from a seeded deck, and times recoveries."""

import threading
import time
from random import Random

from tests.chaos.place import Place
from tests.chaos.torments import TORMENTS, Scene


class Tormentor:
    """`doing`: what goes on. `lengths`: for each torment, from its beginning until all nodes served again (s)."""

    def __init__(
        self, place: Place, seed: int, *, pace: float, gap: float, once: bool, only: tuple[str, ...] = ()
    ) -> None:
        """`gap`: seconds of calm between two torments, up to that. `once`: ends when each was done."""
        self._names = only or tuple(TORMENTS)
        self._place = place
        self._scene = Scene(place, Random(seed), pace)
        self._gap = gap
        self._once = once
        self._thread = threading.Thread(target=self._run, name="tormentor")
        self.doing = "nothing"
        self.lengths: dict[str, list[float]] = {name: [] for name in TORMENTS}
        self.faults: list[str] = []
        """What should not have happened: a node that didn't come back, or ended badly."""

    @property
    def has_not_begun(self) -> bool:
        """Whether it is still to be started."""
        return self._thread.ident is None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def end(self) -> None:
        """Asks it to end; all is calm afterwards, in some seconds."""
        self._scene.over.set()

    def join(self) -> None:
        """Comes back when it has ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        dice, deck = self._scene.dice, list[str]()
        while not self._scene.over.is_set():
            if not deck:
                deck = dice.sample(self._names, len(self._names))
            name = deck.pop()
            self.doing = name
            self._torment(name)
            self.doing = "nothing"
            if self._once and not deck:
                break
            self._scene.over.wait(dice.uniform(0.0, self._gap))

    def _torment(self, name: str) -> None:
        begun = time.monotonic()
        try:
            TORMENTS[name](self._scene)
            self._scene.calm()
            self._place.recover()
            self.lengths[name].append(time.monotonic() - begun)
        except Exception as error:  # whatever it is, it is told at the end, and the others are still to come
            self.faults.append(f"{name}: {type(error).__name__}: {error}")
            self._scene.calm()
