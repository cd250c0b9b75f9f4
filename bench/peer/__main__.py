"""`python -m bench.peer FOLDER DEVICES`: makes the tables and the devices, says where, and serves on a free port."""

import asyncio
import hashlib
import json
import secrets
import socket
import sys
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from bench.peer.app import build
from bench.peer.models import ApiKey, Base, Device, DeviceToken


def seed(folder: Path, count: int) -> None:
    """A project with one key and `count` bound devices; the credentials go to `seed.json`."""
    key = f"sk_test_{secrets.token_urlsafe(32)}"
    devices = [(f"dev_{secrets.token_hex(16)}", f"dtok_{secrets.token_urlsafe(32)}") for _ in range(count)]
    engine = create_engine(f"sqlite:///{folder / 'peer.db'}")
    Base.metadata.create_all(engine)
    with Session(engine) as db:
        hashed = hashlib.sha256(key.encode()).digest()
        db.add(ApiKey(hash=hashed, project_id="proj_1", scopes=json.dumps(["devices:read", "devices:write"])))
        db.add_all(Device(id=id_, project_id="proj_1", generation=1, end_user_id="eu_1") for id_, _ in devices)
        db.flush()
        db.add_all(
            DeviceToken(hash=hashlib.sha256(token.encode()).digest(), device_id=id_, generation=1)
            for id_, token in devices
        )
        db.commit()
    engine.dispose()
    (folder / "seed.json").write_text(json.dumps({"key": key, "devices": devices}))


def main(folder: Path, count: int) -> None:
    """Serves until SIGTERM."""
    seed(folder, count)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        app = build(folder, Ed25519PrivateKey.generate())
        config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
        sys.stdout.write(f"http://127.0.0.1:{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        uvloop_runner(config, sock)


def uvloop_runner(config: uvicorn.Config, sock: socket.socket) -> None:
    """Runs the server on uvicorn's own choice of loop."""
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[sock]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
