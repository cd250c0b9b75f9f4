"""A radio without hardware, for `rolltape demo --ble` and for tests: virtual.py is the air and its controllers,
bleak_backend.py lets a real bleak client use it. Both need the extra `ble`; nothing loads them unasked.
"""
