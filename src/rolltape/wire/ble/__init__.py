"""What travels over BLE, for both sides: docs/ble.md, as code. Pure: no radio in here.

service.py: UUIDs, advertisement, tag, INFO. frames.py: messages cut into fragments and put together again.
to_device.py, to_relay.py: the messages. inbox.py: from fragments to messages, with whatever is wrong refused.
"""
