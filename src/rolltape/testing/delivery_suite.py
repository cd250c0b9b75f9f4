"""What every way to a device promises, as tests that run over any of them.

A route is a small adapter, a `DeliveryRig`: how a backend makes a command, how time goes by, and how one device asks,
acknowledges and reports. Subclass `DeliverySuite` with a fixture `rig` that yields a fresh one:

    class TestHeartbeat(DeliverySuite):
        @pytest.fixture
        def rig(self) -> Iterator[HeartbeatRig]: ...

The promises: a command that was accepted is offered until it is acknowledged; each is acted on at most once, and in
order; none after it expired; a cancelled one is no-go; and all that, whatever answers get lost, come twice, or come in
another order than they were sent in.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

Offer = dict[str, Any]
MAX_OFFERS = 4
OFFER_FIELDS = {"id", "type", "params", "grant_token", "expires_at", "seq"}
START, STOP, UPLOAD = "start_recording", "stop_recording", "trigger_upload"
ROUNDS, COMMANDS = 3, 12


@dataclass(frozen=True, slots=True)
class Heard:
    """What the server answered to an acknowledgement (`yes`: go) or a report (`yes`: taken).

    `status` is the command's, None where it isn't this device's.
    """

    yes: bool
    status: str | None


class DeliveryRig(Protocol):
    """One device that is bound, on one route, and the backend that commands it."""

    def create(self, type_: str, ttl_seconds: int = 300) -> str:
        """A new command's id."""
        ...

    def create_elsewhere(self) -> str:
        """The id of a new command for another device of the same project."""
        ...

    def reset(self) -> str:
        """The id of a new factory reset."""
        ...

    def cancel(self, command_id: str) -> None:
        """Cancels a pending command."""
        ...

    def unbind(self) -> None:
        """Ends the binding, by force."""
        ...

    def read(self, command_id: str) -> dict[str, Any]:
        """The command as a backend reads it."""
        ...

    def story(self, command_id: str) -> list[str]:
        """The command's events, oldest first, without `command.`."""
        ...

    def pass_time(self, seconds: float) -> None:
        """Lets time go by on the server."""
        ...

    def ask(self) -> list[Offer]:
        """All that is offered at present to a device that heard of nothing lately; none when it is refused.

        A route that keeps quiet about what it offered a moment ago lets that moment go by first.
        """
        ...

    def acknowledge(self, command_id: str) -> Heard: ...
    def report(self, command_id: str, status: str, result: dict[str, Any] | None = None) -> Heard: ...


@dataclass
class Firmware:
    """A device in its simplest form: it acknowledges before it acts, acts on no `seq` twice, and asks and reports until
    it is heard.

    `lost` says, each time an answer comes, whether it is lost on the way; `doubled`, whether it comes twice;
    `overtaken`, of each offer, whether later ones come before it.
    """

    rig: DeliveryRig
    lost: Callable[[], bool] = lambda: False
    doubled: Callable[[], bool] = lambda: False
    overtaken: Callable[[], bool] = lambda: False
    acted: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    queue: list[Offer] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    under_way: list[Offer] = field(default_factory=list)

    def wake(self) -> None:
        """One round: what is still to be reported, what is offered, and what can be done of that."""
        for command_id in list(self.unheard):
            self._report(command_id)
        offers = self.rig.ask()
        late, self.under_way = self.under_way, [offer for offer in offers if self.overtaken()]
        came = [offer for offer in offers if offer not in self.under_way] + late
        if not self.lost():
            self.queue += came * (2 if self.doubled() else 1)
        while self.queue and self._take(self.queue[0]):
            self.queue.pop(0)

    def _take(self, offer: Offer) -> bool:
        """Acts on an offer, once, if it gets a go; whether it is dealt with."""
        if offer["seq"] in self.used:
            return True
        answer = self.rig.acknowledge(offer["id"])
        if self.lost():
            return False
        if answer.yes:
            self.used.add(offer["seq"])
            self.acted.append(offer["id"])
            self.unheard.append(offer["id"])
            self._report(offer["id"])
        return True

    def _report(self, command_id: str) -> None:
        times = 2 if self.doubled() else 1
        answers = [self.rig.report(command_id, "executed", {"did": command_id}) for _ in range(times)]
        assert all(answer == Heard(True, "executed") for answer in answers)
        if not self.lost():
            self.unheard.remove(command_id)


def _moves(rig: DeliveryRig, command_id: str) -> list[str]:
    """The command's story, its offers left out: a route that pushes offers a command by itself."""
    return [each for each in rig.story(command_id) if each != "offered"]


