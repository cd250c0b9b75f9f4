"""Rolltape: a command plane for voice recorders and other small devices.

`Client` and `AsyncClient` are the SDK; the exceptions are `RolltapeError` and its subclasses. They are loaded when they
are first asked for, so that `import rolltape` costs nothing.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rolltape.sdk.client import AsyncClient as AsyncClient
    from rolltape.sdk.client import Client as Client
    from rolltape.sdk.errors import ApiError as ApiError
    from rolltape.sdk.errors import CommandNoGo as CommandNoGo
    from rolltape.sdk.errors import CommandNotCancellable as CommandNotCancellable
    from rolltape.sdk.errors import CommandQueueFull as CommandQueueFull
    from rolltape.sdk.errors import Conflict as Conflict
    from rolltape.sdk.errors import DeviceAlreadyBound as DeviceAlreadyBound
    from rolltape.sdk.errors import DeviceNotBound as DeviceNotBound
    from rolltape.sdk.errors import DeviceRecording as DeviceRecording
    from rolltape.sdk.errors import ExternalIdTaken as ExternalIdTaken
    from rolltape.sdk.errors import Forbidden as Forbidden
    from rolltape.sdk.errors import IdConflict as IdConflict
    from rolltape.sdk.errors import IdempotencyKeyReused as IdempotencyKeyReused
    from rolltape.sdk.errors import IntegrityFailure as IntegrityFailure
    from rolltape.sdk.errors import InternalError as InternalError
    from rolltape.sdk.errors import InvalidRequest as InvalidRequest
    from rolltape.sdk.errors import MethodNotAllowed as MethodNotAllowed
    from rolltape.sdk.errors import NotFound as NotFound
    from rolltape.sdk.errors import PayloadTooLarge as PayloadTooLarge
    from rolltape.sdk.errors import PreconditionFailed as PreconditionFailed
    from rolltape.sdk.errors import RangeNotSatisfiable as RangeNotSatisfiable
    from rolltape.sdk.errors import RateLimited as RateLimited
    from rolltape.sdk.errors import ResultConflict as ResultConflict
    from rolltape.sdk.errors import RolltapeError as RolltapeError
    from rolltape.sdk.errors import ServerError as ServerError
    from rolltape.sdk.errors import SettingsError as SettingsError
    from rolltape.sdk.errors import TokenRevoked as TokenRevoked
    from rolltape.sdk.errors import TransferFailed as TransferFailed
    from rolltape.sdk.errors import Unauthorized as Unauthorized
    from rolltape.sdk.errors import Unavailable as Unavailable
    from rolltape.sdk.errors import UnexpectedAnswer as UnexpectedAnswer
    from rolltape.sdk.errors import Unreachable as Unreachable
    from rolltape.sdk.errors import UnsupportedMediaType as UnsupportedMediaType
    from rolltape.sdk.errors import UploadConflict as UploadConflict
    from rolltape.sdk.errors import UploadIncomplete as UploadIncomplete
    from rolltape.sdk.exchange import Policy as Policy

_CLIENTS = {"Client": "rolltape.sdk.client", "AsyncClient": "rolltape.sdk.client", "Policy": "rolltape.sdk.exchange"}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _CLIENTS:
        return getattr(importlib.import_module(_CLIENTS[name]), name)
    if not name.startswith("_") and name in _errors():
        return getattr(importlib.import_module("rolltape.sdk.errors"), name)
    raise AttributeError(f"module 'rolltape' has no attribute {name!r}")


def _errors() -> list[str]:
    from rolltape.sdk import errors

    return errors.__all__


def __dir__() -> list[str]:
    return sorted(["__version__", *_CLIENTS, *_errors()])
