"""uvicorn's HTTP protocol, with a last answer: once the server leaves, each connection closes with its next."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class State(ServerState):
    """What all connections of a server share. `leaving`: each answer from now on is its connection's last."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving = False

    def leave(self) -> None:
        """From now on answers carry `Connection: close`, those to requests under way too."""
        self.leaving = True
        for each in self.connections:
            if isinstance(each, Connection):
                each.make_last()

    @property
    def idle(self) -> int:
        """How many connections have no request under way: their next one may be on the line already."""
        return sum(isinstance(each, Connection) and each.is_idle for each in self.connections)


class Connection(HttpToolsProtocol):
    """One connection."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for its client's first request, or for the next."""
        return self.cycle is None or self.cycle.response_complete

    def make_last(self) -> None:
        """The request under way, if there is one, is the last."""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if isinstance(self.server_state, State) and self.server_state.leaving:
            self.make_last()
