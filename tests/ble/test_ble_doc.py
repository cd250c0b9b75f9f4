"""Every byte in docs/ble.md is one that the code makes."""

import re
from pathlib import Path

import pytest

from rolltape.wire.ble import frames, service, to_device, to_relay
from rolltape.wire.ble.frames import Frame, ResultCode, cut
from rolltape.wire.ble.inbox import MOST_ERRORS, frame
from tests.ble import samples

PAGE = (Path(__file__).parents[2] / "docs/ble.md").read_text("utf-8")
TAG = service.make_tag(samples.DEVICE, bytes([1, 2, 3]))


def lines_of(block: str) -> list[bytes]:
    """The bytes of each line: what stands before three blanks and a comment."""
    return [bytes.fromhex(re.split(r"\s{3,}", line.strip())[0]) for line in block.strip().splitlines()]


def whole(message: Frame) -> bytes:
    return bytes([message.type]) + len(message.body).to_bytes(3, "big") + message.body


def test_every_message_of_the_page_is_as_the_code_makes_it() -> None:
    shown = re.findall(r"<!-- message: (\w+) -->\n```\n(.*?)```", PAGE, re.DOTALL)
    made = [(type(message).__name__, whole(frame(message))) for message in (*samples.TO_DEVICE, *samples.TO_RELAY)]
    assert [(name, b"".join(lines_of(block))) for name, block in shown] == made


@pytest.mark.parametrize(("name", "message"), [("Fetch", samples.TO_DEVICE[5]), ("Offline", to_device.Offline())])
def test_the_fragments_of_the_page_are_cut_by_the_code(name: str, message: to_device.ToDevice) -> None:
    block = re.search(rf"<!-- fragments: {name} -->\n```\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    assert lines_of(block[1]) == list(cut(frame(message), 23))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("advertisement", service.advertisement()),
        ("scan_response", service.scan_response(TAG)),
        ("tag", TAG),
        ("info", service.Info(service.VERSION, True, TAG).encode()),
    ],
)
def test_the_bytes_in_the_text_are_made_by_the_code(name: str, made: bytes) -> None:
    shown = re.search(rf"<!-- hex: {name} -->\s`([0-9a-f ]+)`", PAGE)
    assert shown is not None
    assert bytes.fromhex(shown[1]) == made


def test_types_codes_and_uuids_of_the_page_are_the_codes_own() -> None:
    types = {int(text, 16) for text in re.findall(r"\*\*`([0-9a-f]{2})` ", PAGE)}
    assert types == {*to_device.TO_DEVICE, *to_relay.TO_RELAY}
    codes = dict(re.findall(r"^\| (\d) \| `([A-Z_]+)` \|", PAGE, re.MULTILINE))
    assert codes == {str(code.value): code.name for code in ResultCode}
    for uuid in (service.SERVICE, service.RX, service.TX, service.INFO, service.PAIR):
        assert f"`{uuid}`" in PAGE


def test_the_bounds_of_the_page_are_the_codes_own() -> None:
    sizes = [frames.fragment_size(mtu) for mtu in (23, 185, 517)]
    assert "{} at MTU 23, {} at\nMTU 185, {} at MTU 517".format(*sizes) in PAGE
    assert f"{frames.LONGEST_TO_DEVICE:,} bytes to the\ndevice, {frames.LONGEST_TO_RELAY:,} to the relay" in PAGE
    assert f"{to_device.MAX_PIECE:,} bytes" in PAGE
    assert MOST_ERRORS == 8
    for mtu, shown in ((23, "18,950"), (185, "1,990"), (517, "705")):
        assert abs(360_000 / (frames.fragment_size(mtu) - 1) - int(shown.replace(",", ""))) < 5
        assert shown in PAGE
