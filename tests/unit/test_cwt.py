"""Grants, answers and receipts as bytes: what is signed is what is read, and nothing else passes."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolltape.codes import Failure
from rolltape.testing import answer_vectors, receipt_vectors
from rolltape.testing.cbor_by_hand import envelope, protected_header
from rolltape.testing.vector_world import (
    COMMAND,
    DEVICE,
    DEVICE_SIGNER,
    GEN,
    HMAC,
    IAT,
    ISS,
    KID,
    NOW,
    PUBLIC,
    RECORDING,
    SIGNER,
    claims,
)
from rolltape.wire import answer, cbor, cose, cwt, receipt
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.grant import authenticate, judge, sign
from rolltape.wire.ids import PACKED_BYTES, Prefix, new_id, pack, unpack
from rolltape.wire.keys import Ed25519Signer, HmacKey, Signer, Verifier, b64url, jwk, verifiers_from_jwks
from rolltape.wire.replay import ReplayRecord

KEYS: dict[str, Verifier] = {**verifiers_from_jwks({"keys": [jwk(PUBLIC)]}), HMAC.kid: HMAC}
DEVICE_KEY = receipt_vectors.device_key()
SIGNERS = pytest.mark.parametrize("signer", [SIGNER, HMAC], ids=["EdDSA", "HMAC"])
TIMES = st.integers(0, 62**8 - 1)
COUNTS = st.integers(0, 2**63 - 1)
PREFIXES: tuple[Prefix, ...] = ("dev", "cmd", "rec")


def ids(prefix: Prefix) -> st.SearchStrategy[str]:
    own = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=1, max_size=64)
    return TIMES.map(lambda now: new_id(prefix, now)) | own.map(lambda digits: f"{prefix}_{digits}")


PARAMS = st.dictionaries(st.text(max_size=20), st.none() | st.booleans() | COUNTS | st.text(max_size=20), max_size=5)
SAID = st.fixed_dictionaries(
    {
        "iss": st.binary(min_size=8, max_size=8).map(bytes.hex),
        "aud": ids("dev"),
        "jti": ids("cmd"),
        "seq": st.integers(1, 2**63 - 1),
        "gen": COUNTS,
        "iat": COUNTS,
        "nbf": COUNTS,
        "exp": COUNTS,
        "type": st.sampled_from([*cwt.TYPES, "blink", "type 7"]) | st.text(max_size=20),
        "params": PARAMS,
    }
)


def refusal(grant: bytes) -> Failure | None:
    """Why a grant is refused; None when it isn't."""
    try:
        authenticate(grant, KEYS, iss=ISS, aud=DEVICE, gen=GEN)
    except GrantRefused as refused:
        return refused.failure
    return None


@given(SAID)
@settings(max_examples=200, deadline=None)
def test_both_forms_say_the_same(said: dict[str, Any]) -> None:
    word = Claims(**said)
    for signer in (SIGNER, HMAC):
        forms = (sign(word, signer), cwt.sign(word, signer))
        read = [authenticate(form, KEYS, iss=said["iss"], aud=said["aud"], gen=said["gen"]) for form in forms]
        assert read == [word, word]


@SIGNERS
def test_every_single_flipped_bit_of_a_grant_is_refused(signer: Signer) -> None:
    good = cwt.sign(Claims(**claims()), signer)
    assert refusal(good) is None
    for bit in range(len(good) * 8):
        assert refusal(_flipped(good, bit)) is Failure.GRANT_INVALID, bit


@SIGNERS
def test_every_byte_left_out_doubled_or_behind_is_refused(signer: Signer) -> None:
    good = cwt.sign(Claims(**claims()), signer)
    for at in range(len(good)):
        assert refusal(good[:at]) is Failure.GRANT_INVALID, at
        assert refusal(good[:at] + good[at + 1 :]) is Failure.GRANT_INVALID, at
        assert refusal(good[: at + 1] + good[at:]) is Failure.GRANT_INVALID, at


def test_every_single_flipped_bit_of_an_answer_and_of_a_receipt_is_refused() -> None:
    for bit in range(len(answer_vectors.ALL) * 8):
        with pytest.raises(ValueError, match=r".+"):
            answer.read(_flipped(answer_vectors.ALL, bit), KEYS)
    data = receipt.sign(receipt.read(receipt_vectors.GOOD, DEVICE_KEY), DEVICE_SIGNER)
    for bit in range(len(data) * 8):
        with pytest.raises(ValueError, match=r".+"):
            receipt.read(b64url(_flipped(data, bit)), DEVICE_KEY)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(st.binary(max_size=1100))
@settings(max_examples=500, deadline=None)
def test_no_bytes_at_all_make_a_check_fall_over(data: bytes) -> None:
    for grant in (data, b"\xd2" + data, b"\xd1\x84" + data):
        assert refusal(grant) is Failure.GRANT_INVALID
        _only_value_errors(cose.take_apart, grant)
        _only_value_errors(answer.read, grant, KEYS)
        _only_value_errors(receipt.read, b64url(grant), DEVICE_KEY)


