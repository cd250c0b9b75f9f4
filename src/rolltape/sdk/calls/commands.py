"""Calls on commands: the heart of the API."""

import secrets
from typing import Any

from rolltape.sdk.lenient import reader
from rolltape.sdk.request import Request, get, path_of, post
from rolltape.sdk.steps import Emit, Pause, Plan, ask, monotonic
from rolltape.wire.command import Command, CommandType, CreatableType, Status
from rolltape.wire.common import Event, Page

TERMINAL: frozenset[str] = frozenset({"executed", "failed", "expired", "cancelled"})
OPEN: frozenset[str] = frozenset({"pending", "delivered"})
_SHORTEST_LOOK_SEC = 0.2
_LONGEST_LOOK_SEC = 2.0


def is_terminal(command: Command) -> bool:
    """Whether the command has come to its end. A status that this version doesn't know counts as open."""
    return command.status in TERMINAL


def create(
    device_id: str,
    type: CreatableType,  # noqa: A002, RUF100 - the API's own word
    *,
    params: dict[str, Any] | None = None,
    wait: float = 0,
    ttl_seconds: int | None = None,
    idempotency_key: str | None = None,
) -> Request[Command]:
    """Send a command. The answer is the command: look at its `status`.

    `wait`: 0 to 60 seconds for which the server holds the answer until the command is terminal. `ttl_seconds`: 1 to
    604800 (300). `idempotency_key`: give your own (1 to 255 characters) to be safe across restarts of your program;
    without one a random key makes the SDK's own retries safe. Raises NotFound, DeviceNotBound, CommandQueueFull,
    IdempotencyKeyReused. Needs `devices:write`.
    """
    body = {
        "type": type,
        "params": params,
        "ttl_seconds": ttl_seconds,
        "idempotency_key": secrets.token_urlsafe(24) if idempotency_key is None else idempotency_key,
    }
    return post(path_of("devices", device_id, "commands"), Command, body, wait=wait)


def start_recording(
    device_id: str,
    *,
    max_duration_sec: int | None = None,
    upload_immediately: bool | None = None,
    metadata: dict[str, Any] | None = None,
    wait: float = 0,
    ttl_seconds: int | None = None,
    idempotency_key: str | None = None,
) -> Request[Command]:
    """Tell a recorder to start. `executed` means that it has; `result["recording_id"]` names the recording.

    `max_duration_sec`: 1 to 86400 (3600). `metadata` ends up on the recording; the device never sees it.
    """
    given = {"max_duration_sec": max_duration_sec, "upload_immediately": upload_immediately, "metadata": metadata}
    params = {name: value for name, value in given.items() if value is not None}
    return create(
        device_id,
        "start_recording",
        params=params or None,
        wait=wait,
        ttl_seconds=ttl_seconds,
        idempotency_key=idempotency_key,
    )


def stop_recording(
    device_id: str, *, wait: float = 0, ttl_seconds: int | None = None, idempotency_key: str | None = None
) -> Request[Command]:
    """Tell a recorder to stop; this also cancels older pending starts and stops of the device."""
    return create(device_id, "stop_recording", wait=wait, ttl_seconds=ttl_seconds, idempotency_key=idempotency_key)


def fetch(device_id: str, command_id: str) -> Request[Command]:
    """One command as it stands. Raises NotFound, also where it is another device's. Needs `devices:read`."""
    return get(path_of("devices", device_id, "commands", command_id), Command)


def pages(
    device_id: str,
    *,
    status: list[Status] | Status | None = None,
    type: CommandType | None = None,  # noqa: A002, RUF100 - the API's own word
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[Page[Command]]:
    """A device's commands, newest first. Needs `devices:read`."""
    path = path_of("devices", device_id, "commands")
    return get(path, Page[Command], status=status, type=type, limit=limit, cursor=cursor)


def cancel(device_id: str, command_id: str) -> Request[Command]:
    """Cancel a pending command; twice is fine. Raises CommandNotCancellable. Needs `devices:write`.

    The answer's `may_still_run_until` says until when a grant that was offered could still start something.
    """
    return Request("DELETE", path_of("devices", device_id, "commands", command_id), reader(Command))


def history(
    device_id: str, command_id: str, *, limit: int | None = None, cursor: str | None = None
) -> Request[Page[Event]]:
    """What happened to a command, oldest first. Needs `devices:read`."""
    path = path_of("devices", device_id, "commands", command_id, "events")
    return get(path, Page[Event], limit=limit, cursor=cursor)


def watch(device_id: str, command_id: str, *, timeout: float | None = None) -> Plan[None]:
    """The command each time that it has changed, until it is terminal. The first one comes at once.

    With `timeout` (seconds) it ends then, terminal or not: look at the last one's `status`.
    """
    begun = yield from monotonic()
    seen: Command | None = None
    pause = _SHORTEST_LOOK_SEC
    while True:
        command = yield from ask(fetch(device_id, command_id))
        if command != seen:
            yield Emit(command)
            seen, pause = command, _SHORTEST_LOOK_SEC
        left = None if timeout is None else begun + timeout - (yield from monotonic())
        if is_terminal(command) or (left is not None and left <= 0):
            return
        yield Pause(pause if left is None else min(pause, left))
        pause = min(pause * 1.5, _LONGEST_LOOK_SEC)


def wait_for(device_id: str, command_id: str, *, timeout: float | None = None) -> Plan[Command]:
    """The command once it is terminal, or as it stands after `timeout` seconds."""
    plan = watch(device_id, command_id, timeout=timeout)
    last: Command | None = None
    reply: Any = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Emit):
                last, reply = step.item, None
            else:
                reply = yield step
    except StopIteration:
        assert last is not None, "watch emits the first look"
        return last
