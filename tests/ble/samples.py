"""One message of each kind, as docs/ble.md shows them."""

from rolltape.wire.ble import to_device, to_relay
from rolltape.wire.ble.inbox import Message

COMMAND = "cmd_0TsgcRZg05KiAfpCzRZhhL"
DEVICE = "dev_0TsgcMe800JS7vA6SMt2Wf"
RECORDING = "rec_0TsgcSjgJGpaZ8g6MiilDX"
NONCE = bytes(range(16))

TO_DEVICE: tuple[Message, ...] = (
    to_device.Hello(online=True),
    to_device.Grant(b"\xd2\x84"),
    to_device.SignedAnswer(b"\xd2\x84"),
    to_device.Revoke(COMMAND),
    to_device.Offline(),
    to_device.Fetch(recording_id=RECORDING, offset=16_384, length=16_384),
    to_device.Next(),
    to_device.Taken(what=0x83, id=COMMAND),
    to_device.Taken(what=0x84),
    to_device.Taken(what=0x85, id=RECORDING),
)
TO_RELAY: tuple[Message, ...] = (
    to_relay.Welcome(mtu=185, reports=1, recordings=1, flags=1),
    to_relay.Challenge(nonce=NONCE),
    to_relay.Challenge(nonce=NONCE, command_id=COMMAND, ack_receipt=b"\xd2", recording_id=RECORDING, floor=True),
    to_relay.Report(command_id=COMMAND, json=b'{"status":"executed"}'),
    to_relay.Report(command_id=COMMAND, json=b'{"status":"executed"}', receipt=b"\xd2"),
    to_relay.State(json=b'{"battery_percent":80}'),
    to_relay.Recording(recording_id=RECORDING, create=b"{}", size=4096),
    to_relay.Recording(
        recording_id=RECORDING,
        create=b"{}",
        create_receipt=b"\xd2",
        complete=b"{}",
        complete_receipt=b"\xd2",
        size=4096,
        sha256=bytes(32),
    ),
    to_relay.Piece(recording_id=RECORDING, offset=0, total=4, data=b"OggS"),
    to_relay.Result(about=0x02, code=0),
    to_relay.Gone(RECORDING),
)
