"""The bugs that are planted in the compact form's check: ids, cbor, cose, cwt, and the keys' part of them."""

from tests.unit.wire_planting import Bug


def cwt(*names: str) -> tuple[str, ...]:
    """Names of vectors of the compact form."""
    return tuple(f"CWT: {name}" for name in names)


CBOR_BUGS = [
    Bug("any length of bytes", "if len(data) > most:", "if False:", cwt("one byte too long")),
    Bug("a shorter envelope", "MAX_BYTES: Final = 1024", "MAX_BYTES: Final = 1023", cwt("exactly as long as allowed")),
    Bug(
        "any encoding will do",
        "if _encode(value, MAX_DEPTH) != data:",
        "if not _encode(value, MAX_DEPTH):",
        cwt(
            "a byte behind",
            "an indefinite array of four",
            "the array's length in two bytes",
            "the signature in two pieces",
            "exp in eight bytes",
            "exp twice, another last",
            "claims in another order",
            "params in another order",
            "a fraction in eight bytes",
        ),
    ),
    Bug(
        "unreadable bytes escape",
        "except (cbor2.CBORError, TypeError, OverflowError, RecursionError, MemoryError) as error:",
        "except ZeroDivisionError as error:",
        cwt("all but the last byte", "params with text that is not UTF-8", "claims inside a tag"),
    ),
    Bug("one deeper", "MAX_DEPTH: Final = 8", "MAX_DEPTH: Final = 9", cwt("params nested too deep")),
    Bug("one less deep", "MAX_DEPTH: Final = 8", "MAX_DEPTH: Final = 7", cwt("params nested as deep as allowed")),
    Bug(
        "anything may be a key",
        "if any(type(key) not in (int, str) for key in items):",
        "if False:",
        cwt("params with a key that is true", "params with a key of bytes", "params with a fraction as key"),
    ),
    Bug(
        "NaN is a number",
        "if kind not in _SCALARS or (kind is float and not math.isfinite(value)):",
        "if kind not in _SCALARS:",
        cwt("params with NaN", "params with infinity"),
    ),
    Bug(
        "what JSON does not have",
        "if kind not in _SCALARS or (kind is float and not math.isfinite(value)):",
        "if kind is float and not math.isfinite(value):",
        cwt("params with undefined", "params with a simple value"),
    ),
    Bug(
        "any integer",
        "if kind is int and not -(2**63) <= value < 2**64:",
        "if False:",
        cwt("params with one less than that"),
    ),
    Bug(
        "the old order of keys",
        "key=itemgetter(0)",
        "key=lambda pair: (len(pair[0]), pair[0])",
        cwt("params in the order of their keys' bytes", "params in the order of their keys' lengths"),
    ),
]

COSE_BUGS = [
    Bug(
        "any tag",
        "if data[:1] not in (_SIGN1, _MAC0):",
        "if False:",
        cwt("another tag"),
    ),
    Bug(
        "parts of anything",
        "if type(parts) is not list:",
        "if False:",
        cwt("a number in place of the four parts"),
    ),
    Bug(
        "anything unprotected",
        "if type(unprotected) is not dict or unprotected:",
        "if False:",
        cwt(
            "an unprotected header that is not empty",
            "an unprotected header that nobody knows",
            "an unprotected header that is null",
        ),
    ),
    Bug(
        "anything empty unprotected",
        "if type(unprotected) is not dict or unprotected:",
        "if unprotected:",
        cwt("an unprotected header that is an array", "an unprotected header that is null"),
    ),
    Bug(
        "parts of any kind",
        "if type(protected) is not bytes or type(payload) is not bytes or type(signature) is not bytes:",
        "if False:",
        cwt("a signature that is null"),
    ),
    Bug(
        "any key opens",
        "if key is None:",
        "key = key or next(iter(keys.values()), None)\n    if key is None:",
        cwt("a kid that the device does not hold", "no kid", "a kid cut short"),
        "cose",
    ),
    Bug(
        "no key, no envelope's check",
        'if key is None:\n        raise ValueError("signed by a key that is not held here")',
        "if key is None:\n        return envelope.payload",
        cwt("a kid that the device does not hold", "a device that holds no key", "no kid"),
    ),
    Bug(
        "the signature is not looked at",
        "if not envelope.is_by(key):",
        "if False:",
        cwt(
            "a signature by a stranger under our kid",
            "a MAC by another secret",
            "the highest bit of the last byte flipped in exp",
            "the highest bit of the last byte flipped in seq",
            "the lowest bit flipped in signature, R",
            "the lowest bit flipped in signature, S",
            "the lowest bit flipped in MAC, its first 8 bytes of a MAC",
        ),
        "cose",
    ),
    Bug(
        "headers that are not understood",
        "if type(header) is not dict or not header.keys() <= {_ALG, _KID}:",
        "if type(header) is not dict:",
        cwt("a header that nobody knows", "a header that names what must be understood"),
    ),
    Bug(
        "a header of any kind",
        "if type(header) is not dict or not header.keys() <= {_ALG, _KID}:",
        "if type(header) is dict and not header.keys() <= {_ALG, _KID}:",
        cwt("a protected header that is an array"),
    ),
    Bug(
        "any alg",
        "if type(header.get(_ALG)) is not int or header[_ALG] != (_HMAC_64 if is_mac else _EDDSA):",
        "if False:",
        cwt("alg none", "no alg", "alg as text", "a signature that says HMAC", "a MAC that says HMAC 256/256"),
    ),
    Bug(
        "a fraction for alg", "if type(header.get(_ALG)) is not int or header[", "if header[", cwt("alg as a fraction")
    ),
    Bug("a kid of any kind", "if type(kid) is not bytes:", "if False:", cwt("kid as text", "kid null")),
    Bug(
        "a secret makes signatures",
        'return key.alg == "EdDSA" and key.verifies',
        "return key.verifies",
        cwt("an HMAC in place of a signature, kid hs-3-of-16-chars"),
    ),
    Bug(
        "the whole MAC",
        "return key.verifies_tag(self.signed, self.signature)",
        "return key.verifies(self.signed, self.signature)",
        cwt("a MAC by the shared secret", "a MAC of all 32 bytes"),
    ),
    Bug(
        "a MAC is no different from a signature",
        '"MAC0" if is_mac else "Signature1"',
        '"Signature1"',
        cwt("a MAC by the shared secret", "a MAC over what a signature is made over"),
    ),
    Bug(
        "a public key is a secret",
        "    def verifies_tag(self, message: bytes, tag: bytes) -> bool:\n        return False",
        "    def verifies_tag(self, message: bytes, tag: bytes) -> bool:\n"
        '        return hmac.digest(self.key.public_bytes_raw(), message, "sha256")[:8] == tag',
        cwt("a MAC with the public key as its secret, kid as text"),
    ),
    Bug(
        "as much of the MAC as there is",
        "return hmac.compare_digest(self.sign(message)[:TAG_BYTES], tag)",
        "return self.sign(message).startswith(tag)",
        cwt("a MAC of 7 bytes", "a MAC of no bytes", "a MAC of 9 bytes", "a MAC of all 32 bytes"),
    ),
    Bug("a shorter MAC", "TAG_BYTES = 8", "TAG_BYTES = 4", cwt("a MAC of 4 bytes", "a MAC by the shared secret")),
]

