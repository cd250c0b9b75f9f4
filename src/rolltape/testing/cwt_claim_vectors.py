"""The grants of the vectors in their compact form: each way in which signed claims can be wrong."""

from collections.abc import Iterator

from rolltape.testing.cbor_by_hand import (
    FALSE,
    NULL,
    SIGN1,
    TAG,
    TRUE,
    UNDEFINED,
    array,
    envelope,
    head,
    num,
    pairs,
    protected_header,
    raw,
    simple,
    text,
)
from rolltape.testing.cwt_making import BAD, GOOD, KEYS, command, cwt, facts, payload, with_claims
from rolltape.testing.vector_world import (
    COMMAND,
    DEVICE,
    GEN,
    IAT,
    ISS,
    KID_BYTES,
    NOW,
    SEQ,
    SIGNER,
    TTL,
    Vector,
    vector,
)
from rolltape.wire.ids import pack


def claim_cases() -> Iterator[Vector]:
    yield vector("another deployment's", BAD, cwt({"iss": "1f2e3d4c5b6a7989"}))
    yield vector("for another device", BAD, cwt({"aud": "dev_0XHxge5b1DK1c6m1ar3CGI"}))
    yield vector("of an older binding", BAD, cwt({"gen": GEN - 1}))
    yield vector("of a newer binding", BAD, cwt({"gen": GEN + 1}))
    for name in facts():
        yield vector(f"without {name}", BAD, with_claims(**{name: b""}))
        wrong = {"a number": num(7), "text": text("7"), "bytes": raw(b"7"), "null": NULL, "true": TRUE}
        wrong |= {"a fraction": b"\xf9\x3c\x00", "an array": array(), "a map": pairs()}
        right = {"exp": "a number", "iat": "a number"}.get(name)
        for kind, value in wrong.items():
            if kind != right:
                yield vector(f"{name} is {kind}", BAD, with_claims(**{name: value}))
    yield vector("exp is undefined", BAD, with_claims(exp=UNDEFINED))
    yield vector("exp is a fraction of the right value", BAD, with_claims(exp=b"\xfb\x41\xdc\x36\xf6\x6b\x00\x00\x00"))
    yield vector("exp is a date by its tag", BAD, with_claims(exp=b"\xc1" + num(IAT + TTL)))
    yield vector("exp is a big number by its tag", BAD, with_claims(exp=b"\xc2" + raw((IAT + TTL).to_bytes(4, "big"))))
    yield vector("iss of 7 bytes", BAD, with_claims(iss=raw(bytes.fromhex(ISS)[:7])))
    yield vector("iss as text", BAD, with_claims(iss=text(ISS)))


def ids() -> Iterator[Vector]:
    packed = pack("cmd", COMMAND)
    assert isinstance(packed, bytes)
    yield vector("jti of 15 bytes", BAD, with_claims(jti=raw(packed[:15])))
    yield vector("jti of 17 bytes", BAD, with_claims(jti=raw(packed + b"\x00")))
    yield vector("jti that no id could be", BAD, with_claims(jti=raw(b"\xff" * 16)))
    yield vector("jti as its text", "ok", with_claims(jti=text(COMMAND)))
    yield vector("aud as its text", "ok", with_claims(aud=text(DEVICE)))
    yield vector("jti as the text of another kind of id", BAD, with_claims(jti=text(DEVICE)))
    yield vector("jti as the text of no id", BAD, with_claims(jti=text("cmd_")))
    yield vector("jti as the bytes of its text", BAD, with_claims(jti=raw(COMMAND.encode())))


def _command_of(name: str, expect: str, *parts: bytes) -> Vector:
    return vector(name, expect, with_claims(command=array(*parts)))


def commands() -> Iterator[Vector]:
    seq, gen, start, params = num(SEQ), num(GEN), num(1), simple({1: 3600, 2: True})
    yield _command_of("a command of three parts", BAD, seq, gen, start)
    yield _command_of("a command with more behind", "ok", seq, gen, start, params, text("new"), NULL)
    yield vector("a command that is a map", BAD, with_claims(command=pairs((start, params), (seq, gen))))
    for name, wrong in {"text": text("3"), "true": TRUE, "a fraction": b"\xf9\x42\x00", "null": NULL}.items():
        yield _command_of(f"seq is {name}", BAD, wrong, gen, start, params)
        yield _command_of(f"gen is {name}", BAD, seq, wrong, start, params)
    yield _command_of("seq is nothing", BAD, num(0), gen, start, params)
    yield _command_of("seq is less than nothing", BAD, num(-1), gen, start, params)
    yield _command_of("seq is as great as it may be", "ok", num(2**63 - 1), gen, start, params)
    yield _command_of("seq is 2 to the 63rd", BAD, num(2**63), gen, start, params)
    yield _command_of("seq is 2 to the 64th, by its tag", BAD, b"\xc2" + raw(b"\x01" + bytes(8)), gen, start, params)
    yield _command_of("type is null", BAD, seq, gen, NULL, params)
    yield _command_of("type is true, which is not 1", BAD, seq, gen, TRUE, params)
    yield _command_of("type is bytes", BAD, seq, gen, raw(b"\x01"), params)
    yield _command_of("type as text, which has a number", BAD, seq, gen, text("start_recording"), params)
    yield _command_of("a type of the project's own", "ok", seq, gen, text("blink"), params)
    yield _command_of("a type whose number nobody knows", "ok", seq, gen, num(99), params)


