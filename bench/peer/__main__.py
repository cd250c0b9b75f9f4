"""`python -m bench.peer FOLDER DEVICES`: makes the tables and the devices, says where, and serves on a free port."""

import argparse
import asyncio
import hashlib
import json
import secrets
import socket
import sys
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from bench.peer.app import build
from bench.peer.database import engine_for, seeding_engine
from bench.peer.models import ApiKey, Base, Device, DeviceToken

DEVICE_ID = "dev_%(device)032d"
DEVICE_TOKEN = "dtok_%(device)043d"


def seed(folder: Path, database: str | None, count: int) -> None:
    """A project with one key, which goes to `seed.json`, and `count` bound devices."""
    key = f"sk_test_{secrets.token_urlsafe(32)}"
    engine = seeding_engine(folder, database)
    Base.metadata.create_all(engine)
    with Session(engine) as db:
        hashed = hashlib.sha256(key.encode()).digest()
        db.add(ApiKey(hash=hashed, project_id="proj_1", scopes=json.dumps(["devices:read", "devices:write"])))
        db.flush()
        numbers = range(count)
        db.execute(insert(Device), [_device(n) for n in numbers])
        db.execute(insert(DeviceToken), [_token(n) for n in numbers])
        db.commit()
        if database is not None:
            db.execute(text("ANALYZE"))
            db.commit()
    engine.dispose()
    (folder / "seed.json").write_text(json.dumps({"key": key}))


def _device(number: int) -> dict[str, object]:
    id_ = DEVICE_ID % {"device": number}
    return {"id": id_, "project_id": "proj_1", "generation": 1, "end_user_id": "eu_1", "last_seq": 0}


def _token(number: int) -> dict[str, object]:
    hashed = hashlib.sha256((DEVICE_TOKEN % {"device": number}).encode()).digest()
    return {"hash": hashed, "device_id": DEVICE_ID % {"device": number}, "generation": 1}


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.peer", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("devices", type=int)
    parser.add_argument("--database", help="the URL of an empty PostgreSQL; else SQLite")
    parser.add_argument("--pool", type=int, help="connections; else what was measured to be best")
    chosen = parser.parse_args()
    seed(chosen.folder, chosen.database, chosen.devices)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen(2048)
        app = build(engine_for(chosen.folder, chosen.database, chosen.pool), Ed25519PrivateKey.generate())
        config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
        sys.stdout.write(f"http://127.0.0.1:{sock.getsockname()[1]}\n")
        sys.stdout.flush()
        uvloop_runner(config, sock)


def uvloop_runner(config: uvicorn.Config, sock: socket.socket) -> None:
    """Runs the server on uvicorn's own choice of loop."""
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets=[sock]))


if __name__ == "__main__":
    main()