CWT_BUGS = [
    Bug(
        "claims of any kind",
        'if type(said) is not dict:\n        raise ValueError("no map',
        'if False:\n        raise ValueError("no map',
        cwt("claims that are a number", "claims that are text"),
    ),
    Bug("a command of any kind", "if type(command) is not list:", "if False:", cwt("a command that is a map")),
    Bug("exactly four", "= command[:4]", "= command", cwt("a command with more behind")),
    Bug(
        "missing claims escape",
        "except (ValueError, KeyError) as error:",
        "except ValueError as error:",
        cwt("without exp", "without aud", "no claims"),
    ),
    Bug(
        "wrong claims escape",
        "except (ValueError, KeyError) as error:",
        "except KeyError as error:",
        cwt("exp is text", "no tag", "alg none"),
    ),
    Bug("exp may be missing", "exp=number(said[EXP])", "exp=number(said.get(EXP, 2**40))", cwt("without exp")),
    Bug("nbf is iat", "said.get(NBF, iat)", "iat", cwt("nbf later than iat by a lot", "nbf null"), "cwt"),
    Bug("nbf must be told", "said.get(NBF, iat)", "said[NBF]", cwt("a good grant"), "cwt"),
    Bug(
        "true is one", "if type(value) is not int:", "if not isinstance(value, int):", cwt("iat is true", "seq is true")
    ),
    Bug(
        "a fraction is a number",
        "if type(value) is not int:",
        "if type(value) not in (int, float):",
        cwt("exp is a fraction of the right value"),
    ),
    Bug(
        "anything is a number",
        "if type(value) is not int:",
        "if False:",
        cwt("exp is text", "seq is null", "nbf as text"),
    ),
    Bug(
        "iss of any kind",
        "if type(data) is not bytes or len(data) != ISS_BYTES:",
        "if False:",
        cwt("iss is a number", "iss is text"),
    ),
    Bug(
        "a type of any kind",
        "if type(value) is not str or value in TYPES:",
        "if type(value) is str and value in TYPES:",
        cwt("type is null", "type is bytes", "type is true, which is not 1"),
    ),
    Bug(
        "a second name for a type",
        "if type(value) is not str or value in TYPES:",
        "if type(value) is not str:",
        cwt("type as text, which has a number"),
    ),
    Bug(
        "params of any kind",
        "if type(value) is not dict or value.keys() & PARAMS.keys():",
        "if type(value) is dict and value.keys() & PARAMS.keys():",
        cwt("params is null", "params is an array"),
    ),
    Bug(
        "a second name for a param",
        "if type(value) is not dict or value.keys() & PARAMS.keys():",
        "if type(value) is not dict:",
        cwt("a param as text, which has a number"),
    ),
    Bug(
        "an id of any length",
        "if not isinstance(packed, bytes) or len(packed) != PACKED_BYTES:",
        "if not isinstance(packed, bytes):",
        cwt("jti of 15 bytes", "jti of 17 bytes"),
    ),
    Bug(
        "an id of any kind",
        "if not isinstance(packed, bytes) or len(packed) != PACKED_BYTES:",
        "if False:",
        cwt("jti is null", "jti is a number"),
    ),
    Bug("an id of any time", "if time >= 62**8:", "if False:", cwt("jti that no id could be")),
    Bug(
        "an id is never text",
        "if isinstance(packed, str) and is_id(prefix, packed):",
        "if False:",
        cwt("jti as its text", "aud as its text"),
    ),
]
