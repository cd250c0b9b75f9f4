"""The buses between nodes: by PostgreSQL and by NATS, the same promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from rolltape.config import BadSetting, Settings
from rolltape.store import bus as buses
from rolltape.store.bus import NodeBus
from rolltape.store.nats_bus import NatsBus, NatsServers, connect
from rolltape.store.postgres.bus import PgBus
from rolltape.wiring import admin_doctor
from tests.nats_server import NatsServer, needs_nats, running_nats
from tests.postgres import server

KEY = b"k" * 32
CHANNEL = "rolltape_test"
SUBJECT = "rolltape.test.wakeups"
CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    f"WHERE query ILIKE '%{CHANNEL}%' AND pid <> pg_backend_pid()"
)


class Heard:
    """What a node heard, and a signal for each."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.something = asyncio.Event()

    def __call__(self, topics: tuple[str, ...]) -> None:
        self.topics += topics
        self.something.set()

    async def until(self, topic: str) -> None:
        while topic not in self.topics:
            self.something.clear()
            await asyncio.wait_for(self.something.wait(), 20)


class Kind:
    """How one kind of bus is made, cut and spoken past. `cut` comes back once it is cut, and `mend` makes it good."""

    def make(self, hear: Heard) -> NodeBus:
        raise NotImplementedError

    async def cut(self) -> None:
        raise NotImplementedError

    async def mend(self) -> None:
        """Makes it good again."""

    async def say(self, text: str) -> None:
        raise NotImplementedError


class ByPostgres(Kind):
    def make(self, hear: Heard) -> NodeBus:
        return PgBus(server().url, CHANNEL, KEY, hear)

    async def cut(self) -> None:
        await server().run(CUT)

    async def say(self, text: str) -> None:
        conn = await asyncpg.connect(server().url)
        await conn.execute("SELECT pg_notify($1, $2)", CHANNEL, text)
        await conn.close()


class ByNats(Kind):
    def __init__(self, nats: NatsServer) -> None:
        self.nats = nats
        self.servers = NatsServers((nats.url,))

    def make(self, hear: Heard) -> NodeBus:
        return NatsBus(self.servers, SUBJECT, KEY, hear)

    async def cut(self) -> None:
        await asyncio.to_thread(self.nats.stop)

    async def mend(self) -> None:
        await asyncio.to_thread(self.nats.start)

    async def say(self, text: str) -> None:
        client = await connect(self.servers)
        await client.publish(SUBJECT, text.encode())
        await client.flush()
        await client.close()


@contextmanager
def _by_nats() -> Iterator[Kind]:
    with running_nats() as nats:
        yield ByNats(nats)


@pytest.fixture(params=["postgres", pytest.param("nats", marks=needs_nats)])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    """Each kind in turn, in less of a hurry to save work than in earnest."""
    for name in ("RECONNECT_SECONDS", "CHECK_SECONDS", "DEAF_LOOK_SECONDS"):
        monkeypatch.setattr(buses, name, 0.02)
    if request.param == "postgres":
        yield ByPostgres()
    else:
        with _by_nats() as found:
            yield found


@asynccontextmanager
async def two(kind: Kind) -> AsyncIterator[tuple[NodeBus, Heard, NodeBus, Heard]]:
    """Two nodes that listen."""
    heard = Heard(), Heard()
    made = [kind.make(each) for each in heard]
    try:
        await asyncio.gather(*(bus.listening.wait() for bus in made))
        yield made[0], heard[0], made[1], heard[1]
    finally:
        await asyncio.gather(*(bus.close() for bus in made))


Scenario = Callable[[Kind, NodeBus, Heard, NodeBus, Heard], Awaitable[None]]


def between_nodes(scenario: Scenario) -> Callable[[Kind], None]:
    """Makes a scenario a test."""

    def test(kind: Kind) -> None:
        async def run() -> None:
            async with two(kind) as (one, heard_one, other, heard_two):
                await scenario(kind, one, heard_one, other, heard_two)

        asyncio.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test


@between_nodes
async def test_wake_ups_cross_and_do_not_come_back(
    kind: Kind, one: NodeBus, heard_one: Heard, other: NodeBus, heard_other: Heard
) -> None:
    one.publish(["dev_a", "opened:dev_c"])
    other.publish(["dev_b"])
    await asyncio.gather(heard_other.until("opened:dev_c"), heard_one.until("dev_b"))
    assert "dev_a" not in heard_one.topics
    assert "dev_b" not in heard_other.topics


@between_nodes
async def test_many_wake_ups_are_few_letters_none_of_them_too_long(
    kind: Kind, one: NodeBus, heard_one: Heard, other: NodeBus, heard: Heard
) -> None:
    topics = [f"dev_{n:022d}" for n in range(2000)]
    assert all(len(letter) <= one._most for letter in one._letters(topics))
    assert len(one._letters(topics)) <= 8
    one.publish(topics)
    await heard.until(topics[-1])
    assert [topic for topic in heard.topics if topic in set(topics)] == topics


@between_nodes
async def test_of_more_than_it_keeps_the_others_look_at_everything(
    kind: Kind, one: NodeBus, heard_one: Heard, other: NodeBus, heard: Heard
) -> None:
    heard.topics.clear()
    one.publish(f"dev_{n}" for n in range(buses.MOST_WAITING + 1))
    assert len(one._out) == 1
    await heard.until("*")
    assert heard.topics == ["*"]


