"""An older SDK and a newer server."""

import json
from typing import Any

import pytest

from rolltape.sdk.errors import UnexpectedAnswer
from rolltape.sdk.lenient import reader
from rolltape.wire.command import Command, Delivery
from rolltape.wire.common import Page
from rolltape.wire.device import BoundDevice, Device
from rolltape.wire.recording import Recording
from tests.unit.sdk_server import BOUND, COMMAND, DEVICE, RECORDING, page


def read(kind: Any, value: object) -> Any:
    return reader(kind)(json.dumps(value).encode())


def test_a_known_answer_is_read_as_the_plain_type() -> None:
    assert type(read(Command, COMMAND)) is Command


def test_unknown_fields_are_ignored() -> None:
    assert read(Command, {**COMMAND, "mood": "good"}).id == "cmd_1"


def test_an_unknown_status_comes_through_as_its_text() -> None:
    command = read(Command, {**COMMAND, "status": "paused"})
    assert command.status == "paused"
    assert isinstance(command, Command)
    assert isinstance(command.delivery, Delivery)


def test_an_unknown_value_deep_inside_comes_through() -> None:
    delivery = {**COMMAND["delivery"], "route": "carrier_pigeon"}
    assert read(Command, {**COMMAND, "delivery": delivery}).delivery.route == "carrier_pigeon"
    assert read(Device, {**DEVICE, "connection": ["5g"]}).connection == ["5g"]


def test_an_unknown_value_in_a_list_spoils_nothing() -> None:
    answer = read(Page[Recording], page(RECORDING, {**RECORDING, "status": "archived"}))
    assert [one.status for one in answer.data] == ["uploaded", "archived"]
    assert isinstance(answer, Page)


def test_a_field_that_an_older_server_lacks_is_none_where_it_may_be() -> None:
    old = {name: value for name, value in DEVICE.items() if name != "public_key"}
    assert read(Device, old).public_key is None


def test_a_bound_device_keeps_its_token_when_read_loosely() -> None:
    bound = read(BoundDevice, {**BOUND, "status": "lent"})
    assert (bound.status, bound.device_token, bound.grant_secret) == ("lent", "dtok_1", None)


def test_a_loose_answer_does_not_show_its_looseness() -> None:
    assert repr(read(Command, {**COMMAND, "status": "paused"})).startswith("Command(id='cmd_1'")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"\xff", b"null", b'{"id":1}'])
def test_what_is_not_an_answer_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        reader(Command)(body)
