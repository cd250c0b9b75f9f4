"""The recorder's radio: a GATT peripheral (docs/ble.md), by bumble, on an adapter or on a virtual link.

link.py says what a radio and the device's session know of each other. adapter.py opens a radio, peripheral.py
advertises and takes connections, one at a time, visit.py is one connection.
"""
