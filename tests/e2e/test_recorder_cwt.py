"""A recorder judges a grant as bytes by the same check and the same replay record as one that is text."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.codes import Failure
from rolltape.recorder.check import check
from rolltape.recorder.parts import Parts
from rolltape.testing.cose_layout import Piece, layout
from rolltape.testing.recorder import FakeRecorder
from rolltape.testing.script_server import ScriptCommand, ScriptServer
from rolltape.wire import cwt
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.keys import Ed25519Signer, HmacKey, b64url, un_b64url
from tests.e2e.recorder_rig import recorder_of, rig, started

SECRET = bytes(range(32))
NOBODY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@contextmanager
def hmac_rig(folder: Path) -> Iterator[tuple[ScriptServer, FakeRecorder]]:
    """A server and a recorder that share a secret."""
    shared = {"grant_kid": "hs-1", "grant_secret": b64url(SECRET)}
    server = ScriptServer(signer=HmacKey("hs-1", SECRET))
    with server, recorder_of(server, folder, **shared) as recorder:
        server.wait_until(lambda: server.calls["pending"] > 0, "the first poll")
        yield server, recorder


RIGS = pytest.mark.parametrize("world", [rig, hmac_rig], ids=["EdDSA", "HMAC"])


def made(server: ScriptServer, type: str = "start_recording") -> ScriptCommand:
    """A command that is offered to nobody."""
    return server.command(type, {"max_duration_sec": 60}, offer=False)


def as_bytes(server: ScriptServer, command: ScriptCommand, signer: Any = None, **changes: Any) -> bytes:
    """The command's grant as bytes; `changes` replace claims."""
    said = msgspec.json.decode(un_b64url(command.grant.split(".")[1])) | changes
    return cwt.sign(Claims(**said), signer or server.signer)


def refusal(recorder: FakeRecorder, grant: bytes) -> Failure | None:
    """Why the recorder refuses a grant; None when it takes it."""

    def ask(parts: Parts) -> Failure | None:
        try:
            check(parts, grant)
        except GrantRefused as refused:
            return refused.failure
        return None

    answer: Failure | None = recorder.ask(ask)
    return answer


def untouched(recorder: FakeRecorder) -> bool:
    """Whether nothing was recorded, noted or marked."""
    record, entries = recorder.ask(lambda parts: (parts.replay.record, parts.journal.all()))
    return recorder.microphone.opened == 0 and (record.highest, record.highest_stop, entries) == (0, 0, [])


@RIGS
def test_a_grant_as_bytes_says_what_it_says_as_text(world: Any, tmp_path: Path) -> None:
    with world(tmp_path) as (server, recorder):
        command = made(server)
        as_text = recorder.ask(lambda parts: check(parts, command.grant))
        assert recorder.ask(lambda parts: check(parts, as_bytes(server, command))) == as_text


@RIGS
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "0" * 16}, Failure.GRANT_INVALID),
        ({"aud": "dev_1"}, Failure.GRANT_INVALID),
        ({"gen": 0}, Failure.GRANT_INVALID),
        ({"gen": 2}, Failure.GRANT_INVALID),
        ({"seq": 0}, Failure.GRANT_INVALID),
        ({"seq": 2**63}, Failure.GRANT_INVALID),
        ({"exp": 1}, Failure.GRANT_EXPIRED),
        ({"nbf": 2**40}, Failure.GRANT_EXPIRED),
        ({"type": "blink"}, Failure.UNSUPPORTED_TYPE),
    ],
    ids=str,
)
def test_a_grant_of_another_claim_is_refused(
    world: Any, tmp_path: Path, changes: dict[str, Any], code: Failure
) -> None:
    with world(tmp_path) as (server, recorder):
        assert refusal(recorder, as_bytes(server, made(server), **changes)) is code
        assert untouched(recorder)


@pytest.mark.parametrize(
    "changed", [{}, {"seq": 9}, {"exp": 2**40}, {"type": "stop_recording"}, {"params": {}}], ids=str
)
def test_a_grant_that_somebody_else_signed_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    with rig(tmp_path) as (server, recorder):
        forger = Ed25519Signer(server.signer.kid, NOBODY)
        with_public_key = HmacKey(server.signer.kid, server.public)
        for signer in (forger, with_public_key):
            assert refusal(recorder, as_bytes(server, made(server), signer, **changed)) is Failure.GRANT_INVALID
        assert untouched(recorder)


@RIGS
@pytest.mark.parametrize("type_", ["start_recording", "stop_recording"])
def test_a_bit_flipped_in_any_piece_is_refused_and_leaves_no_trace(world: Any, tmp_path: Path, type_: str) -> None:
    with world(tmp_path) as (server, recorder):
        good = as_bytes(server, made(server, type_))
        for piece in layout(good):
            for changed in flips(good, piece):
                assert refusal(recorder, changed) is Failure.GRANT_INVALID, piece.name
        assert untouched(recorder)


def flips(good: bytes, piece: Piece) -> Iterator[bytes]:
    """The lowest and the highest bit of the first and of the last byte of a piece, flipped."""
    for at in {piece.at, piece.at + len(piece.data) - 1}:
        for bit in (1, 128):
            yield good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :]


@RIGS
def test_a_grant_that_was_obeyed_as_text_is_replayed_as_bytes(world: Any, tmp_path: Path) -> None:
    with world(tmp_path) as (server, recorder):
        command = started(server)
        assert refusal(recorder, as_bytes(server, command)) is Failure.GRANT_REPLAYED
        assert recorder.microphone.opened == 1


@RIGS
def test_a_grant_that_was_marked_as_bytes_is_replayed_as_text(world: Any, tmp_path: Path) -> None:
    with world(tmp_path) as (server, recorder):
        command = made(server)
        grant = as_bytes(server, command)
        recorder.ask(lambda parts: parts.replay.mark(check(parts, grant).seq))
        assert refusal(recorder, grant) is Failure.GRANT_REPLAYED
        server.offer(command)
        assert server.wait_status(command, "failed").error == Failure.GRANT_REPLAYED
        assert recorder.microphone.opened == 0


@RIGS
def test_a_stop_that_came_as_bytes_keeps_an_older_start_from_beginning(world: Any, tmp_path: Path) -> None:
    with world(tmp_path) as (server, recorder):
        start = made(server)
        stop = made(server, "stop_recording")
        assert refusal(recorder, as_bytes(server, stop)) is None
        assert refusal(recorder, as_bytes(server, start)) is Failure.SUPERSEDED
        server.offer(start)
        assert server.wait_status(start, "failed").error == Failure.SUPERSEDED
        assert recorder.microphone.opened == 0


def test_a_lost_replay_record_refuses_bytes_too(tmp_path: Path) -> None:
    with rig(tmp_path) as (server, recorder):
        started(server)
        recorder.stop()
        (tmp_path / "state" / "replay").write_bytes(b"")
        server.offline = True
        with recorder_of(server, tmp_path) as again:
            assert refusal(again, as_bytes(server, made(server))) is Failure.REPLAY_STATE_LOST
