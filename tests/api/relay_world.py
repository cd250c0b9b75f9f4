"""What the tests of the relay plane share: a device behind a relay, with a key of its own or without."""

import json
import os
from dataclasses import dataclass
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rolltape.wire import answer, receipt
from rolltape.wire.answer import Answer
from rolltape.wire.keys import Ed25519Signer, HmacKey, Verifier, b64url, un_b64url, verifiers_from_jwks
from rolltape.wire.receipt import Receipt
from tests.api.contract_world import BoundDevice, ContractWorld


def new_key() -> Ed25519Signer:
    """A device's own key."""
    return Ed25519Signer("mine", Ed25519PrivateKey.generate())


def public_half(key: Ed25519Signer) -> str:
    """As it is registered."""
    return b64url(key.key.public_key().public_bytes_raw())


@dataclass
class Relayed:
    """A device, the key that it signs with if it has one, and a relay near it."""

    device: BoundDevice
    key: Ed25519Signer | None
    token: str
    counter: int = 0

    @property
    def world(self) -> ContractWorld:
        return self.device.world

    @property
    def path(self) -> str:
        return f"/v1/relay/devices/{self.device.id}"

    @property
    def verifiers(self) -> dict[str, Verifier]:
        """What the device checks grants and answers with."""
        bound = self.device.bound
        if "grant_secret" in bound:
            return {bound["grant_kid"]: HmacKey(bound["grant_kid"], un_b64url(bound["grant_secret"]))}
        return verifiers_from_jwks(bound["grant_keys"])

    def call(self, method: str, path: str, token: str | None = None, **parts: Any) -> httpx2.Response:
        return self.world.call(method, path, self.token if token is None else token, **parts)

    def commands(self, query: str = "") -> dict[str, Any]:
        told = self.call("GET", f"/v1/relay/commands{query}")
        assert told.status_code == 200, told.text
        found: dict[str, Any] = told.json()
        return found

    # What the device signs

    def receipt(self, said: Any, body: dict[str, Any] | None = None, /, **other: Any) -> Receipt:
        """What it would sign next; `other` says something else in it."""
        self.counter += 1
        facts: dict[str, Any] = {
            "aud": self.device.bound["grant_iss"],
            "device": self.device.id,
            "gen": self.device.bound["binding_generation"],
            "counter": self.counter,
            "status": said,
            "hash": None if body is None else receipt.body_hash(json.dumps(body).encode()),
        }
        return Receipt(**{**facts, **other})

    def sign(self, said: Receipt, *, jws: bool = False, key: Ed25519Signer | None = None) -> str:
        signer = key or self.key
        assert signer is not None
        return receipt.sign_jws(said, signer) if jws else b64url(receipt.sign(said, signer))

    def signed(self, status: Any, body: dict[str, Any], **about: Any) -> dict[str, Any]:
        """The body with the device's receipt, where it has a key."""
        return body if self.key is None else {**body, "receipt": self.sign(self.receipt(status, body, **about))}

    # What the relay does with it

    def ack(self, command_id: str, **body: Any) -> httpx2.Response:
        return self.call("POST", f"{self.path}/commands/{command_id}/ack", json=body)

    def report(self, command_id: str, body: dict[str, Any] | None = None, **other: Any) -> httpx2.Response:
        body = {"status": "executed", **other} if body is None else body
        return self.call("POST", f"{self.path}/commands/{command_id}/report", json=body)

    def signed_ack(self, command_id: str) -> httpx2.Response:
        body = {} if self.key is None else {"receipt": self.sign(self.receipt("delivered", jti=command_id))}
        return self.ack(command_id, **body)

    def signed_report(self, command_id: str, status: str = "executed", **other: Any) -> httpx2.Response:
        return self.report(command_id, self.signed(status, {"status": status, **other}, jti=command_id))

    def heartbeat(self, **body: Any) -> httpx2.Response:
        return self.call("POST", f"{self.path}/heartbeat", json=body)

    def signed_heartbeat(self, **body: Any) -> httpx2.Response:
        return self.heartbeat(**self.signed("state", body))

    def challenge(self, nonce: bytes | None = None, **asked: Any) -> Answer:
        """What the device reads in the answer to its nonce."""
        fresh = os.urandom(16) if nonce is None else nonce
        told = self.call("POST", f"{self.path}/challenge", json={"nonce": b64url(fresh), **asked})
        assert told.status_code == 200, told.text
        said = answer.read(un_b64url(told.json()["answer_cwt"]), self.verifiers)
        assert (said.nonce, said.aud, said.iss) == (fresh, self.device.id, self.device.bound["grant_iss"])
        return said


def evidence_of(device: Relayed, command: str) -> str | None:
    """On what word a command stands."""
    found: str | None = device.device.read(command)["delivery"]["evidence"]
    return found


def relay_token(world: ContractWorld, user: str, **body: Any) -> str:
    """A token for a relay of that end user."""
    made = world.web.made("/v1/relay-tokens", end_user_id=user, **body)
    return str(made["relay_token"])


def relayed(world: ContractWorld, *, keyed: bool = False, **device: Any) -> Relayed:
    """A new device behind a relay."""
    key = new_key() if keyed else None
    if key is not None:
        device["public_key"] = public_half(key)
    bound = world.device(**device)
    return Relayed(bound, key, relay_token(world, bound.user))
