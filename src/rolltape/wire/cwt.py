"""A grant as a CWT (RFC 8392), for the air: the claims of wire/claims.py in at most 180 bytes for a usual start.

| key | claim | as |
| --- | --- | --- |
| 1 | `iss` | 8 bytes |
| 3 | `aud` | the device's id, packed (wire/ids.py) |
| 4, 5, 6 | `exp`, `nbf`, `iat` | seconds; `nbf` is left out where it equals `iat` |
| 7 | `jti` | the command's id, packed |
| -65537 | the command | `[seq, gen, type, params]`; what comes behind is passed over |

`type` is a number for the types that every device has, else text; the keys of `params` likewise. What has a number
never travels as text: a name gets its number before it is first sent, or never. Unknown keys are passed over.
docs/grants.md has the same for firmware writers.
"""

from collections.abc import Mapping
from typing import Any, Final

from rolltape.wire import cbor, cose
from rolltape.wire.claims import Claims, invalid
from rolltape.wire.ids import pack, unpack
from rolltape.wire.keys import Signer, Verifier

ISS, AUD, EXP, NBF, IAT, CTI = 1, 3, 4, 5, 6, 7
COMMAND: Final = -65537
TYPES: Final = {"start_recording": 1, "stop_recording": 2, "trigger_upload": 3, "factory_reset": 4}
PARAMS: Final = {"max_duration_sec": 1, "upload_immediately": 2}
_TYPE_OF = {number: name for name, number in TYPES.items()}
_PARAM_OF = {number: name for name, number in PARAMS.items()}
ISS_BYTES = 8


def sign(claims: Claims, signer: Signer) -> bytes:
    """The grant. ValueError when it would be over cose.MAX_BYTES, or for claims that can't travel so.

    Those are an `iss` that isn't 16 hex digits, an `aud` or a `jti` that is no id, and params nested too deep.
    """
    data = cose.seal(_payload(claims), signer)
    if len(data) > cose.MAX_BYTES:
        raise ValueError(f"the grant would have {len(data)} bytes, more than {cose.MAX_BYTES}: make params smaller")
    return data


def _payload(claims: Claims) -> bytes:
    said: dict[int, Any] = {
        ISS: iss_bytes(claims.iss),
        AUD: pack("dev", claims.aud),
        EXP: claims.exp,
        IAT: claims.iat,
        CTI: pack("cmd", claims.jti),
        COMMAND: [
            claims.seq,
            claims.gen,
            TYPES.get(claims.type, claims.type),
            {PARAMS.get(name, name): value for name, value in claims.params.items()},
        ],
    }
    if claims.nbf != claims.iat:
        said[NBF] = claims.nbf
    return cbor.encode(said)


def read(data: bytes, keys: Mapping[str, Verifier]) -> Claims:
    """The claims of a grant that one of `keys` signed. Raises GrantRefused (`grant_invalid`)."""
    try:
        said = cbor.decode(cose.opened(data, keys), cose.MAX_BYTES)
        return _claims(said)
    except (ValueError, KeyError) as error:
        raise invalid(f"the grant can't be taken: {error}") from None


def _claims(said: Any) -> Claims:
    if type(said) is not dict:
        raise ValueError("no map of claims")
    command = said[COMMAND]
    if type(command) is not list:
        raise ValueError("no list where the command should be")
    seq, gen, type_, params = command[:4]
    iat = number(said[IAT])
    return Claims(
        iss=iss_text(said[ISS]),
        aud=unpack("dev", said[AUD]),
        jti=unpack("cmd", said[CTI]),
        seq=number(seq),
        gen=number(gen),
        iat=iat,
        nbf=number(said.get(NBF, iat)),
        exp=number(said[EXP]),
        type=_type(type_),
        params=_params(params),
    )


def number(value: object) -> int:
    """A whole number (True is none). ValueError for anything else."""
    if type(value) is not int:
        raise ValueError("a claim that should be a number")
    return value


def count(value: object) -> int:
    """A whole number from 0 to 2^63 - 1. ValueError for anything else."""
    if not 0 <= number(value) < 2**63:
        raise ValueError("a number outside 0 to 2^63 - 1")
    return number(value)


def iss_bytes(iss: str) -> bytes:
    """The 8 bytes of a deployment's id. ValueError where it isn't 16 hex digits."""
    data = bytes.fromhex(iss)
    if len(data) != ISS_BYTES or data.hex() != iss:
        raise ValueError("a deployment's id is 16 lower-case hex digits")
    return data


def iss_text(data: object) -> str:
    """The deployment's id in those 8 bytes. ValueError for anything else."""
    if type(data) is not bytes or len(data) != ISS_BYTES:
        raise ValueError("a deployment's id that is not 8 bytes")
    return data.hex()


def _type(value: object) -> str:
    if type(value) is int:
        return _TYPE_OF.get(value, f"type {value}")
    if type(value) is not str or value in TYPES:
        raise ValueError("a type that is no number, and no text for what has none")
    return value


def _params(value: object) -> dict[str, Any]:
    if type(value) is not dict or value.keys() & PARAMS.keys():
        raise ValueError("params that are no map, or have as text what has a number")
    return {name if type(name) is str else _PARAM_OF.get(name, f"param {name}"): item for name, item in value.items()}
