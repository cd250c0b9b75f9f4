"""Ceilings, for context: what the HTTP server alone, and the signature alone, could do on this machine."""

import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.client import measure, request
from bench.compare import Effort
from bench.servers import echo
from rolltape.wire.claims import Claims
from rolltape.wire.grant import sign
from rolltape.wire.keys import Ed25519Signer

BODY = {"type": "start_recording", "params": {"max_duration_sec": 1800}, "idempotency_key": "0" * 16}


def limits(effort: Effort) -> dict[str, float]:
    """Answers a second of a bare ASGI application at 32 callers, and grants a second that one thread signs."""
    with echo() as target:
        requests = [request(target, "POST", "/", "x" * 50, BODY)]
        figures = measure(target, requests, callers=32, warmup=effort.warmup, seconds=effort.seconds, expect=201)
    return {"raw_asgi_echo_per_s": round(figures.per_s), "grants_signed_per_s": round(_signed_per_s(effort.seconds))}


def _signed_per_s(seconds: float) -> float:
    signer = Ed25519Signer("bench", Ed25519PrivateKey.generate())
    claims = Claims(
        iss="00112233445566aa",
        aud="dev_0000000000000000000000",
        jti="cmd_0000000000000000000000",
        seq=1,
        gen=1,
        iat=1_700_000_000,
        nbf=1_700_000_000,
        exp=1_700_000_300,
        type="start_recording",
        params={"max_duration_sec": 1800, "upload_immediately": True},
    )
    signed = 0
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        sign(claims, signer)
        signed += 1
    return signed / (time.perf_counter() - begin)