def params() -> Iterator[Vector]:
    def with_params(name: str, expect: str, encoded: bytes) -> Vector:
        return _command_of(name, expect, num(SEQ), num(GEN), num(1), encoded)

    yield with_params("no params", "ok", pairs())
    yield with_params("params that nobody knows", "ok", simple({1: 60, 77: [1, {"x": None}], "y": "z"}))
    yield with_params("params is null", BAD, NULL)
    yield with_params("params is an array", BAD, array())
    yield with_params("a param as text, which has a number", BAD, simple({"max_duration_sec": 60}))
    yield with_params("params with a key of bytes", BAD, pairs((raw(b"x"), num(1))))
    yield with_params("params with a key that is true", BAD, pairs((TRUE, num(1))))
    yield with_params("params with a key that is false", BAD, pairs((FALSE, num(1))))
    yield with_params("params with a fraction as key", BAD, pairs((b"\xf9\x3c\x00", num(1))))
    yield with_params("params with an array as key", BAD, pairs((array(), num(1))))


def param_values() -> Iterator[Vector]:
    def with_param(name: str, expect: str, encoded: bytes) -> Vector:
        return _command_of(name, expect, num(SEQ), num(GEN), num(1), pairs((text("x"), encoded)))

    yield with_param("params with NaN", BAD, b"\xf9\x7e\x00")
    yield with_param("params with infinity", BAD, b"\xf9\x7c\x00")
    yield with_param("params with a fraction", "ok", b"\xf9\x3e\x00")
    yield with_param("params with text that is not UTF-8", BAD, b"\x62\xc3\x28")
    yield with_param("params with half a surrogate", BAD, b"\x63\xed\xa0\x80")
    yield with_param("params with a simple value", BAD, b"\xf0")
    least, below = b"\x3b\x7f" + b"\xff" * 7, b"\x3b\x80" + bytes(7)
    yield with_param("params with -2 to the 63rd", "ok", least)
    yield with_param("params with one less than that", BAD, below)
    yield with_param("params with undefined", BAD, UNDEFINED)
    # the map of claims, the command, the params and these: eight in all
    yield with_param("params nested as deep as allowed", "ok", _nested(5))
    yield with_param("params nested too deep", BAD, _nested(6))
    yield with_param("params nested hundreds deep", BAD, _nested(700))


