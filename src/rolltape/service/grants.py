"""Minting grants. None is stored: both algorithms are deterministic, so the same facts give the same token again."""

from collections.abc import Iterable

import msgspec

from rolltape.domain import lifecycle, views
from rolltape.domain.principal import KeyPrincipal, Speaker
from rolltape.domain.rows import CommandRow
from rolltape.service.context import Services
from rolltape.store.inputs import DeviceFacts
from rolltape.wire import cwt
from rolltape.wire.claims import Claims
from rolltape.wire.grant import sign
from rolltape.wire.keys import Alg, HmacKey, Signer


def hmac_kid(generation: int) -> str:
    """The id of a device's HS256 secret: a new one with each binding."""
    return f"hs-{generation}"


def secret_label(device_id: str) -> str:
    """What a device's HS256 secret is sealed as."""
    return f"grant secret of {device_id}"


def claims_of(app: Services, row: CommandRow) -> Claims:
    """What the grant of a command says."""
    return Claims(
        iss=app.vault.iss,
        aud=row.device_id,
        jti=row.id,
        seq=row.seq,
        gen=row.generation,
        iat=row.created_at // 1000,
        nbf=row.created_at // 1000,
        exp=row.expires_at // 1000,
        type=row.type,
        params=views.grant_params(views.from_json(row.params)),
    )


async def signer_of(app: Services, device_id: str, generation: int, alg: Alg, held: tuple[str, ...]) -> Signer:
    """The key that signs for this device: its own secret, or the newest grant key that it is known to hold."""
    if alg == "EdDSA":
        if held and not set(held) & set(app.vault.kids()):
            await learn_keys(app, held)
        return app.vault.signer_for(held)
    sealed = await app.store.sealed_secret(device_id, generation)
    assert sealed is not None, "an HS256 device gets its secret with each binding"
    return HmacKey(hmac_kid(generation), app.vault.open(sealed, secret_label(device_id)))


async def learn_keys(app: Services, kids: Iterable[str]) -> None:
    """Takes the stored grant keys where one of these isn't known: another node may have made it a moment ago."""
    if not set(kids) <= set(app.vault.kids()):
        app.vault.load_signing_keys(await app.store.signing_keys())


async def mint(app: Services, row: CommandRow, alg: Alg, held: tuple[str, ...]) -> str:
    """The grant token of a command."""
    return sign(claims_of(app, row), await signer_of(app, row.device_id, row.generation, alg, held))


def mint_for_relay(app: Services, row: CommandRow, signer: Signer, until: int) -> tuple[str, bytes]:
    """The same grant in both encodings, but good only until `until` (ms, whole seconds), where that comes first."""
    claims = msgspec.structs.replace(claims_of(app, row), exp=min(row.expires_at, until) // 1000)
    return sign(claims, signer), cwt.sign(claims, signer)


def may_see(who: Speaker) -> bool:
    """Reading is not the power to act: only a key that may write commands sees their grants."""
    return isinstance(who, KeyPrincipal) and "devices:write" in who.scopes


async def shown(app: Services, who: Speaker, row: CommandRow, device: DeviceFacts) -> str | None:
    """The grant token as this caller may see it: None once the command is terminal, or without `devices:write`."""
    if not lifecycle.is_open(row.status) or not may_see(who):
        return None
    return await mint(app, row, device.grant_alg, held_kids(device))


def held_kids(device: DeviceFacts) -> tuple[str, ...]:
    """The grant keys that the device is known to hold."""
    return tuple(msgspec.json.decode(device.held_kids))
