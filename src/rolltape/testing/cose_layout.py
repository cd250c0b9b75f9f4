"""An envelope piece by piece: where each head, key and value lies, and what it is called.

docs/grants.md and docs/answers.md show envelopes so, and the vectors have a bit flipped in each piece.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rolltape.testing.cbor_by_hand import ARRAY, BYTES, MAP, TEXT, UNSIGNED

_WORD = {BYTES: "a byte string of {}", TEXT: "a text of {}", ARRAY: "an array of {}", MAP: "a map of {}"}
_SIMPLE = {20: "false", 21: "true", 22: "null"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes in a row: their place, what they are called, and what they say."""

    at: int
    data: bytes
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A byte string that holds CBOR."""

    inside: Any


_HEADER = Wrapped({1: "alg", 4: "kid"})
_PARAMS = {1: "max_duration_sec", 2: "upload_immediately"}
_COMMAND = ("command", ["seq", "gen", "type", ("params", _PARAMS)])
GRANT = {1: "iss", 3: "aud", 4: "exp", 5: "nbf", 6: "iat", 7: "jti", -65537: _COMMAND}
_FACTS = ["now", "gen", "go", "seq_floor", "status", "recording", "sha256"]
ANSWER = {1: "iss", 3: "aud", 7: "jti", 10: "nonce", -65538: ("facts", _FACTS)}
RECEIPT = {1: "device", 3: "aud", 7: "jti", -65539: ("facts", ["gen", "counter", "status", "hash", "recording"])}


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def envelope(self, payload: Mapping[int, Any]) -> Iterator[Piece]:
        mac = self._data[0] == 0xD1
        yield self._piece(1, "the tag", "17, COSE_Mac0" if mac else "18, COSE_Sign1")
        yield self._piece(1, "the envelope", "an array of 4")
        yield from self._value("protected header", _HEADER)
        yield from self._value("unprotected header", {})
        yield from self._value("payload", Wrapped(payload))
        yield self._piece(self._head()[2], "signature" if not mac else "MAC", f"a byte string of {8 if mac else 64}")
        if mac:
            yield self._piece(8, "MAC, its first 8 bytes", "")
        else:
            yield self._piece(32, "signature, R", "")
            yield self._piece(32, "signature, S", "")

    def _head(self) -> tuple[int, int, int]:
        """Major type, count, and how many bytes that took."""
        first = self._data[self._at]
        major, low = first >> 5, first & 31
        if low < 24:
            return major, low, 1
        width = 1 << low - 24
        return major, int.from_bytes(self._data[self._at + 1 : self._at + 1 + width], "big"), 1 + width

    def _piece(self, length: int, name: str, says: str) -> Piece:
        piece = Piece(self._at, self._data[self._at : self._at + length], name, says)
        self._at += length
        return piece

    def _value(self, name: str, schema: Any) -> Iterator[Piece]:
        major, count, size = self._head()
        if major not in _WORD:
            said = str(count if major == UNSIGNED else -1 - count if major == 1 else _SIMPLE[count])
            yield self._piece(size, name, said)
            return
        yield self._piece(size, f"{name}, length" if schema is None else name, _WORD[major].format(count))
        if isinstance(schema, Wrapped):
            yield from self._value(f"{name}, inside", schema.inside)
        elif major in (BYTES, TEXT) and count:
            yield self._piece(count, name, "")
        elif major == ARRAY:
            for item in schema[:count]:
                yield from self._value(*_named(item))
        elif major == MAP:
            for _ in range(count):
                yield from self._pair(schema)

    def _pair(self, names: Mapping[int, Any]) -> Iterator[Piece]:
        major, count, size = self._head()
        key = count if major == UNSIGNED else -1 - count
        name, inside = _named(names[key])
        yield self._piece(size, f"{name}, key", str(key))
        yield from self._value(name, inside)


def _named(entry: Any) -> tuple[str, Any]:
    return entry if isinstance(entry, tuple) else (entry, None)


def layout(data: bytes, payload: Mapping[int, Any] | None = None) -> list[Piece]:
    """The pieces of an envelope whose payload has these names (GRANT, ANSWER or RECEIPT); together they are it all."""
    return list(_Walk(data).envelope(GRANT if payload is None else payload))


def listing(data: bytes, payload: Mapping[int, Any]) -> str:
    """The pieces as lines: up to 16 bytes in hex, and what they are."""
    lines = []
    for piece in layout(data, payload):
        rows = [piece.data[at : at + 16].hex() for at in range(0, len(piece.data), 16)]
        said = f"{piece.name}: {piece.says}" if piece.says else piece.name
        lines.append(f"{rows[0]:<32}  {said}")
        lines += rows[1:]
    return "\n".join(lines)
