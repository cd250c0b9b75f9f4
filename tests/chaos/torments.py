"""What is done to nodes, to the database and to what lies between them. Each leaves all as it was, or running again."""

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.chaos.place import Node, Place

OF_ROLLTAPE: Final = "application_name = 'rolltape' AND pid <> pg_backend_pid()"
LISTENING: Final = f"{OF_ROLLTAPE} AND (query ILIKE 'LISTEN %' OR query ILIKE '%pg_notify%')"


@dataclass(slots=True)
class Scene:
    """Where it happens. `pace`: how long things last, 1 for the full length. `over`: the torment is to end soon."""

    place: Place
    dice: Random
    pace: float = 1.0
    over: threading.Event = field(default_factory=threading.Event)

    def node(self) -> Node:
        """One of them."""
        return self.dice.choice(self.place.nodes)

    def last(self, least: float, most: float) -> None:
        """Lets so many seconds go by."""
        self.over.wait(self.dice.uniform(least, most) * self.pace)

    def drop(self, share: float, *, of_database: bool = False) -> None:
        """Cuts connections of all nodes."""
        for node in self.place.nodes:
            link = node.base if of_database else node.web
            self.place.links.do(lambda link=link: link.drop(share, self.dice))  # type: ignore[misc]

    def terminate(self, which: str) -> None:
        """Ends sessions of PostgreSQL."""
        with suppress(OSError):
            self.place.ask(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which}")

    def calm(self) -> None:
        """Nothing is wrong with any link any more, and nobody is frozen."""
        for node in self.place.nodes:
            for faults in (node.web.faults, node.base.faults):
                faults.delay, faults.silent, faults.refuses = 0.0, False, False
            node.signal(signal.SIGCONT)


def kill_node(scene: Scene) -> None:
    """kill -9, and started again."""
    node = scene.node()
    node.kill()
    scene.last(0.0, 2.0)
    node.start()


def kill_all_nodes(scene: Scene) -> None:
    """kill -9 of all at once."""
    for node in scene.place.nodes:
        node.kill()
    for node in scene.place.nodes:
        node.start()


def stop_node(scene: Scene) -> None:
    """SIGTERM, as for an upgrade."""
    node = scene.node()
    code = node.stop()
    node.start()
    if code != 0:
        raise RuntimeError(f"node {node.name} ended with {code} on SIGTERM")


def freeze_node(scene: Scene) -> None:
    """SIGSTOP, and SIGCONT some seconds later: what it thought was now is long ago."""
    node = scene.node()
    node.signal(signal.SIGSTOP)
    scene.last(1.0, 8.0)
    node.signal(signal.SIGCONT)


def freeze_node_over_restart(scene: Scene) -> None:
    """A node sleeps while the database is restarted under it."""
    node = scene.node()
    node.signal(signal.SIGSTOP)
    scene.place.database.restart("fast")
    node.signal(signal.SIGCONT)


def restart_database(scene: Scene) -> None:
    """An orderly restart; what is under way is rolled back."""
    scene.place.database.restart("fast")


def crash_database(scene: Scene) -> None:
    """It ends at once, and recovers from its log."""
    scene.place.database.restart("immediate")


def terminate_sessions(scene: Scene) -> None:
    """All sessions of all nodes are ended, several times."""
    for _ in range(3):
        scene.terminate(OF_ROLLTAPE)
        scene.last(0.0, 0.3)


def cut_bus(scene: Scene) -> None:
    """For some seconds nobody is woken: sessions that listen are ended as soon as they are there."""
    for _ in range(max(3, int(60 * scene.pace))):
        scene.terminate(LISTENING)
        scene.over.wait(0.03)


def drop_connections(scene: Scene) -> None:
    """Connections of devices and of the backend are cut, wherever they are."""
    scene.drop(scene.dice.uniform(0.3, 1.0))


def half_close(scene: Scene) -> None:
    """Servers hear that nothing more will come, while their clients think that all is well."""
    for node in scene.place.nodes:
        scene.place.links.do(lambda link=node.web: link.half_close(0.5, scene.dice))  # type: ignore[misc]


def swallow_answers(scene: Scene) -> None:
    """What is asked of a node is done, and nobody hears so."""
    node = scene.node()
    node.web.faults.silent = True
    scene.last(0.5, 3.0)
    scene.drop(1.0)


def cut_off_node(scene: Scene) -> None:
    """Nobody reaches a node, which is well."""
    node = scene.node()
    node.web.faults.refuses = True
    scene.drop(1.0)
    scene.last(0.5, 3.0)


def slow_network(scene: Scene) -> None:
    """Everything takes its time."""
    for node in scene.place.nodes:
        node.web.faults.delay = scene.dice.uniform(0.05, 0.4)
    scene.last(1.0, 4.0)


def drop_database(scene: Scene) -> None:
    """Connections between nodes and database are cut."""
    scene.drop(1.0, of_database=True)


def swallow_commits(scene: Scene) -> None:
    """What a node asks of the database is done, and the node never hears so."""
    node = scene.node()
    node.base.faults.silent = True
    scene.last(0.2, 1.0)
    scene.drop(1.0, of_database=True)


def slow_database(scene: Scene) -> None:
    """Every round trip to the database takes its time."""
    for node in scene.place.nodes:
        node.base.faults.delay = scene.dice.uniform(0.01, 0.05)
    scene.last(1.0, 3.0)


TORMENTS: Final[dict[str, Callable[[Scene], None]]] = {
    torment.__name__: torment
    for torment in (
        kill_node,
        kill_all_nodes,
        stop_node,
        freeze_node,
        freeze_node_over_restart,
        restart_database,
        crash_database,
        terminate_sessions,
        cut_bus,
        drop_connections,
        half_close,
        swallow_answers,
        cut_off_node,
        slow_network,
        drop_database,
        swallow_commits,
        slow_database,
    )
}