def _ids(offers: list[Offer]) -> list[str]:
    return [offer["id"] for offer in offers]


class DeliverySuite:
    """The promises, one a test. A subclass has the fixture `rig`."""

    keeps_order = True
    """Whether offers come in order though the line breaks: a broker sends again what it had sent before newer ones."""

    def test_an_offer_is_the_command_with_its_grant(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        (offer,) = rig.ask()
        seen = rig.read(command)
        assert set(offer) >= OFFER_FIELDS
        assert {name: offer[name] for name in ("id", "type", "params", "grant_token", "expires_at")} == {
            name: seen[name] for name in ("id", "type", "params", "grant_token", "expires_at")
        }

    def test_an_offer_is_no_delivery(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        for _ in range(3):
            assert _ids(rig.ask()) == [command]
        assert rig.read(command)["status"] == "pending"
        assert rig.read(command)["delivery"]["offers"] >= 3
        assert rig.story(command) == ["created", "offered"]

    def test_what_is_acknowledged_is_not_offered_again(self, rig: DeliveryRig) -> None:
        first, second = rig.create(UPLOAD), rig.create(UPLOAD)
        rig.ask()
        assert rig.acknowledge(first) == Heard(True, "delivered")
        assert _ids(rig.ask()) == [second]
        assert rig.read(first)["status"] == "delivered"

    def test_a_lost_go_is_given_again(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        assert [rig.acknowledge(command) for _ in range(3)] == [Heard(True, "delivered")] * 3
        assert _moves(rig, command) == ["created", "delivered"]

    def test_every_command_is_acted_on_once_and_in_order(self, rig: DeliveryRig) -> None:
        made = [rig.create(UPLOAD) for _ in range(COMMANDS)]
        device = Firmware(rig)
        while rig.read(made[-1])["status"] != "executed":
            device.wake()
        assert device.acted == made
        assert all(rig.story(id_)[-2:] == ["delivered", "executed"] for id_ in made)

    def test_at_most_four_come_at_once_oldest_first(self, rig: DeliveryRig) -> None:
        made = [rig.create(UPLOAD) for _ in range(MAX_OFFERS + 1)]
        offers = rig.ask()
        assert _ids(offers) == made[:MAX_OFFERS]
        assert [offer["seq"] for offer in offers] == sorted({offer["seq"] for offer in offers})

    def test_a_reset_and_then_a_stop_come_first(self, rig: DeliveryRig) -> None:
        reset = rig.reset()
        upload, stop, start = (rig.create(type_) for type_ in (UPLOAD, STOP, START))
        assert _ids(rig.ask()) == [reset, stop, upload, start]

    def test_a_cancelled_command_is_no_longer_offered_and_is_no_go(self, rig: DeliveryRig) -> None:
        silent, offered = rig.create(START), rig.create(START)
        rig.cancel(silent)
        assert _ids(rig.ask()) == [offered]
        rig.cancel(offered)
        assert rig.ask() == []
        for id_ in (silent, offered):
            assert rig.acknowledge(id_) == Heard(False, "cancelled")
            assert "delivered" not in rig.story(id_)

    def test_nothing_is_offered_nor_gets_a_go_once_it_has_expired(self, rig: DeliveryRig) -> None:
        short, long = rig.create(START, ttl_seconds=60), rig.create(UPLOAD, ttl_seconds=600)
        assert _ids(rig.ask()) == [short, long]
        rig.pass_time(61)
        assert _ids(rig.ask()) == [long]
        assert rig.acknowledge(short) == Heard(False, "expired")
        assert rig.story(short) == ["created", "offered", "expired"]

    def test_a_delivered_command_that_expires_is_no_go_too(self, rig: DeliveryRig) -> None:
        command = rig.create(START, ttl_seconds=60)
        assert rig.acknowledge(command).yes
        rig.pass_time(61)
        assert rig.acknowledge(command) == Heard(False, "expired")
        assert rig.read(command)["error"]["code"] == "result_not_reported"

    def test_a_start_held_back_until_after_its_stop_is_no_go(self, rig: DeliveryRig) -> None:
        held, taken = rig.create(START), rig.create(START)
        assert rig.acknowledge(taken).yes
        stop = rig.create(STOP)
        assert rig.acknowledge(held) == Heard(False, "cancelled")
        assert rig.acknowledge(taken) == Heard(False, "delivered")
        assert _ids(rig.ask()) == [stop]

    def test_a_report_lands_once_however_often_it_comes(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        rig.acknowledge(command)
        said = [rig.report(command, "executed", {"recording_id": "rec_1"}) for _ in range(3)]
        assert said == [Heard(True, "executed")] * 3
        assert _moves(rig, command) == ["created", "delivered", "executed"]
        assert rig.acknowledge(command) == Heard(False, "executed")

    def test_another_report_is_refused_and_the_first_stands(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        rig.report(command, "executed", {"recording_id": "rec_1"})
        assert rig.report(command, "failed") == Heard(False, "executed")
        assert rig.read(command)["result"] == {"recording_id": "rec_1"}

    def test_a_report_without_an_acknowledgement_counts_as_both(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        rig.ask()
        assert rig.report(command, "failed") == Heard(True, "failed")
        assert rig.story(command) == ["created", "offered", "failed"]
        assert rig.read(command)["delivered_at"] is not None

    def test_a_report_lands_on_what_was_cancelled_or_has_expired(self, rig: DeliveryRig) -> None:
        gone, late = rig.create(START), rig.create(START, ttl_seconds=1)
        rig.cancel(gone)
        rig.pass_time(2)
        for id_ in (gone, late):
            assert rig.report(id_, "executed", {"did": id_}) == Heard(True, "executed")
            assert rig.read(id_)["status"] == "executed"

    def test_another_devices_command_is_not_there(self, rig: DeliveryRig) -> None:
        other = rig.create_elsewhere()
        assert rig.ask() == []
        assert rig.acknowledge(other) == Heard(False, None)
        assert rig.report(other, "executed") == Heard(False, None)

    def test_after_an_unbind_nothing_is_offered(self, rig: DeliveryRig) -> None:
        command = rig.create(START)
        rig.unbind()
        assert rig.ask() == []
        assert rig.read(command)["status"] == "cancelled"

    def test_whatever_is_lost_or_doubled_each_command_is_acted_on_once_and_in_order(self, rig: DeliveryRig) -> None:
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            device = Firmware(rig, lambda: chance.random() < 0.3, lambda: chance.random() < 0.3)  # noqa: B023
            made = [rig.create(UPLOAD, ttl_seconds=604_800) for _ in range(COMMANDS)]
            while len(device.acted) < len(made) or device.unheard:
                device.wake()
            assert sorted(device.acted) == sorted(made)
            assert device.acted == made or not self.keeps_order
            assert all(rig.story(id_)[-2:] == ["delivered", "executed"] for id_ in made)
            assert all(rig.story(id_).count("executed") == 1 for id_ in made)

    def test_whatever_order_offers_come_in_each_is_acted_on_once_and_no_start_after_a_later_stop(
        self, rig: DeliveryRig
    ) -> None:
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            often, seldom = (lambda: chance.random() < 0.5), (lambda: chance.random() < 0.2)  # noqa: B023
            device = Firmware(rig, seldom, seldom, often)
            made: list[str] = []
            for _ in range(COMMANDS):
                made.append(rig.create(chance.choice((START, START, STOP, UPLOAD)), ttl_seconds=604_800))
                device.wake()
            while "pending" in {rig.read(id_)["status"] for id_ in made} or device.queue or device.unheard:
                device.wake()
            seqs = {id_: seq for seq, id_ in enumerate(made)}
            stops = [seqs[id_] if rig.read(id_)["type"] == STOP else -1 for id_ in device.acted]
            starts = [seqs[id_] if rig.read(id_)["type"] == START else COMMANDS for id_ in device.acted]
            assert len(device.acted) == len(set(device.acted))
            assert all(start > max(stops[:place], default=-1) for place, start in enumerate(starts))
            assert all(("executed" in rig.story(id_)) == (id_ in device.acted) for id_ in made)

    def test_whatever_is_lost_no_command_is_acted_on_once_it_is_cancelled_or_has_expired(
        self, rig: DeliveryRig
    ) -> None:
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            device = Firmware(rig, lambda: chance.random() < 0.4)  # noqa: B023
            made = [rig.create(UPLOAD, ttl_seconds=chance.choice((30, 60, 300))) for _ in range(COMMANDS)]
            for id_ in made[::3]:
                rig.cancel(id_)
            for _ in range(COMMANDS):
                before = {id_: rig.read(id_)["status"] for id_ in made if id_ not in device.acted}
                acted = len(device.acted)
                device.wake()
                assert {before[id_] for id_ in device.acted[acted:]} <= {"pending", "delivered"}
                rig.pass_time(chance.choice((0, 5, 25)))
            rig.pass_time(300)
            device.wake()
            assert not set(device.acted) & set(made[::3])
            assert all((rig.read(id_)["reported_at"] is not None) == (id_ in device.acted) for id_ in made)
