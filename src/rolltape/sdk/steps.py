"""What a client does on the outside, as data. The logic of the SDK is written once, in generators ("plans") that yield
these steps and are sent what came of them; the blocking and the async client differ only in how they take a step.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from rolltape.sdk.request import Request

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with the bytes moved so far and the bytes in all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back. `sent`: the request may have reached the server."""

    sent: bool
    why: str


Outcome = Answer | NoAnswer


@dataclass(frozen=True, slots=True)
class Send:
    """Send this and read the whole answer: an Outcome. `content` may be made of chunks."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | Callable[[], Iterator[bytes]] | None
    timeout: float


class Sink(Protocol):
    """Where the bytes of an answer go."""

    def begin(self, answer: Answer) -> bool:
        """Whether this answer's body is wanted; if not, it is read whole into the outcome."""
        ...

    def write(self, chunk: bytes) -> None:
        """The next bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Fetch:
    """GET this and hand the body to the sink as it comes: an Outcome."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    sink: Sink
    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Let these seconds go by: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """The time: (wall time in ms, seconds on the monotonic timer)."""


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """Do this where it may block (hash a file): its result."""

    do: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Emit(Generic[T]):
    """Hand this to whoever iterates: None."""

    item: T


Step = Send | Fetch | Pause | Now | Work[Any] | Emit[Any] | Request[Any]
Plan = Generator[Step, Any, T]


def ask(request: Request[T]) -> Plan[T]:
    """The answer to a call; errors are raised here."""
    answer: T = yield request
    return answer


def work(do: Callable[[], T]) -> Plan[T]:
    """What `do` answers; what it raises is raised here."""
    result: T = yield Work(do)
    return result


def monotonic() -> Plan[float]:
    """Seconds on a timer that only grows."""
    _, seconds = yield Now()
    return float(seconds)


def now_ms() -> Plan[int]:
    """Wall time in milliseconds."""
    ms, _ = yield Now()
    return int(ms)
