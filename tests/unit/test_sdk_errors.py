"""Errors by code."""

import pytest

import rolltape
from rolltape.codes import Code
from rolltape.sdk import errors
from rolltape.sdk.errors import BY_CODE, ApiError, Conflict, NotFound, ServerError, Unavailable, error_from
from tests.unit.sdk_server import error


def test_every_code_has_its_class() -> None:
    assert set(BY_CODE) == set(Code)
    assert len(set(BY_CODE.values())) == len(BY_CODE)


def test_every_error_is_there_in_the_package() -> None:
    for name in errors.__all__:
        assert getattr(rolltape, name) is getattr(errors, name)
        assert issubclass(getattr(rolltape, name), rolltape.RolltapeError)
        assert name in dir(rolltape)


def test_what_is_not_in_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = rolltape.Nonsense
    with pytest.raises(AttributeError):
        _ = rolltape.msgspec


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (409, Conflict), (503, Unavailable), (599, ServerError), (418, ApiError)]
)
def test_a_code_from_a_newer_server_is_raised_as_its_status(status: int, kind: type[ApiError]) -> None:
    raised = error_from(status, {}, error(status, "made_up_later").body, None)
    assert type(raised) is kind
    assert raised.code == "made_up_later"


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"\xff", b"[]", b'{"error":"no"}'])
def test_an_error_that_is_not_in_shape_is_told_by_its_status(body: bytes) -> None:
    raised = error_from(502, {"x-request-id": "req_9"}, body, None)
    assert isinstance(raised, Unavailable)
    assert raised.code == "http_502"
    assert raised.request_id == "req_9"


def test_an_error_says_code_place_message_and_request() -> None:
    body = b'{"error":{"code":"invalid_request","message":"too long","param":"name","request_id":"req_1"}}'
    assert str(error_from(400, {}, body, None)) == "invalid_request [name]: too long (request req_1)"
