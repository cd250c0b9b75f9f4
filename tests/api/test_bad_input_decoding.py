"""Bodies and query strings that are wrong: each is refused with `invalid_request`, naming what is wrong."""

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolltape.codes import Code, Problem
from rolltape.web.body import BodyDecoder, check_content_type
from rolltape.web.params import CommandsQuery, DevicesQuery, PendingQuery, WaitQuery
from rolltape.web.query import QueryDecoder, no_query
from rolltape.web.table import OPERATIONS
from rolltape.wire.command import CreateCommand
from rolltape.wire.device import RegisterDevice
from rolltape.wire.heartbeat import Heartbeat


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    a: int = 0


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner | None = None
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    free: dict[str, Any] = {}
    short: Annotated[str, msgspec.Meta(max_length=3)] = ""


def expect_invalid(problem: Problem) -> None:
    assert problem.code is Code.INVALID_REQUEST


def refusal(body: bytes, kind: type[Any] = Outer) -> Problem:
    with pytest.raises(Problem) as caught:
        BodyDecoder(kind, optional=False).decode(body)
    assert caught.value.code is Code.INVALID_REQUEST
    return caught.value


def test_all_unknown_fields_are_named_however_deep_they_are() -> None:
    body = (
        b'{"x":1,"inner":{"y":2,"a":1},"many":[{},{"z":3}],"named":{"k":{"w":4}},"free":{"any":5},"short":"too long"}'
    )
    problem = refusal(body)
    assert problem.details == {"unknown": ["x", "inner.y", "many[1].z", "named.k.w"]}
    assert problem.param == "x"


def test_unknown_fields_are_ignored_where_the_path_is_lenient() -> None:
    assert (
        BodyDecoder(Heartbeat, optional=True).decode(b'{"from_the_future":1,"battery_percent":5}').battery_percent == 5
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"inner":{"a":"1"}}', "inner.a"),
        (b'{"inner":{"a":1.5}}', "inner.a"),
        (b'{"inner":{"a":true}}', "inner.a"),
        (b'{"short":"four"}', "short"),
        (b'{"many":{}}', "many"),
        (b"[]", None),
        (b"null", None),
        (b'"text"', None),
        (b"1", None),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(body: bytes, param: str | None) -> None:
    assert refusal(body).param == param


def test_a_missing_field_is_named() -> None:
    assert refusal(b"{}", CreateCommand).param == "type"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'{"free":{"a":NaN}}',
        b'{"free":{"a":Infinity}}',
        b'{"free":{"a":-Infinity}}',
        b'{"free":{"a":1e400}}',
        b'{"free":{"a":01}}',
        b'{"free":{"a":"\\ud800"}}',
        b'{"free":{"a":"\\udc00\\ud800"}}',
        b'{"free":{"\\ud800":1}}',
        b'{"free":{"a":"\xed\xa0\x80"}}',
        b'{"free":{"a":"\xff"}}',
        b'{"free":{"a":"\x00"}}',
        b'{"free":{"a":"\n"}}',
        b"{'free':{}}",
        b'{"free":{"a":1,}}',
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"free":{"a":"\\u0000"}}',
        b'{"free":{"a\\u0000":1}}',
        b'{"short":"\\u0000"}',
        b'{"free":{"a":[{"b":"x\\u0000y"}]}}',
        b'{"free":{"a":9223372036854775808}}',
        b'{"free":{"a":-9223372036854775809}}',
        b'{"free":{"a":' + b"1" * 5000 + b"}}",
        b'{"free":{"a":' + b"[" * 65 + b"]" * 65 + b"}}",
        b'{"free":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
        b'{"free":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
        b'{"unknown":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"[" * 60_000,
    ],
)
def test_what_could_not_be_kept_as_it_came_is_refused(body: bytes) -> None:
    refusal(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"free":{"a":"\\\\u0000"}}',
        b'{"free":{"a":9223372036854775807,"b":-9223372036854775808}}',
        b'{"free":{"a":"12345678901234567890123"}}',
        b'{"free":{"a":0.12345678901234567890123}}',
        b'{"free":{"a":"' + b"[{" * 500 + b'"}}',
        b'{"free":{"a":"\\ud83d\\ude00"}}',
        b' {"short" : "abc"} \n',
    ],
)
def test_what_only_looks_wrong_is_taken(body: bytes) -> None:
    BodyDecoder(Outer, optional=False).decode(body)


@given(st.binary(max_size=200))
def test_no_bytes_bring_anything_but_a_body_or_a_refusal(body: bytes) -> None:
    try:
        BodyDecoder(CreateCommand, optional=False).decode(body)
    except Problem as problem:
        expect_invalid(problem)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["type", "params", "ttl_seconds", "idempotency_key", "x"]), JSON))
def test_no_json_brings_anything_but_a_body_or_a_refusal(value: dict[str, Any]) -> None:
    try:
        body = BodyDecoder(CreateCommand, optional=False).decode(msgspec.json.encode(value))
    except Problem as problem:
        expect_invalid(problem)
    else:
        msgspec.json.encode(body)


def test_an_empty_body_is_taken_only_where_it_may_be_left_out() -> None:
    assert BodyDecoder(Outer, optional=True).decode(b"") == Outer()
    refusal(b"")
    refusal(b"", RegisterDevice)


