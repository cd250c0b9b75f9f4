"""Receipts: what a device signed counts as its own word; anything else that looks like it counts for nothing."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from rolltape.codes import Code
from rolltape.service import receipts
from rolltape.wire import receipt
from rolltape.wire.keys import b64url
from tests.api.contract_world import ContractWorld, open_contract
from tests.api.relay_world import Relayed, evidence_of, new_key, public_half, relayed
from tests.api.web_world import is_refused

BODY: dict[str, Any] = {"status": "executed", "result": {"recording_id": "rec_1", "n": 1.5, "text": "é"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContractWorld]:
    with open_contract(tmp_path_factory.mktemp("web")) as world:
        yield world


@pytest.fixture
def keyed(world: ContractWorld) -> Relayed:
    return relayed(world, keyed=True)


@pytest.fixture
def plain(world: ContractWorld) -> Relayed:
    return relayed(world)


def counts_for_nothing(keyed: Relayed, command: str, answer: httpx2.Response) -> bool:
    """Whether it was refused as a receipt, by name, and nothing of the command has changed, its history neither."""
    refused = is_refused(answer, 400, Code.INVALID_REQUEST, "receipt")
    return refused and keyed.device.story(command) == ["created"] and keyed.device.read(command)["status"] == "pending"


# Right ones


@pytest.mark.parametrize("jws", [False, True])
def test_both_encodings_are_taken_on_each_call(keyed: Relayed, jws: bool) -> None:
    command = keyed.device.command()["id"]
    said = keyed.receipt("delivered", jti=command)
    assert keyed.ack(command, receipt=keyed.sign(said, jws=jws)).json()["go"] is True
    said = keyed.receipt("executed", BODY, jti=command)
    assert keyed.report(command, {**BODY, "receipt": keyed.sign(said, jws=jws)}).json()["status"] == "executed"
    said = keyed.receipt("state", {"battery_percent": 3})
    assert keyed.heartbeat(battery_percent=3, receipt=keyed.sign(said, jws=jws)).json()["taken"] is True
    assert evidence_of(keyed, command) == "device_signed"


def test_the_order_of_fields_and_the_white_space_are_not_signed(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    signed = keyed.sign(keyed.receipt("executed", BODY, jti=command))
    text = json.dumps({"receipt": signed, **dict(reversed(BODY.items()))}, indent=3, ensure_ascii=False)
    answer = keyed.call("POST", f"{keyed.path}/commands/{command}/report", content=text.encode())
    assert answer.status_code == 200


def test_fields_that_the_server_does_not_know_are_signed_too(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    body = {**BODY, "of_tomorrow": [1, {"a": None}]}
    signed = keyed.sign(keyed.receipt("executed", body, jti=command))
    assert counts_for_nothing(keyed, command, keyed.report(command, {**BODY, "receipt": signed}))
    assert keyed.report(command, {**body, "receipt": signed}).status_code == 200


def test_the_same_signed_report_again_is_the_same_answer(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    body = {**BODY, "receipt": keyed.sign(keyed.receipt("executed", BODY, jti=command))}
    assert [keyed.report(command, body).status_code for _ in range(3)] == [200] * 3
    assert keyed.device.story(command) == ["created", "executed"]


def test_reports_may_come_in_any_order(keyed: Relayed) -> None:
    first, second = (keyed.device.command("trigger_upload")["id"] for _ in range(2))
    bodies = {id_: keyed.signed("executed", BODY, jti=id_) for id_ in (first, second)}
    for id_ in (second, first):
        assert keyed.report(id_, bodies[id_]).status_code == 200


# Wrong ones


WRONG: dict[str, dict[str, Any]] = {
    "another deployment's": {"aud": "0" * 16},
    "another device's": {"device": "dev_0QkXyWYv1Jm3cT5Zp8Rn2A"},
    "another generation's": {"gen": 2},
    "no generation's": {"gen": 0},
    "another status": {"status": "failed"},
    "a delivery": {"status": "delivered"},
    "another command's": {"jti": "cmd_0QkXyWYv1Jm3cT5Zp8Rn2A"},
    "no command's": {"jti": None},
    "about a recording too": {"recording_id": "rec_0QkXyWYv1Jm3cT5Zp8Rn2A"},
    "of another body": {"hash": bytes(32)},
    "of no body": {"hash": None},
}


@pytest.mark.parametrize("jws", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_a_receipt_of_something_else_counts_for_nothing(keyed: Relayed, name: str, jws: bool) -> None:
    command = keyed.device.command()["id"]
    said = keyed.receipt("executed", BODY, **{"jti": command, **WRONG[name]})
    answer = keyed.report(command, {**BODY, "receipt": keyed.sign(said, jws=jws)})
    assert counts_for_nothing(keyed, command, answer)
    assert keyed.device.id not in answer.text


CHECKED = (
    "another deployment's",
    "another device's",
    "another generation's",
    "another command's",
    "about a recording too",
    "another status",
    "of another body",
)
"""Which wrong receipt each check alone refuses, in the order of the checks."""


@pytest.mark.parametrize("dropped", range(len(CHECKED)), ids=CHECKED)
def test_each_check_of_a_receipt_is_needed(keyed: Relayed, monkeypatch: pytest.MonkeyPatch, dropped: int) -> None:
    """With one check taken out, exactly the receipt that it refuses gets through."""
    right = receipts._checks

    def wrong(*facts: Any) -> tuple[tuple[bool, str], ...]:
        checks = right(*facts)
        assert len(checks) == len(CHECKED)
        return checks[:dropped] + checks[dropped + 1 :]

    monkeypatch.setattr(receipts, "_checks", wrong)
    for name in CHECKED:
        command = keyed.device.command("trigger_upload")["id"]
        said = keyed.receipt("executed", BODY, **{"jti": command, **WRONG[name]})
        through = keyed.report(command, {**BODY, "receipt": keyed.sign(said)}).status_code == 200
        assert through == (name == CHECKED[dropped])


@pytest.mark.parametrize("status", ["executed", "failed", "state", "recorded"])
def test_an_acknowledgement_must_be_signed_as_one(keyed: Relayed, status: str) -> None:
    command = keyed.device.command()["id"]
    answer = keyed.ack(command, receipt=keyed.sign(keyed.receipt(status, jti=command)))
    assert counts_for_nothing(keyed, command, answer)


@pytest.mark.parametrize("jws", [False, True])
def test_what_another_key_signed_counts_for_nothing(keyed: Relayed, jws: bool) -> None:
    command = keyed.device.command()["id"]
    said = keyed.receipt("executed", BODY, jti=command)
    answer = keyed.report(command, {**BODY, "receipt": keyed.sign(said, jws=jws, key=new_key())})
    assert counts_for_nothing(keyed, command, answer)


def test_what_another_device_signed_with_its_own_key_counts_for_nothing(world: ContractWorld, keyed: Relayed) -> None:
    other = relayed(world, keyed=True)
    command = keyed.device.command()["id"]
    said = other.receipt("executed", BODY, jti=command, device=keyed.device.id)
    assert counts_for_nothing(keyed, command, keyed.report(command, {**BODY, "receipt": other.sign(said)}))


def _changed(text: str) -> list[str]:
    """The receipt with one character changed, at a spread of places."""
    return [text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :] for at in range(0, len(text), 7)]


@pytest.mark.parametrize("jws", [False, True])
def test_a_receipt_with_one_character_changed_counts_for_nothing(keyed: Relayed, jws: bool) -> None:
    command = keyed.device.command()["id"]
    right = keyed.sign(keyed.receipt("executed", BODY, jti=command), jws=jws)
    for wrong in _changed(right):
        assert is_refused(keyed.report(command, {**BODY, "receipt": wrong}), 400, Code.INVALID_REQUEST, "receipt")
    assert keyed.device.story(command) == ["created"]


@pytest.mark.parametrize(
    "other",
    [
        {"status": "failed"},
        {"status": "executed", "result": None},
        {"status": "executed", "result": {**BODY["result"], "n": 2}},
        {"status": "executed", "result": {**BODY["result"], "more": 1}},
        {**BODY, "executed_at": "2027-01-01T00:00:00Z"},
        {**BODY, "error": {"code": "x"}},
    ],
)
def test_a_body_that_was_changed_on_its_way_counts_for_nothing(keyed: Relayed, other: dict[str, Any]) -> None:
    command = keyed.device.command()["id"]
    signed = keyed.sign(keyed.receipt("executed", BODY, jti=command))
    assert counts_for_nothing(keyed, command, keyed.report(command, {**other, "receipt": signed}))


@pytest.mark.parametrize(
    "extra", [b'"status":"failed"', b'"result":{"recording_id":"rec_2"}', b'"result":null', b'"executed_at":null']
)
@pytest.mark.parametrize("first", [True, False])
def test_a_field_said_twice_says_nothing_else_than_what_was_signed(keyed: Relayed, extra: bytes, first: bool) -> None:
    command = keyed.device.command()["id"]
    signed = json.dumps({**BODY, "receipt": keyed.sign(keyed.receipt("executed", BODY, jti=command))}).encode()
    text = b"{" + extra + b"," + signed[1:] if first else signed[:-1] + b"," + extra + b"}"
    answer = keyed.call("POST", f"{keyed.path}/commands/{command}/report", content=text)
    if answer.status_code == 200:
        seen = keyed.device.read(command)
        assert (seen["status"], seen["result"]) == (BODY["status"], BODY["result"])
    else:
        assert counts_for_nothing(keyed, command, answer)


JUNK = [
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "eyJhbGciOiJub25lIn0..",
    "0oRA",
    "=" * 10,
    "é",
    "\u2028",
    "A" * 2048,
    "x" * 2049,
    b64url(b"\xd2\x84\x43\xa1\x01\x27\xa0\x40\x40"),
    b64url(b"\xd1\x84\x43\xa1\x01\x04\xa0\x40\x40"),
    b64url(b"\x9f" * 1000),
    b64url(b"\xd2" * 500),
    b64url(b"{" * 900),
]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_refused_as_a_receipt_wherever_one_may_be(keyed: Relayed, junk: str) -> None:
    command = keyed.device.command()["id"]
    started = {"id": "rec_4Zp0Yv3mQ2k8Xc7Rt1Ws9B", "started_at": "2027-01-01T00:00:00Z", "receipt": junk}
    for answer in (
        keyed.ack(command, receipt=junk),
        keyed.report(command, {**BODY, "receipt": junk}),
        keyed.heartbeat(receipt=junk),
        keyed.call("POST", f"{keyed.path}/recordings", json=started),
    ):
        assert counts_for_nothing(keyed, command, answer)


@pytest.mark.parametrize("kind", [1, True, [], {}, ["x"]])
def test_a_receipt_that_is_no_text_is_refused(keyed: Relayed, kind: Any) -> None:
    command = keyed.device.command()["id"]
    assert counts_for_nothing(keyed, command, keyed.ack(command, receipt=kind))


def test_null_is_no_receipt(keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    assert keyed.ack(command, receipt=None).status_code == 202


@pytest.mark.parametrize("text", ["9007199254740993", "1e400", "[" * 30 + "]" * 30])
def test_a_body_without_a_canonical_form_can_not_be_signed(keyed: Relayed, text: str) -> None:
    command = keyed.device.command()["id"]
    signed = keyed.sign(keyed.receipt("executed", BODY, jti=command))
    content = b'{"status":"executed","result":{"n":%b},"receipt":"%b"}' % (text.encode(), signed.encode())
    answer = keyed.call("POST", f"{keyed.path}/commands/{command}/report", content=content)
    assert answer.status_code == 400
    assert keyed.device.story(command) == ["created"]


def test_a_device_without_a_key_has_signed_nothing(plain: Relayed) -> None:
    command = plain.device.command()["id"]
    said = plain.sign(plain.receipt("delivered", jti=command), key=new_key())
    assert counts_for_nothing(plain, command, plain.ack(command, receipt=said))
    assert plain.ack(command).json()["go"] is True


def test_a_receipt_opens_no_door_that_is_closed(world: ContractWorld, keyed: Relayed) -> None:
    command = keyed.device.command()["id"]
    world.call("DELETE", f"{keyed.device.path}/commands/{command}")
    assert is_refused(keyed.signed_ack(command), 409, Code.COMMAND_NO_GO)
    stop = keyed.device.command("stop_recording")["id"]
    assert keyed.signed_ack(stop).json()["go"] is True
    held = keyed.device.command()["id"]
    keyed.signed_ack(held)
    keyed.device.command("stop_recording")
    assert is_refused(keyed.signed_ack(held), 409, Code.COMMAND_NO_GO)


def test_a_key_that_was_registered_is_the_one_that_counts(world: ContractWorld) -> None:
    weak = world.call("POST", "/v1/devices", json={"serial_number": "weak", "public_key": "A" * 42 + "B"})
    assert is_refused(weak, 400, Code.INVALID_REQUEST, "public_key")
    key = new_key()
    device = world.device(public_key=public_half(key))
    assert world.get(device.path)["public_key"] == public_half(key)


def test_body_hash_is_that_of_the_canonical_form() -> None:
    assert receipt.body_hash(b'{"b":1,"a":"\\u00e9","receipt":"x"}') == receipt.body_hash('{"a":"é", "b":1.0}'.encode())
