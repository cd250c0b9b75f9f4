"""Several servers on one machine and one port: a parent holds the port and keeps N nodes, processes of their own.

The parent opens no database and reads no key; it imports none of the code that does.
"""
