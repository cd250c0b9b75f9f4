"""A proxy in front of a real server that lies as a test tells it: for the simulator's checker."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]


@dataclass
class Exchange:
    """A request on its way: a lie may change it, and answer it itself."""

    method: str
    path: str
    body: Json
    forward: Callable[[], tuple[int, Json]]
    """Asks the real server, with `body` as it is now."""


Lie = Callable[[Exchange], tuple[int, Json] | None]
"""The answer, or None: then the real one is given."""


@contextmanager
def lying(url: str, lie: Lie) -> Iterator[str]:
    """The URL of the liar."""
    upstream = urlsplit(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle_one(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            exchange = Exchange(self.command, self.path, json.loads(given) if given else {}, lambda: (0, {}))

            def forward() -> tuple[int, Json]:
                line = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=30)
                content = json.dumps(exchange.body).encode() if given else None
                headers = {
                    name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
                }
                try:
                    line.request(self.command, self.path, content, headers)
                    answer = line.getresponse()
                    return answer.status, json.loads(answer.read() or b"{}")
                finally:
                    line.close()

            exchange.forward = forward
            status, told = lie(exchange) or forward()
            text = b"" if status == 204 else json.dumps(told).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = handle_one

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
