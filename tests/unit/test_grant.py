"""The grant: what `sign` makes, and that nothing else passes `authenticate`."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from rolltape.codes import Failure
from rolltape.testing.vector_world import DEVICE, GEN, HMAC, ISS, KID, PUBLIC, SECRET, SIGNER, claims
from rolltape.wire.claims import Claims, GrantRefused
from rolltape.wire.grant import MAX_TOKEN_BYTES, authenticate, sign
from rolltape.wire.keys import Ed25519Verifier, Verifier, b64url, ed25519_kid, jwk, un_b64url, verifiers_from_jwks

KEYS: dict[str, Verifier] = {KID: Ed25519Verifier(Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key())}


def refusal(token: str, **other: object) -> Failure | None:
    """Why a token is refused; None when it isn't."""
    known = {"iss": ISS, "aud": DEVICE, "gen": GEN} | other
    try:
        authenticate(token, KEYS, **known)  # type: ignore[arg-type]
    except GrantRefused as refused:
        return refused.failure
    return None


def test_a_signed_grant_says_what_was_signed() -> None:
    said = authenticate(sign(Claims(**claims()), SIGNER), KEYS, iss=ISS, aud=DEVICE, gen=GEN)
    assert said == Claims(**claims())


def test_the_same_claims_give_the_same_token() -> None:
    assert sign(Claims(**claims()), SIGNER) == sign(Claims(**claims()), SIGNER)
    assert sign(Claims(**claims()), HMAC) == sign(Claims(**claims()), HMAC)


def test_the_header_has_alg_typ_and_kid_alone() -> None:
    head = json.loads(un_b64url(sign(Claims(**claims()), SIGNER).split(".", maxsplit=1)[0]))
    assert head == {"alg": "EdDSA", "typ": "JWT", "kid": KID}


def test_every_single_flipped_bit_is_refused() -> None:
    good = sign(Claims(**claims()), SIGNER).split(".")
    for part in range(3):
        data = un_b64url(good[part])
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            token = ".".join(b64url(bytes(changed)) if i == part else text for i, text in enumerate(good))
            assert refusal(token) is Failure.GRANT_INVALID, (part, bit)


def test_every_single_changed_character_is_refused() -> None:
    good = sign(Claims(**claims()), SIGNER)
    for i, digit in enumerate(good):
        for other in ("A", "9", "=", ".", "\x00"):
            if other != digit:
                assert refusal(good[:i] + other + good[i + 1 :]) is Failure.GRANT_INVALID, (i, other)


@given(st.text(max_size=1200))
@settings(max_examples=200)
def test_no_text_at_all_makes_the_check_fall_over(text: str) -> None:
    assert refusal(text) is Failure.GRANT_INVALID


@given(st.lists(st.binary(max_size=200), min_size=3, max_size=3))
@settings(max_examples=200)
def test_no_bytes_in_three_parts_make_the_check_fall_over(parts: list[bytes]) -> None:
    assert refusal(".".join(b64url(part) for part in parts)) is Failure.GRANT_INVALID


@pytest.mark.parametrize("other", [{"iss": "0" * 16}, {"aud": "dev_1"}, {"gen": GEN + 1}, {"gen": GEN - 1}])
def test_a_grant_for_somebody_else_is_refused(other: dict[str, object]) -> None:
    assert refusal(sign(Claims(**claims()), SIGNER), **other) is Failure.GRANT_INVALID


def test_a_grant_that_would_be_too_long_is_not_made() -> None:
    with pytest.raises(ValueError, match="make params smaller"):
        sign(Claims(**claims(params={"x": "x" * MAX_TOKEN_BYTES})), SIGNER)


def test_a_jwks_gives_its_ed25519_keys_and_passes_over_others() -> None:
    keys = verifiers_from_jwks({"keys": [{"kty": "RSA", "kid": "r"}, jwk(PUBLIC), "nonsense"]})
    assert list(keys) == [KID]


@pytest.mark.parametrize("broken", [{}, {"keys": 1}, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}])
def test_a_broken_jwks_is_a_value_error(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        verifiers_from_jwks(broken)


def test_a_kid_is_the_start_of_the_thumbprint_of_rfc_8037() -> None:
    public = un_b64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")  # RFC 8037, appendix A.3
    assert ed25519_kid(public) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"[:16]


def test_a_secret_never_shows_in_a_repr() -> None:
    assert b64url(SECRET) not in repr(HMAC)
    assert repr(SECRET) not in repr(HMAC)
