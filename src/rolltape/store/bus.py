"""Wake-ups between nodes, whatever carries them. They only say "look"; a lost one costs seconds, never a command.

What has changed while a letter was on its way goes out with the next one: so there are at most so many a second,
however busy a node is. A letter is text: its tag (the first 16 hex digits of HMAC-SHA256, under a key of the
deployment's, over the rest), a space, the node that wrote it, and a space and a topic for each thing that has changed.
What isn't such a letter is passed over.

Whoever was cut off looks at everything once it hears again, and every few seconds until then. A node hears its own
letters too: when they don't come back, the line is dead, whatever the socket says.
"""

import asyncio
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

LINGER_SECONDS: Final = 0.005
RECONNECT_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 3.0
"""After so long without a word of its own a node says something, to hear whether the line is good."""
ECHO_SECONDS: Final = 5.0
"""A line on which a node's own words have not come back for so long is dead."""
DEAF_LOOK_SECONDS: Final = 3.0
"""How often whoever hears nothing looks at everything."""
EVERYTHING: Final = "*"
"""As `service.wakeups` has it."""
TELL_SECONDS: Final = 60.0
"""How often the log says that nothing is heard, for one and the same reason."""
MOST_WAITING: Final = 10_000
"""Topics that wait for a line; of more, the others are told to look at everything."""
_TAG: Final = 16
_NODE: Final = re.compile(r"[0-9a-f]{8}")
_TOPIC: Final = re.compile(r"(?:[a-z]{1,16}:)?[a-z]{1,8}_[A-Za-z0-9]{1,64}")

log = logging.getLogger("rolltape.wakeups")
Hear = Callable[[tuple[str, ...]], None]


class Line(Protocol):
    """A connection that speaks and listens."""

    async def send(self, letters: list[str]) -> None:
        """Says all of them. Raises where it can't."""
        ...

    def is_closed(self) -> bool:
        """Whether it is known to be gone. Whoever notices calls `NodeBus.look`."""
        ...


class NodeBus:
    """`hear` gets the topics of other nodes, on the event loop. `most_bytes`: the greatest letter."""

    def __init__(self, key: bytes, hear: Hear, most_bytes: int) -> None:
        self._key = key
        self._hear = hear
        self._most = most_bytes
        self._node = secrets.token_hex(4)
        self._out: dict[str, None] = {}
        self._something = asyncio.Event()
        self._unheard_since: float | None = None
        self._looked_at = 0.0
        self._deaf_since: float | None = None
        self._told = ("", 0.0)
        self._closing = asyncio.Event()
        self.listening = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def connect(self) -> AbstractAsyncContextManager[Line]:
        """A line on which `came` is called for each letter. Raises whatever keeps it from being one."""
        raise NotImplementedError

    @property
    def is_heard(self) -> bool:
        """Whether the other nodes can be heard at present."""
        return self.listening.is_set()

    def publish(self, topics: Iterable[str]) -> None:
        """Tells the other nodes, soon."""
        self._out.update(dict.fromkeys(topics))
        if len(self._out) > MOST_WAITING:
            self._out = {EVERYTHING: None}
        self._something.set()

    def look(self) -> None:
        """The line may be gone."""
        self._something.set()

    async def close(self) -> None:
        """Says what is still to be said, and ends."""
        if self.listening.is_set() and self._out:
            await asyncio.sleep(2 * LINGER_SECONDS)
        self._closing.set()  # a cancellation can be lost where what was waited for came at the same moment (wait_for)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def came(self, letter: str) -> None:
        """A letter has come, whoever wrote it."""
        if len(letter) > self._most or not hmac.compare_digest(
            self._tag(letter[_TAG:]).encode(), letter[:_TAG].encode()
        ):
            return
        node, *topics = letter[_TAG + 1 :].split(" ")
        if not _NODE.fullmatch(node):
            return
        if node == self._node:
            self._unheard_since = None
        elif known := tuple(topic for topic in topics if topic == EVERYTHING or _TOPIC.fullmatch(topic)):
            self._hear(known)

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                async with self.connect() as line:
                    await self._speak(line)
                if self._closing.is_set():
                    return
                self._deaf("the line is gone")
            except Exception as error:  # whatever it is: the next line may be good
                self._deaf(f"{type(error).__name__}: {error}")
            finally:
                self.listening.clear()
            self._look_though_deaf()
            await asyncio.sleep(RECONNECT_SECONDS)

    def _deaf(self, why: str) -> None:
        """Logs why nothing is heard: at once, when it is for another reason, and once a minute."""
        now = asyncio.get_running_loop().time()
        if self._deaf_since is None:
            self._deaf_since = now
        if why != self._told[0] or now - self._told[1] >= TELL_SECONDS:
            self._told = why, now
            log.warning("no wake-ups between nodes at the moment, so news takes seconds: %s", why)

    def _hears(self, now: float) -> None:
        since, self._deaf_since, self._told = self._deaf_since, None, ("", 0.0)
        again = "" if since is None else f" again, after {now - since:.1f} s"
        log.info("wake-ups between nodes are heard%s", again)

    def _look_though_deaf(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= DEAF_LOOK_SECONDS:
            self._looked_at = now
            self._hear((EVERYTHING,))

    async def _speak(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        self._unheard_since = None
        self.listening.set()
        self._something.set()  # there may be something left from before
        self._looked_at = loop.time()
        self._hears(self._looked_at)
        self._hear((EVERYTHING,))
        while not (line.is_closed() or self._closing.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._something.wait()
            timely = self._something.is_set()
            self._something.clear()
            if line.is_closed():
                return
            if self._out or not timely:
                await self._say(line, loop)
            await asyncio.sleep(LINGER_SECONDS)

    async def _say(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        if self._unheard_since is None:
            self._unheard_since = loop.time()
        elif loop.time() - self._unheard_since > ECHO_SECONDS:
            raise ConnectionError("what is said doesn't come back")
        topics, self._out = self._out, {}
        try:
            async with asyncio.timeout(ECHO_SECONDS):
                await line.send(self._letters(topics))
        except BaseException:
            self.publish(topics)  # said again on the next line; to hear it twice does no harm
            raise

    def _letters(self, topics: Iterable[str]) -> list[str]:
        letters, line = [], f" {self._node}"
        for topic in topics:
            if _TAG + len(line) + 1 + len(topic) > self._most:
                letters.append(self._tag(line) + line)
                line = f" {self._node}"
            line += f" {topic}"
        return [*letters, self._tag(line) + line]

    def _tag(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:_TAG]
