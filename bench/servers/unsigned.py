"""`rolltape` with a signature that costs nothing and is worth nothing: for measuring what the real one costs.

Only this file can switch signing off, by putting a constant in its place before the server starts; no setting can.
"""

from rolltape.cli.main import main
from rolltape.wire.keys import Ed25519Signer

SIGNATURE = bytes(64)


def no_signature(_: Ed25519Signer, message: bytes) -> bytes:
    """Stands where the signature would."""
    return SIGNATURE


if __name__ == "__main__":
    Ed25519Signer.sign = no_signature  # type: ignore[method-assign, assignment]
    main()
