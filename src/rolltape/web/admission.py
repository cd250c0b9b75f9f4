"""Who may call what: the one place where a credential meets a row of the table."""

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal, KeyPrincipal, Principal
from rolltape.service.auth import revoked
from rolltape.web.operation import Operation


def admit(operation: Operation, who: Principal) -> None:
    """Raises Problem: forbidden, naming what is needed; token_revoked for a device whose binding is over."""
    if isinstance(who, KeyPrincipal):
        _admit_key(operation, who)
    elif isinstance(who, DevicePrincipal):
        _admit_device(operation, who)
    elif not operation.relay:
        raise _forbidden(f"A relay token can't do this: it needs {_needed(operation)[1]}.", operation)


def _admit_key(operation: Operation, who: KeyPrincipal) -> None:
    if operation.scope is None:
        whose = (
            "a relay may do this, with a relay token"
            if operation.relay
            else "a device may do this, with its own device token"
        )
        raise _forbidden(f"Only {whose}. Call it from there.", operation)
    if operation.scope not in who.scopes:
        raise _forbidden(f"This API key lacks the scope `{operation.scope}`. Use one that has it.", operation)


def _admit_device(operation: Operation, who: DevicePrincipal) -> None:
    if who.ended and not operation.ended_token:
        raise revoked()
    if not operation.device:
        raise _forbidden(f"A device token can't do this: it needs {_needed(operation)[1]}.", operation)


def _needed(operation: Operation) -> tuple[str, str]:
    """What the operation needs, for a program and for a reader."""
    if operation.scope is not None:
        return operation.scope, f"an API key with the scope `{operation.scope}`"
    return ("relay_token", "a relay token") if operation.relay else ("device_token", "a device token")


def _forbidden(message: str, operation: Operation) -> Problem:
    return Problem(Code.FORBIDDEN, message, details={"needed": _needed(operation)[0]})