def test_what_a_line_did_not_take_is_said_on_the_next(kind: Kind) -> None:
    async def run() -> None:
        async with two(kind) as (one, _, _, heard):
            letters = one._letters
            broken: list[int] = []

            def break_once(topics: Iterable[str]) -> list[str]:
                if not broken and "dev_a" in topics:
                    broken.append(1)
                    raise ConnectionError("cut in the middle of a word")
                return letters(topics)

            one._letters = break_once  # type: ignore[method-assign]
            one.publish(["dev_a"])
            await heard.until("dev_a")
            assert broken

    asyncio.run(run())


@between_nodes
async def test_rubbish_and_what_others_forge_is_passed_over(
    kind: Kind, one: NodeBus, heard_one: Heard, other: NodeBus, heard: Heard
) -> None:
    good = one._letters(["dev_before"])[0]
    for text in ("", "x", "\0\1" if isinstance(kind, ByNats) else "\1", "dev_x", f"{'0' * 16} 00000000 dev_forged"):
        await kind.say(text)
    await kind.say(good.replace("dev_before", "dev_changed"))
    await kind.say(one._tag(" nobody dev_nobody") + " nobody dev_nobody")
    for topics in ("**", "dev_ok; dev", "opened:", "dev_" + "x" * 65):
        line = f" 0123abcd {topics}"
        await kind.say(one._tag(line) + line)
    if isinstance(kind, ByNats):
        line = " 0123abcd" + " dev_long" * 10_000
        await kind.say(one._tag(line) + line)
    heard.topics.clear()
    one.publish(["dev_after"])
    await heard.until("dev_after")
    assert set(heard.topics) <= {"dev_after"}, "and it goes on"


@between_nodes
async def test_a_node_that_was_cut_off_looks_at_everything_until_it_hears_again(
    kind: Kind, one: NodeBus, heard_one: Heard, other: NodeBus, heard: Heard
) -> None:
    heard.topics.clear()
    await kind.cut()
    await heard.until("*")
    if isinstance(kind, ByNats):
        for _ in range(2):  # again and again: there is no other way to hear of anything
            heard.topics.clear()
            await heard.until("*")
    await kind.mend()
    one.publish(["dev_while_cut"])
    await asyncio.gather(one.listening.wait(), other.listening.wait())
    while "dev_a" not in heard.topics:
        one.publish(["dev_a"])
        heard.something.clear()
        await asyncio.wait_for(heard.something.wait(), 20)


def test_a_line_that_says_nothing_back_is_dead(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket can look open for hours after a firewall has forgotten it."""
    monkeypatch.setattr(buses, "ECHO_SECONDS", 0.05)

    async def run() -> None:
        heard = Heard()
        bus = kind.make(heard)
        came, lines = bus.came, 0

        def connect_again() -> AbstractAsyncContextManager[buses.Line]:
            nonlocal lines
            lines += 1
            bus.came = came if lines > 1 else (lambda letter: None)  # type: ignore[method-assign]
            return type(bus).connect(bus)

        bus.connect = connect_again  # type: ignore[method-assign]
        while lines < 2:
            await asyncio.wait_for(asyncio.sleep(0.01), 20)
        await bus.listening.wait()
        await bus.close()

    asyncio.run(asyncio.wait_for(run(), 20))


@needs_nats
def test_nats_wants_its_credentials_and_a_doctor_says_whether_it_answers(tmp_path: Path) -> None:
    with running_nats("--user", "rolltape", "--pass", "s3cret") as nats:
        good = nats.url.replace("//", "//rolltape:s3cret@")
        assert _findings(tmp_path, good) == [("ok", "NATS answers.")]
        ((level, what),) = _findings(tmp_path, nats.url)
        assert level == "error"
        assert "Authorization" in what
        ((level, what),) = _findings(tmp_path, nats.url.replace("//", "//rolltape:wr0ng@"))
        assert level == "error"
        assert "wr0ng" not in what
    ((level, what),) = _findings(tmp_path, good)
    assert level == "error"
    assert "s3cret" not in what


def _findings(data: Path, url: str) -> list[tuple[str, str]]:
    env = {"ROLLTAPE_DATABASE": "postgresql://nobody@127.0.0.1:1/none", "ROLLTAPE_NATS": url}
    return [(one.level, one.what) for one in admin_doctor(data, env) if "NATS" in one.what]


@pytest.mark.parametrize("url", ["localhost:4222", "http://host", "nats://", "nats://h:x", "nats://u:s3cret@h/path"])
def test_a_url_that_is_none_of_nats_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadSetting, match="ROLLTAPE_NATS") as refused:
        Settings.from_env({"ROLLTAPE_DATABASE": "postgresql://h/d", "ROLLTAPE_NATS": url})
    assert "s3cret" not in str(refused.value)


def test_nats_without_postgres_is_refused() -> None:
    with pytest.raises(BadSetting, match="goes with ROLLTAPE_DATABASE"):
        Settings.from_env({"ROLLTAPE_NATS": "nats://h"})
