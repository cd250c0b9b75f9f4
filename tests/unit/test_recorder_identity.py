"""Who the recorder is: learned once for a token, kept over a restart, with two tokens while one is fresh."""

from pathlib import Path
from typing import Any

import pytest

from rolltape.backoff import Backoff
from rolltape.recorder.identity import Identity, KeyRing
from rolltape.testing.vector_world import KID, PUBLIC
from rolltape.wire.keys import b64url, jwk


def identity(folder: Path, token: str = "dtok_1") -> Identity:
    return Identity(folder / "identity", token)


def test_what_was_learned_is_there_after_a_restart(tmp_path: Path) -> None:
    first = identity(tmp_path)
    assert not first.has_past
    first.learn(device_id="dev_1", iss="i", generation=3)
    again = identity(tmp_path)
    assert again.has_past
    assert (again.known.device_id, again.known.iss, again.known.generation) == ("dev_1", "i", 3)


def test_device_and_deployment_stay_and_the_generation_moves(tmp_path: Path) -> None:
    known = identity(tmp_path)
    known.learn(device_id="dev_1", iss="i", generation=3)
    known.learn(device_id="dev_2", iss="j", generation=4)
    known.learn(device_id=None, iss=None, generation=None)
    assert (known.known.device_id, known.known.iss, known.known.generation) == ("dev_1", "i", 4)


def test_a_new_token_has_everything_learned_anew_but_the_switch_and_the_owner_of_the_replay_record(
    tmp_path: Path,
) -> None:
    old = identity(tmp_path)
    old.learn(device_id="dev_1", iss="i", generation=3)
    old.change(muted=True, ended=True, replay_device="dev_1", jwks={"keys": [jwk(PUBLIC)]})
    new = identity(tmp_path, "dtok_2").known
    assert (new.device_id, new.iss, new.generation, new.jwks, new.ended) == (None, None, None, None, False)
    assert (new.token, new.muted, new.replay_device) == ("dtok_2", True, "dev_1")


def test_both_tokens_are_kept_until_the_fresh_one_has_worked(tmp_path: Path) -> None:
    known = identity(tmp_path)
    known.change(next_token="dtok_2")
    assert known.tokens() == ["dtok_2", "dtok_1"]
    known.worked("dtok_1")
    assert identity(tmp_path).tokens() == ["dtok_2", "dtok_1"]
    known.worked("dtok_2")
    assert identity(tmp_path).tokens() == ["dtok_2"]


def test_a_damaged_identity_begins_anew_and_knows_that_there_was_one(tmp_path: Path) -> None:
    identity(tmp_path).learn(device_id="dev_1", iss="i", generation=3)
    (tmp_path / "identity").write_bytes(b"\xff")
    again = identity(tmp_path)
    assert again.has_past
    assert again.known.device_id is None


def test_no_token_shows_in_a_repr(tmp_path: Path) -> None:
    assert "dtok_1" not in repr(identity(tmp_path).known)


def test_public_keys_replace_those_held_and_outlive_a_restart(tmp_path: Path) -> None:
    known = identity(tmp_path)
    ring = KeyRing(known, None, None)
    assert ring.wants_keys
    assert ring.take({"keys": [jwk(bytes(32)), jwk(PUBLIC)]})
    assert ring.take({"keys": [jwk(PUBLIC)]})
    assert not ring.take({"keys": [jwk(PUBLIC)]})
    assert list(KeyRing(identity(tmp_path), None, None).keys) == [KID]


def test_a_broken_jwks_changes_nothing(tmp_path: Path) -> None:
    ring = KeyRing(identity(tmp_path), None, None)
    ring.take({"keys": [jwk(PUBLIC)]})
    wrong: list[dict[str, Any]] = [{}, {"keys": []}, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "!"}]}]
    for broken in wrong:
        with pytest.raises(ValueError, match=r".+"):
            ring.take(broken)
    assert list(ring.keys) == [KID]


def test_a_device_with_a_shared_secret_holds_nothing_else(tmp_path: Path) -> None:
    ring = KeyRing(identity(tmp_path), "hs-1", b64url(bytes(32)))
    assert not ring.wants_keys
    assert not ring.take({"keys": [jwk(PUBLIC)]})
    assert list(ring.keys) == ["hs-1"]


@pytest.mark.parametrize("secret", ["", "AAAA", "not base64url!"])
def test_a_shared_secret_that_can_not_be_one_is_refused(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ValueError, match="bind"):
        KeyRing(identity(tmp_path), "hs-1", secret)


def test_waits_double_up_to_a_limit_and_spread_out() -> None:
    backoff = Backoff(0.5, 60.0)
    waits = [backoff.next() for _ in range(12)]
    wholes = [min(60.0, 0.5 * 2**n) for n in range(12)]
    assert all(whole / 2 <= wait <= whole for wait, whole in zip(waits, wholes, strict=True))
    backoff.succeeded()
    assert backoff.next() <= 0.5