@given(
    st.text(max_size=2100)
    | st.lists(st.binary(max_size=300), min_size=3, max_size=3).map(lambda parts: ".".join(map(b64url, parts)))
)
@settings(max_examples=500, deadline=None)
def test_no_text_at_all_makes_a_receipt_fall_over(text: str) -> None:
    _only_value_errors(receipt.read, text, DEVICE_KEY)
    _only_value_errors(receipt.body_hash, text.encode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    max_leaves=8,
)
CBOR = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=33) | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=7) | st.dictionaries(st.integers(-2, 11), inside, max_size=4),
    max_leaves=10,
)
LIKELY = st.dictionaries(
    st.sampled_from([1, 3, 4, 5, 6, 7, 10, -65537, -65538, -65539]),
    CBOR
    | st.binary(min_size=8, max_size=8)
    | st.binary(min_size=16, max_size=16)
    | st.lists(CBOR, min_size=2, max_size=8),
)


@given(st.binary(max_size=200) | (CBOR | LIKELY).map(cbor.encode), st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_nothing_that_is_rightly_signed_makes_a_check_fall_over(payload: bytes, protected: bytes) -> None:
    """A server of another version, or a device's key in wrong hands, may sign anything."""
    for signer in (SIGNER, HMAC):
        for sealed in (envelope(payload, signer), envelope(payload, signer, protected=protected)):
            _only_value_errors(answer.read, sealed, KEYS)
            assert refusal(sealed) in {None, Failure.GRANT_INVALID}
    header = protected_header(DEVICE_SIGNER, kid=None)
    _only_value_errors(receipt.read, b64url(envelope(payload, DEVICE_SIGNER, protected=header)), DEVICE_KEY)
    _only_value_errors(receipt.read, receipt_vectors.jws_of(payload), DEVICE_KEY)


@given(st.dictionaries(st.sampled_from([*receipt.Receipt.__struct_fields__, "x"]), JSON))
@settings(max_examples=300, deadline=None)
def test_no_json_that_is_rightly_signed_makes_a_receipt_fall_over(facts: dict[str, Any]) -> None:
    _only_value_errors(receipt.read, receipt_vectors.jws_of(json.dumps(facts).encode("utf-8")), DEVICE_KEY)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
@settings(max_examples=300, deadline=None)
def test_the_hash_of_a_body_does_not_depend_on_how_it_is_written(body: dict[str, Any]) -> None:
    written = (
        json.dumps(body),
        json.dumps(dict(reversed(body.items())), indent=1, ensure_ascii=False),
        json.dumps({k: v for k, v in body.items() if k != "receipt"} | {"receipt": "x"}, separators=(",", ":")),
    )
    assert len({_hash_or_none(text) for text in written}) == 1


def _hash_or_none(text: str) -> bytes | None:
    try:
        return receipt.body_hash(text.encode())
    except ValueError:
        return None


def _only_value_errors(check: Any, *args: Any) -> None:
    with contextlib.suppress(ValueError):
        check(*args)


@given(SAID, st.none() | COUNTS, COUNTS, st.none() | COUNTS)
@settings(max_examples=200, deadline=None)
def test_whatever_a_grant_says_it_is_judged(
    said: dict[str, Any], now: int | None, highest: int, since: int | None
) -> None:
    with contextlib.suppress(GrantRefused):
        judge(Claims(**said), now_ms=now, replay=ReplayRecord(highest, 1), recording_since_seq=since)


ANSWERS = st.builds(
    answer.Answer,
    iss=st.binary(min_size=8, max_size=8).map(bytes.hex),
    aud=ids("dev"),
    nonce=st.binary(min_size=16, max_size=16),
    now=COUNTS,
    gen=COUNTS,
    jti=st.none() | ids("cmd"),
    go=st.none() | st.booleans(),
    seq_floor=st.none() | COUNTS,
    status=st.none() | st.sampled_from(["pending", "delivered", "executed", "failed", "expired", "cancelled"]),
    recording_id=st.none() | ids("rec"),
    sha256=st.none() | st.binary(min_size=32, max_size=32),
)
RECEIPTS = st.builds(
    receipt.Receipt,
    aud=st.binary(min_size=8, max_size=8).map(bytes.hex),
    device=ids("dev"),
    gen=COUNTS,
    counter=COUNTS,
    status=st.sampled_from(["state", "delivered", "executed", "failed", "recorded"]),
    hash=st.none() | st.binary(min_size=32, max_size=32),
    jti=st.none() | ids("cmd"),
    recording_id=st.none() | ids("rec"),
)


@given(ANSWERS)
@settings(max_examples=200, deadline=None)
def test_an_answer_says_what_was_signed(said: answer.Answer) -> None:
    for signer in (SIGNER, HMAC):
        assert answer.read(answer.sign(said, signer), KEYS) == said


@given(RECEIPTS)
@settings(max_examples=200, deadline=None)
def test_a_receipt_says_what_was_signed(said: receipt.Receipt) -> None:
    assert receipt.read(b64url(receipt.sign(said, DEVICE_SIGNER)), DEVICE_KEY) == said
    assert receipt.read(receipt.sign_jws(said, DEVICE_SIGNER), DEVICE_KEY) == said


@given(st.binary(max_size=500), st.text("abcdefghijklmnop-0123456789", max_size=20))
@settings(max_examples=200, deadline=None)
def test_an_envelope_holds_what_was_put_into_it(payload: bytes, kid: str) -> None:
    secret = HmacKey(kid, bytes(32))
    assert cose.opened(cose.seal(payload, secret), {kid: secret}) == payload
    assert cose.opened(cose.seal(payload, SIGNER), KEYS) == payload
    bare = cose.take_apart(cose.seal(payload, DEVICE_SIGNER, with_kid=False))
    assert (bare.kid, bare.payload, bare.is_by(DEVICE_KEY), bare.is_by(KEYS[KID])) == (None, payload, True, False)


def test_a_mac_is_the_one_of_the_working_groups_example() -> None:
    """COSE's working group, Examples, hmac-examples/HMac-enc-05.json: HMAC-SHA256/64 with a direct key."""
    secret = bytes.fromhex("849b57219dae48de646d07dbb533566e976686457c1491be3a76dcea6c427188")
    published = bytes.fromhex("d18443a10104a054546869732069732074686520636f6e74656e742e4811f9e357975fb849")
    key = HmacKey("our-secret", secret)
    assert cose.seal(b"This is the content.", key, with_kid=False) == published
    assert cose.take_apart(published).is_by(key)


@given(st.sampled_from(PREFIXES), TIMES)
@settings(max_examples=300, deadline=None)
def test_every_id_that_the_server_makes_has_16_bytes(prefix: Prefix, now: int) -> None:
    made = new_id(prefix, now)
    packed = pack(prefix, made)
    assert isinstance(packed, bytes)
    assert len(packed) == PACKED_BYTES
    assert unpack(prefix, packed) == made


@given(ids("rec"))
@settings(max_examples=300, deadline=None)
def test_every_id_comes_back_from_what_was_packed(text: str) -> None:
    assert unpack("rec", pack("rec", text)) == text


@given(CBOR)
@settings(max_examples=300, deadline=None)
def test_whatever_was_not_packed_is_an_id_or_a_value_error(packed: Any) -> None:
    with contextlib.suppress(ValueError):
        text = unpack("cmd", packed)
        assert unpack("cmd", pack("cmd", text)) == text


@pytest.mark.parametrize(
    "wrong", [{"iss": "x"}, {"iss": "1F2E3D4C5B6A7988"}, {"iss": "00"}, {"aud": "dev_"}, {"jti": "x"}]
)
def test_a_grant_that_could_not_be_read_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        cwt.sign(Claims(**claims(**wrong)), SIGNER)


def test_a_grant_that_would_be_too_long_or_too_deep_is_not_made() -> None:
    with pytest.raises(ValueError, match="make params smaller"):
        cwt.sign(Claims(**claims(params={"x": "x" * cose.MAX_BYTES})), SIGNER)
    with pytest.raises(ValueError, match="deeper"):
        cwt.sign(Claims(**claims(params={"x": json.loads("[" * 6 + "]" * 6)})), SIGNER)
    with pytest.raises(ValueError, match="base64url"):
        cwt.sign(Claims(**claims()), Ed25519Signer("no kid", SIGNER.key))


def test_an_answer_to_no_nonce_is_not_made() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        answer.sign(answer.Answer(iss=ISS, aud=DEVICE, nonce=b"", now=NOW, gen=GEN), SIGNER)


@pytest.mark.parametrize("wrong", [{"aud": "x"}, {"device": "x"}, {"jti": "x"}, {"recording_id": COMMAND}])
def test_a_receipt_that_could_not_be_read_is_not_made(wrong: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"aud": ISS, "device": DEVICE, "gen": GEN, "counter": 1, "status": "recorded"}
    with pytest.raises(ValueError, match=r".+"):
        receipt.sign(receipt.Receipt(**usual | {"recording_id": RECORDING} | wrong), DEVICE_SIGNER)


@pytest.mark.parametrize("changed", [{}, {"seq": 2**53, "gen": 2**53}], ids=["usual", "large"])
@SIGNERS
def test_a_usual_start_has_at_most_180_bytes(signer: Signer, changed: dict[str, Any]) -> None:
    made = {"aud": new_id("dev", IAT * 1000), "jti": new_id("cmd", IAT * 1000)}
    data = cwt.sign(Claims(**claims(**made, **changed)), signer)
    assert len(data) <= 180
    assert len(data) * 2 < len(sign(Claims(**claims(**made, **changed)), signer))