def test_a_refusal_never_repeats_a_long_value_whole() -> None:
    problem = refusal(b'{"type":"' + b"x" * 10_000 + b'"}', CreateCommand)
    assert len(problem.message) < 400
    problem = refusal(b'{"' + b"x" * 10_000 + b'":1}')
    assert len(problem.message) < 400


@pytest.mark.parametrize(
    "value", [None, b"application/json", b"application/json; charset=utf-8", b'Application/JSON;charset="UTF-8"']
)
def test_json_by_any_of_its_names_is_taken(value: bytes | None) -> None:
    check_content_type(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"text/plain",
        b"application/json; charset=latin-1",
        b"application/xml",
        b"multipart/form-data; boundary=x",
        b"\xff",
    ],
)
def test_another_content_type_is_refused(value: bytes) -> None:
    with pytest.raises(Problem) as caught:
        check_content_type(value)
    assert caught.value.param == "Content-Type"


def query_refusal(query: bytes, kind: type[Any] = CommandsQuery, *, lenient: bool = False) -> Problem:
    with pytest.raises(Problem) as caught:
        QueryDecoder(kind, lenient=lenient).decode(query)
    assert caught.value.code is Code.INVALID_REQUEST
    return caught.value


def test_a_repeatable_parameter_becomes_a_list() -> None:
    query = QueryDecoder(CommandsQuery, lenient=False).decode(b"status=pending&status=executed&limit=7")
    assert (query.status, query.limit) == (["pending", "executed"], 7)


def test_all_unknown_parameters_are_named_on_a_strict_path() -> None:
    assert query_refusal(b"x=1&limit=1&y").details == {"unknown": ["x", "y"]}
    with pytest.raises(Problem) as caught:
        no_query(b"z=1")
    assert caught.value.param == "z"
    no_query(b"&&")


def test_unknown_parameters_are_ignored_on_a_lenient_path() -> None:
    assert QueryDecoder(PendingQuery, lenient=True).decode(b"x=1&wait=2.5").wait == 2.5


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (b"limit=0", "limit"),
        (b"limit=101", "limit"),
        (b"limit=-1", "limit"),
        (b"limit=", "limit"),
        (b"limit=1.0", "limit"),
        (b"limit=+1", "limit"),
        (b"limit=1_0", "limit"),
        (b"limit=%D9%A1", "limit"),
        (b"limit=null", "limit"),
        (b"limit=" + b"9" * 10_000, "limit"),
        (b"limit=1&limit=2", "limit"),
        (b"status=done", "status"),
        (b"status=", "status"),
        (b"status=pending&status=x", "status"),
        (b"type=", "type"),
        (b"cursor=", "cursor"),
        (b"cursor=" + b"x" * 513, "cursor"),
        (b"cursor=%00", "cursor"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(query: bytes, param: str) -> None:
    problem = query_refusal(query)
    assert problem.param is not None
    assert problem.param.startswith(param)


@pytest.mark.parametrize("query", [b"%", b"cursor=%ff", b"cursor=%ed%a0%80", b"\xff=1", b"a=1&" * 101 + b"a=1"])
def test_a_query_that_can_not_be_read_is_refused(query: bytes) -> None:
    query_refusal(query)


@pytest.mark.parametrize("text", [b"1", b"0", b"True", b"yes", b"", b"null"])
def test_a_boolean_is_true_or_false(text: bytes) -> None:
    assert query_refusal(b"online=" + text, DevicesQuery).param == "online"
    assert QueryDecoder(DevicesQuery, lenient=False).decode(b"online=false").online is False


@pytest.mark.parametrize("text", [b"-1", b"60.1", b"61", b"nan", b"inf", b"1e1", b"", b"x", b"0x1", b" 1"])
@pytest.mark.parametrize("kind", [WaitQuery, PendingQuery])
def test_a_wait_is_a_number_from_0_to_60(text: bytes, kind: type[Any]) -> None:
    assert query_refusal(b"wait=" + text, kind).param == "wait"


@given(st.binary(max_size=100))
def test_no_query_brings_anything_but_a_struct_or_a_refusal(query: bytes) -> None:
    for decoder in (QueryDecoder(CommandsQuery, lenient=False), QueryDecoder(CommandsQuery, lenient=True)):
        try:
            decoder.decode(query)
        except Problem as problem:
            expect_invalid(problem)


def forbids(info: Any) -> set[bool]:
    """Whether the structs of a body, at every depth, forbid unknown fields."""
    if isinstance(info, msgspec.inspect.StructType):
        inside = [forbids(field.type) for field in info.fields]
        return {info.cls.__struct_config__.forbid_unknown_fields}.union(*inside)
    if isinstance(info, msgspec.inspect.UnionType):
        return set().union(*(forbids(kind) for kind in info.types))
    return forbids(info.item_type) if isinstance(info, msgspec.inspect.ListType) else set()


@pytest.mark.parametrize("operation", [op for op in OPERATIONS if op.reads_body], ids=lambda op: str(op.name))
def test_bodies_are_strict_on_backend_paths_and_lenient_on_device_paths(operation: Any) -> None:
    assert forbids(msgspec.inspect.type_info(operation.body)) == {not operation.lenient}
