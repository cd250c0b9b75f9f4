"""JSON bodies with the canonical form (RFC 8785) whose SHA-256 a receipt names; the canonical texts are by hand."""

import hashlib
from collections.abc import Iterator
from types import ModuleType

from rolltape.testing.vector_world import RECORDING, Vector
from rolltape.wire import receipt as receipt_module


def body(name: str, text_: str, canonical: str | None) -> Vector:
    """A body and its canonical form, whose SHA-256 is its hash; None where it has none."""
    if canonical is None:
        return {"name": name, "body": text_, "canonical": None, "hash": None}
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return {"name": name, "body": text_, "canonical": canonical, "hash": digest}


def bodies() -> Iterator[Vector]:
    yield body("nothing", "{}", "{}")
    yield report()
    yield body("blanks and line feeds", ' {\n"a" :\t1 , "b":[ ] }\r\n', '{"a":1,"b":[]}')
    yield body("another order of keys", '{"b":1,"a":2}', '{"a":2,"b":1}')
    yield body("another order inside", '{"x":{"b":[{"d":1,"c":2}],"a":0}}', '{"x":{"a":0,"b":[{"c":2,"d":1}]}}')
    yield body("upper case sorts before lower", '{"a":1,"B":2,"":3,"1":4}', '{"":3,"1":4,"B":2,"a":1}')
    yield body("an array keeps its order", '{"a":[3,1,2]}', '{"a":[3,1,2]}')
    yield body("null is kept", '{"a":null}', '{"a":null}')
    yield body("null is not absent", '{"a":null,"b":1}', '{"a":null,"b":1}')
    yield body("true, false", '{"a":true,"b":false}', '{"a":true,"b":false}')
    yield body("the receipt is left out", '{"a":1,"receipt":"x"}', '{"a":1}')
    yield body("the receipt alone", '{"receipt":{"any":["thing"]}}', "{}")
    yield body("a receipt further in stays", '{"a":{"receipt":1}}', '{"a":{"receipt":1}}')
    yield body("letters beyond ASCII as they are", '{"é":"ü"}', '{"é":"ü"}')
    yield body("letters beyond ASCII escaped", '{"\\u00e9":"\\u00FC"}', '{"é":"ü"}')
    yield body("two ways to write é are two", '{"a":"e\\u0301"}', '{"a":"e\u0301"}')
    yield body("a pair of surrogates", '{"a":"\\ud83d\\ude00"}', '{"a":"😀"}')
    # UTF-16 has the emoji's d83d before fb33, its code point 1f600 is above
    yield body(
        "keys by their UTF-16 units",
        '{"\\ufb33":1,"😀":2,"\\u20ac":3,"\\r":4}',
        '{"\\r":4,"\u20ac":3,"\U0001f600":2,"\ufb33":1}',
    )
    control = '{"a":"\\u0008\\u0009\\u000a\\u000c\\u000d\\u001f\\"\\\\\\/"}'
    yield body("escapes", control, '{"a":"\\b\\t\\n\\f\\r\\u001f\\"\\\\/"}')
    yield body("a delete character", '{"a":"\\u007f"}', '{"a":"\x7f"}')
    yield from _numbers()
    yield from _no_bodies()


def report() -> Vector:
    """The body that the usual receipt signs."""
    result = f'{{"recording_id":"{RECORDING}","started_at":"2030-01-01T00:00:05.310Z"}}'
    written = f'{{"status": "executed", "executed_at": "2030-01-01T00:00:05.560Z", "result": {result}}}'
    sorted_ = f'{{"executed_at":"2030-01-01T00:00:05.560Z","result":{result},"status":"executed"}}'
    return body("a report", written, sorted_)


def _numbers() -> Iterator[Vector]:
    same = {
        "1.0": "1", "1e0": "1", "100E-2": "1", "-0": "0", "-0.0": "0", "0.10": "0.1", "1e2": "100", "1E+21": "1e+21",
        "1e20": "100000000000000000000", "0.000001": "0.000001", "0.0000001": "1e-7", "1e-27": "1e-27", "4.50": "4.5",
        "2e-3": "0.002", "333333333.33333329": "333333333.3333333", "1200.5": "1200.5", "-61": "-61",
        "9007199254740991": "9007199254740991", "-9007199254740991": "-9007199254740991",
        "9007199254740992.0": "9007199254740992", "1.7976931348623157e308": "1.7976931348623157e+308",
        "5e-324": "5e-324",
    }  # fmt: skip
    for written, canonical in same.items():
        yield body(f"the number {written}", f'{{"a":{written}}}', f'{{"a":{canonical}}}')
    for written in ("9007199254740992", "-9007199254740992", "18446744073709551616", "1e400"):
        yield body(f"the number {written} has no form", f'{{"a":{written}}}', None)


def _no_bodies() -> Iterator[Vector]:
    for name, text_ in {
        "nothing at all": "",
        "no JSON": "{",
        "more behind": "{}{}",
        "an array": "[]",
        "a text": '"a"',
        "null": "null",
        "NaN": '{"a":NaN}',
        "a number that begins with 0": '{"a":01}',
        "half a pair of surrogates": '{"a":"\\ud83d"}',
        "a NUL character": '{"a":"\\u0000"}',
        "a comma too many": '{"a":1,}',
        "nested hundreds deep": '{"a":' + "[" * 300 + "]" * 300 + "}",
    }.items():
        yield body(f"{name}: no form", text_, None)


def run_body(case: Vector, receipt: ModuleType = receipt_module) -> str | None:
    """The hash of one body in hex; None where it has none, `crash` for any other exception."""
    try:
        digest: bytes = receipt.body_hash(case["body"].encode())
    except ValueError:
        return None
    except Exception:
        return "crash"
    return digest.hex()
