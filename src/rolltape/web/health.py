"""What needs no credential: is it alive, does it want requests, which keys sign its grants, how does one call it."""

from typing import Any, Literal

from msgspec import Struct

from rolltape.web.call import Call, Reply
from rolltape.web.docs_page import CONTENT_SECURITY_POLICY, PAGE
from rolltape.web.operation import Content, Operation


class Health(Struct, kw_only=True, frozen=True):
    """Whether the server can do its work."""

    status: Literal["healthy", "unhealthy"]
    database: Literal["connected", "disconnected"]
    billing: Literal["disabled"] = "disabled"


class Ready(Struct, kw_only=True, frozen=True):
    """Whether the server wants requests."""

    ready: bool


class SigningKey(Struct, kw_only=True, frozen=True):
    """A public key that grants are checked with (RFC 7517, RFC 8037)."""

    kid: str
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: str
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"


class SigningKeys(Struct, kw_only=True, frozen=True):
    """The deployment's id, which is every grant's `iss`, and its public keys."""

    iss: str
    keys: list[SigningKey]


HEALTHY = Health(status="healthy", database="connected")
UNHEALTHY = Health(status="unhealthy", database="disconnected")


async def health(call: Call[None, None]) -> Reply:
    return Reply(HEALTHY) if await call.app.store.alive() else Reply(UNHEALTHY, 503)


async def ready(call: Call[None, None]) -> Reply:
    wanted = call.shared.ready and not call.app.draining
    return Reply(Ready(ready=wanted), 200 if wanted else 503)


async def signing_keys(call: Call[None, None]) -> Any:
    return call.app.vault.jwks()


async def document(call: Call[None, None]) -> Reply:
    return Reply(call.shared.document)


async def docs(call: Call[None, None]) -> Reply:
    return Reply(PAGE, headers=CONTENT_SECURITY_POLICY, content_type=b"text/html; charset=utf-8")


OPERATIONS = (
    Operation(
        method="GET",
        path="/health",
        name="getHealth",
        summary="Is the server healthy?",
        group="Server",
        answers={200: Health, 503: Health},
        handler=health,
    ),
    Operation(
        method="GET",
        path="/ready",
        name="getReady",
        summary="Does the server want requests? Not while it starts or drains",
        group="Server",
        answers={200: Ready, 503: Ready},
        handler=ready,
    ),
    Operation(
        method="GET",
        path="/.well-known/jwks.json",
        name="getSigningKeys",
        summary="The public keys that grants are checked with",
        group="Server",
        answers={200: SigningKeys},
        handler=signing_keys,
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getOpenapi",
        summary="This document",
        group="Server",
        answers={200: dict[str, Any]},
        handler=document,
    ),
    Operation(
        method="GET",
        path="/docs",
        name="getDocs",
        summary="A page to read this document with",
        group="Server",
        answers={200: Content("text/html", "The page")},
        handler=docs,
    ),
)
