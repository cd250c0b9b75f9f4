"""What becomes of a word that a relay brings: on which evidence it stands, what replaces it, what is a claim."""

from collections.abc import Iterator

import pytest

from rolltape.codes import Code
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.relay_world import Relayed, evidence_of, relayed
from tests.api.web_world import STORES, is_refused


@pytest.fixture(scope="module", params=STORES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web"), store=request.param) as world:
        yield world


@pytest.fixture
def keyed(world: ContractWorld) -> Relayed:
    return relayed(world, keyed=True)


@pytest.fixture
def plain(world: ContractWorld) -> Relayed:
    return relayed(world)


# Evidence: the stronger word wins, whichever came first


def test_a_relays_bare_word_is_corrected_by_the_device_itself(plain: Relayed) -> None:
    command = plain.device.command()["id"]
    assert plain.report(command, result={"recording_id": "rec_x"}).status_code == 200
    assert evidence_of(plain, command) == "relay"
    again = plain.device.report(command, status="failed", error={"code": "low_battery"})
    assert (again.status_code, again.json()["status"]) == (200, "failed")
    assert evidence_of(plain, command) == "device"
    assert plain.device.story(command) == ["created", "executed", "failed"]
    assert plain.device.history(command)[-1]["previous_status"] == "executed"
    assert is_refused(plain.report(command, result={"recording_id": "rec_x"}), 409, Code.RESULT_CONFLICT)


def test_what_the_device_signed_corrects_even_its_own_unsigned_word(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    assert keyed.device.report(command, result={"recording_id": "rec_1"}).status_code == 200
    assert keyed.signed_report(command, "failed", error={"code": "interrupted"}).json()["status"] == "failed"
    assert evidence_of(keyed, command) == "device_signed"
    assert is_refused(keyed.device.report(command), 409, Code.RESULT_CONFLICT)
    assert keyed.device.read(command)["error"]["code"] == "interrupted"


def test_the_same_word_on_stronger_evidence_is_noted_without_an_event(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    keyed.device.report(command, result={"recording_id": "rec_1"})
    assert keyed.signed_report(command, result={"recording_id": "rec_1"}).status_code == 200
    assert evidence_of(keyed, command) == "device_signed"
    assert keyed.device.story(command) == ["created", "executed"]


def test_two_signed_words_that_differ_leave_the_first(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    assert keyed.signed_report(command).status_code == 200
    assert is_refused(keyed.signed_report(command, "failed"), 409, Code.RESULT_CONFLICT)
    assert keyed.device.read(command)["status"] == "executed"


def test_a_signed_report_lands_on_what_the_server_had_closed(world: ContractWorld, keyed: Relayed) -> None:
    expired, cancelled = keyed.device.command(ttl_seconds=1)["id"], keyed.device.command()["id"]
    world.call("DELETE", f"{keyed.device.path}/commands/{cancelled}")
    world.pass_time(2)
    for command, before in ((expired, "expired"), (cancelled, "cancelled")):
        assert keyed.signed_report(command).json()["status"] == "executed"
        assert keyed.device.history(command)[-1]["previous_status"] == before


# Claims


def test_a_claim_can_neither_open_nor_end_anything(world: ContractWorld, keyed: Relayed) -> None:
    reset = world.web.made(f"{keyed.device.path}/reset")["id"]
    for status in ("executed", "failed"):
        assert keyed.report(reset, status=status).json() == {"claimed": True, "status": "pending"}
    assert world.get(keyed.device.path)["status"] == "bound"
    start = keyed.device.command()["id"]
    keyed.report(start, result={"recording_id": "rec_1", "started_at": "2027-01-01T00:00:00Z"})
    assert world.get(f"{keyed.device.path}/state")["recording"]["as_of"] is None
    assert keyed.device.unbind().status_code == 200


def test_claims_are_kept_once_each_and_sixteen_at_most(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    for n in range(20):
        for _ in range(2):
            assert keyed.report(command, result={"n": n}).status_code == 202
    told = [event["data"]["claim"]["result"]["n"] for event in keyed.device.history(command)[1:]]
    assert told == list(range(16))
    assert keyed.signed_report(command).status_code == 200


def test_a_claim_after_the_end_is_told_how_it_ended(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    keyed.signed_report(command)
    assert keyed.report(command, status="failed").json() == {"claimed": True, "status": "executed"}
    assert keyed.ack(command).json() == {"claimed": True, "status": "executed"}
    assert keyed.device.read(command)["status"] == "executed"


def test_what_could_not_be_landed_can_not_be_claimed(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    for body, param in (
        ({"status": "done"}, "status"),
        ({"status": "executed", "executed_at": "yesterday"}, "executed_at"),
        ({"status": "executed", "result": {"x": "y" * 16_384}}, "result"),
    ):
        assert is_refused(keyed.report(command, body), 400, Code.INVALID_REQUEST, param)
    assert is_refused(keyed.ack("cmd_nobody"), 404, Code.NOT_FOUND)
    assert keyed.device.story(command) == ["created"]
