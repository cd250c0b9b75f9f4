"""What is sent to the servers, and one run of the load generator."""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import SLOT, Plan
from bench.servers import Target

HEARTBEAT = {"battery_percent": 81, "storage_used_mb": 512, "storage_total_mb": 4096, "device_state": "idle"}


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: answers a second, their times in ms, and the number that the next run begins with."""

    per_s: float
    p50_ms: float
    p99_ms: float
    next: int


def request(target: Target, method: str, path: str, credential: str, body: object = None) -> str:
    """One HTTP request, whole, as its bytes go out."""
    text = "" if body is None else json.dumps(body)
    head = [f"{method} {path} HTTP/1.1", f"host: {target.host}:{target.port}", f"authorization: Bearer {credential}"]
    if text:
        head += ["content-type: application/json", f"content-length: {len(text)}"]
    return "\r\n".join([*head, "", text])


def start_requests(target: Target) -> list[str]:
    """A start for each device in turn, each with an idempotency key of its own."""
    body = {
        "type": "start_recording",
        "params": {"max_duration_sec": 1800, "upload_immediately": True},
        "idempotency_key": SLOT,
        "ttl_seconds": 3600,
    }
    return [request(target, "POST", f"/v1/devices/{id_}/commands", target.key, body) for id_, _ in target.devices]


def heartbeat_requests(target: Target) -> list[str]:
    """A heartbeat of each device in turn."""
    return [request(target, "POST", "/v1/devices/me/heartbeat", token, HEARTBEAT) for _, token in target.devices]


def measure(
    target: Target, requests: list[str], *, callers: int, warmup: float, seconds: float, expect: int, first: int = 0
) -> Figures:
    """One run of the load generator. RuntimeError, with the answer, when a status was not `expect`."""
    plan = Plan(target.host, target.port, callers, warmup, seconds, expect, requests, first)
    with tempfile.TemporaryDirectory(prefix="rolltape-bench-plan-") as folder:
        path = Path(folder) / "plan.json"
        path.write_text(json.dumps(asdict(plan)))
        done = subprocess.run(
            [sys.executable, "-m", "bench.load", str(path)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
    told = json.loads(done.stdout)
    if told["errors"]:
        raise RuntimeError(f"{target.name} gave wrong answers, so this run says nothing: {told['errors'][0]}")
    return Figures(told["per_s"], told["p50_ms"], told["p99_ms"], told["next"])
