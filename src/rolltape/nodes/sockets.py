"""Listening sockets: one for a lone server; for several nodes one each, which the parent holds.

Each node has a socket of its own on the same port (SO_REUSEPORT), and the kernel spreads connections over them by a
hash of their addresses: of 600 connections that came one by one, each of four nodes got 147 to 155, where one socket
for all gave them 84 to 217; and what stays open for days stays where it fell. The parent holds each socket on, so
what waits in one while its node is replaced is there for the successor.
"""

import socket
import sys
from contextlib import ExitStack
from typing import Final

BACKLOG: Final = 2048
EACH: Final = sys.platform == "linux"
"""Elsewhere the kernel doesn't take such sockets in turn: the nodes then share one."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError, saying what to do."""
    sock = _bound(host, port, shared=False)
    sock.listen(BACKLOG)
    return sock


def bind_for_each(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets on one port, one a node, which begins to listen itself. Raises OSError, also where somebody else
    listens there."""
    with ExitStack() as opened:
        # First without SO_REUSEPORT: else two deployments that were given one port would share it without a word.
        with listen(host, port) as probe:
            chosen = probe.getsockname()[1]
        first = opened.enter_context(_bound(host, chosen, shared=EACH))
        others = range(count - 1)
        sockets = [first, *(opened.enter_context(bind_one_more(host, first)) for _ in others)]
        opened.pop_all()
        return sockets


def bind_one_more(host: str, sock: socket.socket) -> socket.socket:
    """One more socket on the port of `sock`, or the same one again. Raises OSError."""
    return _bound(host, sock.getsockname()[1], shared=True) if EACH else sock.dup()


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        where = f"{host}:{port}"
        raise OSError(f"can't listen on {where} ({error.strerror}). Choose another with --host and --port.") from None
    return sock


def url_of(scheme: str, host: str, sock: socket.socket) -> str:
    """Where the socket is reached: `host` as it was set, and the port that it has."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{sock.getsockname()[1]}"
