"""The bytes in docs/grants.md and docs/protocol.md are what the code makes and takes."""

import hashlib
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from rolltape.codes import Failure
from rolltape.testing import answer_vectors, cose_layout, receipt_vectors
from rolltape.testing.grant_vectors import token
from rolltape.testing.vector_world import COMMAND, DEVICE, DEVICE_SIGNER, GEN, HMAC, ISS, NOW, PUBLIC, SIGNER, claims
from rolltape.wire import answer, cbor, channel, cose, cwt, receipt
from rolltape.wire.claims import Claims
from rolltape.wire.command import Pending, Report, Status
from rolltape.wire.heartbeat import Heartbeat, HeartbeatAnswer
from rolltape.wire.keys import b64url, jwk, un_b64url
from rolltape.wire.recording import CreateRecording, UploadComplete, UploadUrlRequest
from rolltape.wire.replay import ReplayRecord

DOCS = Path(__file__).parents[2] / "docs"
GRANTS = (DOCS / "grants.md").read_text("utf-8")
ANSWERS = (DOCS / "answers.md").read_text("utf-8")
PROTOCOL = (DOCS / "protocol.md").read_text("utf-8")
SHAPES = {
    shape.__name__: shape
    for shape in (
        Heartbeat,
        HeartbeatAnswer,
        Pending,
        Report,
        CreateRecording,
        UploadUrlRequest,
        UploadComplete,
    )
}
FRAMES = {shape.__name__: shape for shape in (*channel.DEVICE_FRAMES.values(), *get_args(channel.ServerFrame))}
FRAME_EXAMPLES = re.findall(r"<!-- frame: (\w+) -->\n```json\n(.*?)```", PROTOCOL, re.DOTALL)
EXAMPLES = re.findall(r"<!-- shape: (\w+) -->\n```json\n(.*?)```", PROTOCOL, re.DOTALL)