def _nested(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


def unknown() -> Iterator[Vector]:
    found = facts()
    before, last = {name: found[name] for name in KEYS if name in found and name != "command"}, found["command"]
    mine = (num(KEYS["command"]), last)
    hint = envelope(
        pairs(*((num(KEYS[name]), value) for name, value in before.items()), (num(8), simple({1: 2})), mine)
    )
    yield vector("a claim that nobody knows", "ok", hint)
    yield vector("a claim that nobody knows, as text", "ok", envelope(payload(facts(), (text("hint"), text("new")))))
    yield vector("claims in an array", BAD, envelope(array(*found.values())))
    yield vector("claims that are a number", BAD, envelope(num(7)))
    yield vector("claims that are text", BAD, envelope(text("x")))
    yield vector("no claims", BAD, envelope(pairs()))
    yield vector("an empty payload", BAD, envelope(b""))
    yield vector("claims with a byte behind", BAD, envelope(payload(facts()) + b"\x00"))
    yield vector("claims cut short", BAD, envelope(payload(facts())[:-1]))
    yield vector("claims inside a tag", BAD, envelope(b"\xd8\x3d" + payload(facts())))
    yield vector("claims wrapped once more", BAD, envelope(raw(payload(facts()))))
    yield vector(
        "an answer's claims", BAD, envelope(pairs((num(1), raw(bytes.fromhex(ISS))), (num(10), raw(bytes(16)))))
    )


def encodings() -> Iterator[Vector]:
    """Values that are right, in an encoding that isn't the deterministic one."""
    yield vector("an indefinite array of four", BAD, SIGN1 + b"\x9f" + GOOD[2:] + b"\xff")
    yield vector("the array's length in two bytes", BAD, SIGN1 + b"\x98\x04" + GOOD[2:])
    yield vector("the signature's length in three bytes", BAD, GOOD[:-66] + head(2, 64, 2) + GOOD[-64:])
    indefinite_signature = b"\x5f" + raw(GOOD[-64:-32]) + raw(GOOD[-32:]) + b"\xff"
    yield vector("the signature in two pieces", BAD, GOOD[:-66] + indefinite_signature)
    yield vector("alg in two bytes", BAD, cwt(protected=protected_header(SIGNER, alg=num(-8, 1))))
    swapped = pairs((num(4), raw(KID_BYTES)), (num(1), num(-8)))
    yield vector("kid before alg", BAD, cwt(protected=swapped))
    double = pairs((num(1), num(-8)), (num(1), num(-8)), (num(4), raw(KID_BYTES)))
    yield vector("alg twice", BAD, cwt(protected=double))


def encoded_claims() -> Iterator[Vector]:
    """The same of what is inside."""
    found = facts()
    inner = payload(found)[1:]
    yield vector("an indefinite map of claims", BAD, envelope(b"\xbf" + inner + b"\xff"))
    yield vector("the map's length in two bytes", BAD, envelope(b"\xb8\x06" + inner))
    reordered = dict(sorted(found.items(), key=lambda item: item[0]))
    yield vector("claims in another order", BAD, envelope(payload(reordered)))
    yield vector("exp twice, the same", BAD, envelope(_doubled(found["exp"])))
    yield vector("exp twice, another first", BAD, envelope(_doubled(num(IAT + 10 * TTL), first=True)))
    yield vector("exp twice, another last", BAD, envelope(_doubled(num(IAT + 10 * TTL))))
    yield vector("exp in eight bytes", BAD, with_claims(exp=num(IAT + TTL, 8)))
    yield vector("seq in four bytes", BAD, with_claims(command=command(num(SEQ, 4))))
    yield vector("gen in two bytes", BAD, with_claims(command=command(gen=num(GEN, 1))))
    yield vector("iss with its length in two bytes", BAD, with_claims(iss=raw(bytes.fromhex(ISS), 1)))
    yield vector("iss in pieces", BAD, with_claims(iss=b"\x5f" + raw(bytes.fromhex(ISS)) + b"\xff"))
    yield vector("a key in two bytes", BAD, envelope(payload(found).replace(b"\x04\x1a", b"\x18\x04\x1a", 1)))
    yield vector("true in two bytes", BAD, with_claims(command=command(params=pairs((num(2), b"\xf8\x15")))))
    yield vector(
        "a fraction in eight bytes", BAD, with_claims(command=command(params=pairs((text("x"), _WIDE_FRACTION))))
    )


def encoded_params() -> Iterator[Vector]:
    """The same of what is inside of that."""
    yield vector("params in another order", BAD, with_claims(command=command(params=simple({2: True, 1: 3600}))))
    by_bytes = simple({24: 1, 1000: 1, -1: 1, "": 1, "b": 1, "aa": 1})
    yield vector("params in the order of their keys' bytes", "ok", with_claims(command=command(params=by_bytes)))
    by_length = simple({-1: 1, "": 1, 24: 1, "b": 1, 1000: 1, "aa": 1})
    yield vector("params in the order of their keys' lengths", BAD, with_claims(command=command(params=by_length)))
    for number, name in ((28, "shareable"), (256, "a space of references"), (24, "wrapped CBOR"), (35, "a pattern")):
        tagged = head(TAG, number) + (raw(num(1)) if number == 24 else text("a"))
        yield vector(
            f"a param tagged {number}, {name}", BAD, with_claims(command=command(params=pairs((text("x"), tagged))))
        )
    yield vector("claims that say they are CBOR", BAD, envelope(head(TAG, 55799) + payload(facts())))
    for name, lengthy in {"text": b"\x7b", "bytes": b"\x5b", "an array": b"\x9b", "a map": b"\xbb"}.items():
        yield vector(f"{name} of more bytes than there are", BAD, envelope(lengthy + b"\xff" * 8))


_WIDE_FRACTION = b"\xfb\x3f\xf8" + bytes(6)


def _doubled(value: bytes, *, first: bool = False) -> bytes:
    items = []
    for name, encoded in facts().items():
        mine = (num(KEYS[name]), encoded)
        again = [(mine[0], value)] if name == "exp" else []
        items += [*again, mine] if first else [mine, *again]
    return pairs(*items)


def nbfs() -> Iterator[Vector]:
    early = IAT * 1000 - 30_000
    equal = with_claims(nbf=num(IAT))
    yield vector("nbf left out is iat", "ok", GOOD, now_ms=early)
    yield vector("nbf left out is iat, a millisecond too early", "grant_expired", GOOD, now_ms=early - 1)
    yield vector("nbf told, the same as iat", "ok", equal, now_ms=early)
    yield vector("nbf told, the same as iat, a millisecond too early", "grant_expired", equal, now_ms=early - 1)
    yield vector("nbf later than iat by a lot", "grant_expired", with_claims(nbf=num(IAT + 100)), now_ms=NOW)
    yield vector("nbf before iat", "ok", with_claims(nbf=num(IAT - 100)), now_ms=early - 100_000)
    yield vector("nbf null", BAD, with_claims(nbf=NULL))
    yield vector("nbf as text", BAD, with_claims(nbf=text(str(IAT))))


GROUPS = (claim_cases, ids, commands, params, param_values, unknown, encodings, encoded_claims, encoded_params, nbfs)
