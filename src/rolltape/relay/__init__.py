"""The gateway: a relay for a Raspberry Pi or a laptop, between recorders on BLE and the server."""