def example(name: str, page: str = GRANTS) -> str:
    """The block of a page with that name."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert found is not None, name
    return found[1].strip()


def test_the_worked_grant_is_the_one_that_the_code_makes() -> None:
    made = token(claims())
    head, body, signature = made.split(".")
    assert example("token") == made
    assert example("header").encode() == un_b64url(head)
    assert example("claims").encode() == un_b64url(body)
    assert bytes.fromhex(example("signature")) == un_b64url(signature)
    assert msgspec.json.decode(example("jwk")) == jwk(PUBLIC)
    assert f"The grant, {len(made)} characters" in GRANTS
    assert example("hs256") == token(claims(), HMAC)


def test_the_grants_as_bytes_are_the_ones_that_the_code_makes() -> None:
    for signer, page in ((SIGNER, "grant"), (HMAC, "MAC")):
        made = cwt.sign(Claims(**claims()), signer)
        part = GRANTS.split(f"<!-- {page} as bytes")[1].split("<!-- end of")[0]
        pieces, whole = (block.strip() for block in re.findall(r"```text\n(.*?)```", part, re.DOTALL))
        assert bytes.fromhex(whole) == made
        assert b"".join(bytes.fromhex(line.split()[0]) for line in pieces.splitlines()) == made
        assert f"All {len(made)} bytes" in part
    assert f"a usual start has\n{len(cwt.sign(Claims(**claims()), SIGNER))} bytes" in GRANTS


def test_the_page_on_bytes_names_every_number_of_the_code() -> None:
    form = GRANTS.split("## As bytes: CWT")[1].split("## Keys")[0]
    for name, number in (cwt.TYPES | cwt.PARAMS).items():
        assert f"{number} `{name}`" in form
    for key in (cwt.ISS, cwt.AUD, cwt.NBF, cwt.CTI, cwt.COMMAND):
        assert f"| {key} | " in form
    assert f"| {cwt.EXP}, {cwt.IAT} | `exp`, `iat` |" in form
    assert f"at most {cose.MAX_BYTES} bytes" in form
    assert f"at most {cbor.MAX_DEPTH} deep" in form


def test_the_receipts_on_the_page_are_the_ones_that_the_code_makes() -> None:
    body, canonical = example("body", ANSWERS), example("canonical", ANSWERS)
    assert receipt.body_hash(body.encode()) == hashlib.sha256(canonical.encode()).digest()
    assert f"the hash `{receipt.body_hash(body.encode()).hex()}`" in ANSWERS
    word = receipt.read(example("jws", ANSWERS), receipt_vectors.device_key())
    assert word == receipt.read(receipt_vectors.GOOD, receipt_vectors.device_key())
    assert word.hash == receipt.body_hash(body.encode())
    assert b64url(receipt.sign(word, DEVICE_SIGNER)) == receipt_vectors.GOOD
    assert receipt.sign(word, DEVICE_SIGNER).hex() in ANSWERS.replace("\n", "")


def test_the_answer_on_the_page_is_the_one_that_the_code_makes() -> None:
    said = answer.Answer(iss=ISS, aud=DEVICE, nonce=answer_vectors.NONCE, now=NOW, gen=GEN, jti=COMMAND, go=True)
    assert answer.sign(said, SIGNER).hex() in ANSWERS.replace("\n", "")
    statuses = get_args(Status)
    assert ", ".join(f"{i} `{status}`" for i, status in enumerate(statuses)) in ANSWERS
    assert f"at most {answer.NONCE_SECONDS} s ago" in ANSWERS
    for keys in (cose_layout.ANSWER, cose_layout.RECEIPT):
        assert all(str(key) in ANSWERS for key in keys)


def test_the_replay_records_are_the_ones_that_the_code_writes() -> None:
    first = ReplayRecord().mark(1000)
    second = first.mark(1002)
    shown = {
        "a new device": ReplayRecord(),
        "1000 was used": first,
        "1002 was used": second,
        "a stop with 1005 was seen": second.saw_stop(1005),
    }
    for what, record in shown.items():
        assert f"| {what} | {fields(record)} |" in GRANTS
    assert fields(ReplayRecord().raised_to(2000)) in GRANTS
    last = shown["a stop with 1005 was seen"]
    assert [last.used(seq) for seq in (1001, 1000, 1002, 874, 875)] == [False, True, True, True, False]


def fields(record: ReplayRecord) -> str:
    """The three fields in hex, as the page shows them."""
    data = record.to_bytes().hex()
    return f"`{data[:16]}` `{data[16:48]}` `{data[48:]}`"


@pytest.mark.parametrize(("shape", "text"), EXAMPLES, ids=[f"{i}-{name}" for i, (name, _) in enumerate(EXAMPLES)])
def test_an_example_of_the_protocol_is_what_the_wire_takes(shape: str, text: str) -> None:
    value = msgspec.json.decode(text, type=SHAPES[shape])
    said = set(msgspec.json.decode(text))
    assert said <= set(SHAPES[shape].__struct_fields__)
    assert isinstance(value, SHAPES[shape])


@pytest.mark.parametrize(("shape", "text"), FRAME_EXAMPLES, ids=[name for name, _ in FRAME_EXAMPLES])
def test_an_example_of_a_frame_is_what_the_channel_takes(shape: str, text: str) -> None:
    kind = FRAMES[shape]
    assert isinstance(msgspec.json.decode(text, type=kind), kind)
    assert set(msgspec.json.decode(text)) <= {"type", *kind.__struct_encode_fields__}


def test_every_frame_has_an_example_and_every_close_code_a_row() -> None:
    assert {name for name, _ in FRAME_EXAMPLES} == set(FRAMES)
    table = PROTOCOL.split("| close code |")[1].split("\n\n")[0]
    told = {int(code) for line in table.splitlines() for code in re.findall(r"\d{4}", line.split("|")[1])}
    assert told - {1007} == set(channel.Close)


def test_the_protocol_says_the_channels_own_numbers() -> None:
    told = PROTOCOL.split("### Silence, and the end")[1]
    for number in (channel.PING_SEC, channel.METERED_PING_SEC, channel.SILENCE_SEC, channel.METERED_SILENCE_SEC):
        assert str(number) in told
    assert channel.SUBPROTOCOL in PROTOCOL


def test_every_shape_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == set(SHAPES)


def test_the_offer_in_the_protocol_carries_the_worked_grant() -> None:
    pending = next(text for name, text in EXAMPLES if name == "Pending")
    assert msgspec.json.decode(pending, type=Pending).commands[0].grant_token == token(claims())


def test_the_protocol_names_every_failure_code_and_no_other() -> None:
    table = PROTOCOL.split("Failure codes:")[1].split("### Report")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(str(code) for code in Failure)
