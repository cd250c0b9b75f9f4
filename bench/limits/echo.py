"""The ceiling: a bare ASGI application on the same server that reads a body and answers a constant of 800 bytes."""

import asyncio
import socket
import sys
from typing import Any

import uvicorn

BODY = b'{"x":"' + b"x" * 792 + b'"}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers 201."""
    if scope["type"] == "http":
        await receive()
        await send({"type": "http.response.start", "status": 201, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    """Serves until SIGTERM."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        sys.stdout.write(f"http://127.0.0.1:{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(
            app, loop="uvloop", http="httptools", lifespan="off", ws="none", access_log=False, log_level="warning",
            server_header=False, date_header=False,
        )  # fmt: skip
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(uvicorn.Server(config).serve(sockets=[sock]))


if __name__ == "__main__":
    main()
