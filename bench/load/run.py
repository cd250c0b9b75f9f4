"""What is sent to the servers, and one run of the load generator."""

import json
from dataclasses import dataclass
from typing import Any

from bench.load.plan import Plan
from bench.load.resident import run_load
from bench.servers.target import Target

HEARTBEAT = {"battery_percent": 81, "storage_used_mb": 512, "storage_total_mb": 4096, "device_state": "idle"}
NUMBER = "%(n)016x"
"""Where a request's own number goes."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: answers a second, their times in ms, and the number that the next run begins with.

    `answered` are all, those of the warm-up too; `load_us` is the load generator's own processor time for each of
    them, `cpu_us` the server's, all threads (0 where it wasn't asked for), and `database_us` that of PostgreSQL.
    """

    per_s: float
    p50_ms: float
    p99_ms: float
    next: int
    answered: int = 0
    load_us: float = 0.0
    late_ms: float = 0.0
    cpu_us: float = 0.0
    database_us: float = 0.0


def request(target: Target, method: str, path: str, credential: str, body: object = None) -> str:
    """One HTTP request, whole, as its bytes go out; a template, see Plan."""
    text = "" if body is None else json.dumps(body)
    head = [f"{method} {path} HTTP/1.1", f"host: {target.host}:{target.port}", f"authorization: Bearer {credential}"]
    if text:
        size = len(text % {"n": 0, "device": 0})
        head += ["content-type: application/json", f"content-length: {size}"]
    return "\r\n".join([*head, "", text])


def start_request(target: Target) -> str:
    """A start for each device in turn, each with an idempotency key of its own."""
    body = {
        "type": "start_recording",
        "params": {"max_duration_sec": 1800, "upload_immediately": True},
        "idempotency_key": NUMBER,
        "ttl_seconds": 3600,
    }
    return request(target, "POST", f"/v1/devices/{target.devices.id}/commands", target.key, body)


def heartbeat_request(target: Target) -> str:
    """A heartbeat of each device in turn."""
    return request(target, "POST", "/v1/devices/me/heartbeat", target.devices.token, HEARTBEAT)


def figures_of(told: dict[str, Any], name: str) -> Figures:
    """RuntimeError, with the answer, when one was wrong, and when none came in time."""
    if errors := told.pop("errors"):
        raise RuntimeError(f"{name} gave wrong answers, so this run says nothing: {errors[0]}")
    if not told["per_s"]:
        raise RuntimeError(f"{name} gave no answer in the time that counts, so this run says nothing")
    return Figures(**told)


def measure(target: Target, plan: Plan) -> Figures:
    """One run of the load generator. RuntimeError when an answer was wrong."""
    return figures_of(run_load("bench.load.closed", plan), target.name)
