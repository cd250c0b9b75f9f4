"""docs/relay.md: its bytes, its shapes and its numbers are those of the code."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.config import Settings
from rolltape.delivery.relay_stream import BEGIN, KEEP_ALIVE_SECONDS
from rolltape.store.inputs import TOKEN_STORY_MS
from rolltape.store.operations.relays import MAX_CLAIMS
from rolltape.testing import vector_world as world
from rolltape.testing.grant_vectors import token
from rolltape.web.table import OPERATIONS
from rolltape.web.waiting import POLLS_PER_DEVICE
from rolltape.wire import answer, cwt, receipt
from rolltape.wire import relay as wire
from rolltape.wire.answer import NONCE_BYTES, NONCE_SECONDS, Answer
from rolltape.wire.claims import Claims
from rolltape.wire.keys import Ed25519Signer, b64url
from rolltape.wire.receipt import MAX_TEXT, Receipt

PAGE = (Path(__file__).parents[2] / "docs" / "relay.md").read_text("utf-8")
SHAPES = re.findall(r"<!-- shape: (\w+) -->\n(?:<!-- example: \w+ -->\n)?```json\n(.*?)```", PAGE, re.DOTALL)
DEVICE = Ed25519Signer("mine", Ed25519PrivateKey.from_private_bytes(bytes(range(0x20, 0x40))))


def example(name: str) -> str:
    """The block with that name."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1].strip()


def shown(name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(example(name))
    return found


@pytest.mark.parametrize(("shape", "text"), SHAPES, ids=[name for name, _ in SHAPES])
def test_a_shape_on_the_page_is_what_the_wire_takes(shape: str, text: str) -> None:
    kind = getattr(wire, shape)
    msgspec.json.decode(text, type=kind)
    assert set(msgspec.json.decode(text)) <= set(kind.__struct_fields__)


def test_every_call_of_the_plane_is_on_the_page() -> None:
    missing = [op.path for op in OPERATIONS if (op.relay or "relay" in op.path) and op.path not in PAGE]
    assert missing == []


def test_the_grants_on_the_page_are_one_grant() -> None:
    (text,) = (text for name, text in SHAPES if name == "RelayCommands")
    (offer,) = msgspec.json.decode(text, type=wire.RelayCommands).commands
    assert offer.grant_token == token(world.claims())
    assert offer.grant_cwt == b64url(cwt.sign(Claims(**world.claims()), world.SIGNER))


def test_the_answer_on_the_page_is_the_one_that_the_code_makes() -> None:
    said = Answer(
        iss=world.ISS,
        aud=world.DEVICE,
        nonce=bytes(range(NONCE_BYTES)),
        now=world.NOW,
        gen=world.GEN,
        jti=world.COMMAND,
        go=True,
        status="pending",
    )
    assert shown("answer") == {"answer_cwt": b64url(answer.sign(said, world.SIGNER))}


def test_the_receipts_on_the_page_are_the_ones_that_the_code_makes() -> None:
    def said(counter: int, status: Any, hash_: bytes | None) -> Receipt:
        facts: dict[str, Any] = {"aud": world.ISS, "device": world.DEVICE, "gen": world.GEN, "jti": world.COMMAND}
        return Receipt(**facts, counter=counter, status=status, hash=hash_)

    report = shown("report")
    hash_ = receipt.body_hash(example("report").encode())
    assert hash_.hex() == example("hash")
    assert receipt.body_hash(example("canonical").encode()) == hash_
    assert msgspec.json.decode(example("canonical")) == {k: v for k, v in report.items() if k != "receipt"}
    assert report["receipt"] == b64url(receipt.sign(said(42, "executed", hash_), DEVICE))
    assert example("jws") == receipt.sign_jws(said(42, "executed", hash_), DEVICE)
    assert shown("ack") == {"receipt": b64url(receipt.sign(said(41, "delivered", None), DEVICE))}
    assert f"`{b64url(DEVICE.key.public_key().public_bytes_raw())}`" in PAGE


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    days, grants = TOKEN_STORY_MS // 86_400_000, Settings().relay_grant_seconds
    assert (MAX_CLAIMS, MAX_TEXT, NONCE_SECONDS, POLLS_PER_DEVICE) == (16, 2048, 60, 2)
    assert (days, grants, wire.MAX_DEVICES, wire.DEFAULT_TTL_SECONDS) == (8, 900, 1000, 3600)
    for words in (
        "16 a command",
        "2048 characters",
        "at most 60 s",
        "8 days",
        "900 s ahead",
        "two polls",
        "(up to 1000)",
    ):
        assert words in PAGE
    assert f"quiet for {KEEP_ALIVE_SECONDS:g} s" in PAGE
    assert BEGIN.decode().strip() in PAGE
