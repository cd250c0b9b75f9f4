"""The recorder behind a relay: the device's half of docs/ble.md, whatever the radio.

session.py takes what a relay says; tell.py says what the relay has to carry; answers.py is the only place where
anything is believed, because the server signed it; nonces.py knows what was asked.
"""
