"""The audit of a database after chaos: what is in order passes, and each thing that isn't is named."""

from collections.abc import Callable

import pytest

from rolltape.simulate.book import Book
from tests.chaos.audit import CommandRow, EventRow, audit

DEVICE = "dev_1"


class World:
    """Two commands of one device: one was executed, one expired and was executed all the same."""

    def __init__(self) -> None:
        self.book = Book()
        self.book.accepted("cmd_1", 0, "trigger_upload", 1000, 0.0, 0.1, "run-1")
        self.book.accepted("cmd_2", 0, "trigger_upload", 1000, 0.0, 0.1, "run-2")
        self.commands = [
            CommandRow("cmd_1", DEVICE, 1, 1, "executed", "run-1", 1),
            CommandRow("cmd_2", DEVICE, 2, 2, "executed", "run-2", 3),
        ]
        self.last_seqs = {DEVICE: 2}
        self.events: list[EventRow] = []
        self.tell(None, "device.online")
        self.tell("cmd_1", "command.created")
        self.tell("cmd_1", "command.offered")
        self.tell("cmd_1", "command.delivered", "pending")
        self.tell("cmd_1", "command.executed", "delivered")
        self.tell("cmd_2", "command.created")
        self.tell("cmd_2", "command.offered")
        self.tell("cmd_2", "command.offered")
        self.tell("cmd_2", "command.expired", "pending")
        self.tell("cmd_2", "command.executed", "expired")
        self.tell(None, "device.offline")

    def tell(self, command_id: str | None, type_: str, previous: str | None = None) -> None:
        n = len(self.events) + 1
        self.events.append(EventRow(n, f"evt_{n}", DEVICE, command_id, type_, previous))

    def found(self) -> set[str]:
        return {one.what for one in audit(self.book, {}, self.commands, self.events, self.last_seqs)}


def _change(place: int, **fields: object) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.commands[place] = world.commands[place]._replace(**fields)  # type: ignore[arg-type]

    return change


def _without(place: int) -> Callable[[World], None]:
    return lambda world: world.events.__delitem__(place)


def test_what_is_in_order_passes() -> None:
    assert World().found() == set()


def test_a_create_call_without_an_answer_may_have_made_one_command() -> None:
    world = World()
    del world.book.entries["cmd_2"]
    assert world.found() == {"not_asked_for"}
    world.book.unsure.append("run-2")
    assert world.found() == set()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda world: world.commands.pop(), {"lost", "history", "seq"}),
        (lambda world: world.book.entries.pop("cmd_1"), {"not_asked_for"}),
        (_change(1, key="run-1"), {"made_twice"}),
        (_change(1, status="pending"), {"still_open", "history"}),
        (_change(0, seq=2), {"seq"}),
        (_change(1, seq=3), {"seq"}),
        (lambda world: world.last_seqs.update({DEVICE: 3}), {"seq"}),
        (_change(1, offered_routes=1), {"history"}),
        (_change(0, status="failed"), {"history"}),
        (lambda world: world.tell("cmd_2", "command.created"), {"history"}),
        (lambda world: world.tell("cmd_1", "command.expired", "executed"), {"history"}),
        (lambda world: world.tell("cmd_2", "command.executed", "expired"), {"history"}),
        (lambda world: world.events.append(world.events[-1]), {"history", "presence"}),
        (_without(1), {"history"}),
        (_without(3), {"history"}),
        (_without(4), {"history"}),
        (_without(0), {"presence"}),
        (lambda world: world.tell("cmd_9", "command.created"), {"history"}),
    ],
)
def test_what_is_not_is_named(spoil: Callable[[World], object], what: set[str]) -> None:
    world = World()
    spoil(world)
    assert world.found() == what
