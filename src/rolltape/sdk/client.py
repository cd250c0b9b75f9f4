"""`Client` (blocking) and `AsyncClient`: the same calls, the same rules."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx2

from rolltape.clock import Clock, SystemClock
from rolltape.sdk.calls import accounts, commands, devices, recordings, relay_tokens
from rolltape.sdk.errors import SettingsError
from rolltape.sdk.exchange import Policy, Session
from rolltape.sdk.resource import (
    AsyncCall,
    AsyncCourse,
    AsyncItems,
    AsyncResource,
    AsyncWatch,
    Call,
    Course,
    Items,
    Resource,
    Watch,
)
from rolltape.sdk.transfer import download, upload
from rolltape.sdk.transport import Async, Blocking, client_options
from rolltape.wire.command import Command

DEFAULT_URL = "http://127.0.0.1:8787"
"""Where `rolltape serve` listens unless told otherwise."""


class Devices(Resource):
    """Recorders and their bindings."""

    register = Call(devices.register)
    get = Call(devices.fetch)
    list = Items(devices.pages)
    page = Call(devices.pages)
    update = Call(devices.update)
    delete = Call(devices.remove)
    bind = Call(devices.bind)
    unbind = Call(devices.unbind)
    reset = Call(devices.reset)
    state = Call(devices.state)
    stats = Call(devices.stats)
    start_recording = Call(commands.start_recording)
    stop_recording = Call(commands.stop_recording)


class AsyncDevices(AsyncResource):
    """Recorders and their bindings."""

    register = AsyncCall(devices.register)
    get = AsyncCall(devices.fetch)
    list = AsyncItems(devices.pages)
    page = AsyncCall(devices.pages)
    update = AsyncCall(devices.update)
    delete = AsyncCall(devices.remove)
    bind = AsyncCall(devices.bind)
    unbind = AsyncCall(devices.unbind)
    reset = AsyncCall(devices.reset)
    state = AsyncCall(devices.state)
    stats = AsyncCall(devices.stats)
    start_recording = AsyncCall(commands.start_recording)
    stop_recording = AsyncCall(commands.stop_recording)


class Commands(Resource):
    """Commands to devices."""

    create = Call(commands.create)
    send = create
    get = Call(commands.fetch)
    list = Items(commands.pages)
    page = Call(commands.pages)
    cancel = Call(commands.cancel)
    history = Items(commands.history)
    watch = Watch(commands.watch, Command)
    wait = Course(commands.wait_for)


class AsyncCommands(AsyncResource):
    """Commands to devices."""

    create = AsyncCall(commands.create)
    send = create
    get = AsyncCall(commands.fetch)
    list = AsyncItems(commands.pages)
    page = AsyncCall(commands.pages)
    cancel = AsyncCall(commands.cancel)
    history = AsyncItems(commands.history)
    watch = AsyncWatch(commands.watch, Command)
    wait = AsyncCourse(commands.wait_for)


class EndUsers(Resource):
    """Your people or places."""

    create = Call(accounts.create_end_user)
    get = Call(accounts.end_user)
    list = Items(accounts.end_user_pages)
    page = Call(accounts.end_user_pages)
    delete = Call(accounts.remove_end_user)


class AsyncEndUsers(AsyncResource):
    """Your people or places."""

    create = AsyncCall(accounts.create_end_user)
    get = AsyncCall(accounts.end_user)
    list = AsyncItems(accounts.end_user_pages)
    page = AsyncCall(accounts.end_user_pages)
    delete = AsyncCall(accounts.remove_end_user)


class Recordings(Resource):
    """What came back."""

    create = Call(recordings.create)
    get = Call(recordings.fetch)
    list = Items(recordings.pages)
    page = Call(recordings.pages)
    delete = Call(recordings.remove)
    upload_url = Call(recordings.upload_url)
    complete = Call(recordings.complete)
    download_url = Call(recordings.download_url)
    wait = Course(recordings.wait_for)
    upload = Course(upload)
    download = Course(download)


class AsyncRecordings(AsyncResource):
    """What came back."""

    create = AsyncCall(recordings.create)
    get = AsyncCall(recordings.fetch)
    list = AsyncItems(recordings.pages)
    page = AsyncCall(recordings.pages)
    delete = AsyncCall(recordings.remove)
    upload_url = AsyncCall(recordings.upload_url)
    complete = AsyncCall(recordings.complete)
    download_url = AsyncCall(recordings.download_url)
    wait = AsyncCourse(recordings.wait_for)
    upload = AsyncCourse(upload)
    download = AsyncCourse(download)


class Keys(Resource):
    """API keys of the project."""

    create = Call(accounts.create_key)
    list = Items(accounts.key_pages)
    page = Call(accounts.key_pages)
    revoke = Call(accounts.revoke_key)


class AsyncKeys(AsyncResource):
    """API keys of the project."""

    create = AsyncCall(accounts.create_key)
    list = AsyncItems(accounts.key_pages)
    page = AsyncCall(accounts.key_pages)
    revoke = AsyncCall(accounts.revoke_key)


class RelayTokens(Resource):
    """What lets a phone or a gateway carry for an end user's devices."""

    create = Call(relay_tokens.create)
    revoke = Call(relay_tokens.revoke)


class AsyncRelayTokens(AsyncResource):
    """What lets a phone or a gateway carry for an end user's devices."""

    create = AsyncCall(relay_tokens.create)
    revoke = AsyncCall(relay_tokens.revoke)


class Client:
    """A blocking client; threads may share one.

    `url` and `api_key` come from ROLLTAPE_URL (else http://127.0.0.1:8787) and ROLLTAPE_API_KEY where not given.
    `ca_file` (else ROLLTAPE_CA_FILE) is the certificate to trust for a server of your own with TLS. `policy` is how
    patient it is. Raises SettingsError for what can't work; nothing is sent until the first call.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> None:
        session = _session(url, api_key, policy)
        self.url = session.base_url
        self._http = httpx2.Client(**client_options(session.base_url, _ca_file(ca_file)))
        hands = Blocking(self._http, session, clock or SystemClock())
        self.devices = Devices(hands)
        self.commands = Commands(hands)
        self.end_users = EndUsers(hands)
        self.recordings = Recordings(hands)
        self.relay_tokens = RelayTokens(hands)
        self.keys = Keys(hands)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"rolltape.Client({self.url!r})"


class AsyncClient:
    """The same for asyncio; file work is done in threads. Settings as for `Client`."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        policy: Policy | None = None,
        clock: Clock | None = None,
    ) -> None:
        session = _session(url, api_key, policy)
        self.url = session.base_url
        self._http = httpx2.AsyncClient(**client_options(session.base_url, _ca_file(ca_file)))
        hands = Async(self._http, session, clock or SystemClock())
        self.devices = AsyncDevices(hands)
        self.commands = AsyncCommands(hands)
        self.end_users = AsyncEndUsers(hands)
        self.recordings = AsyncRecordings(hands)
        self.relay_tokens = AsyncRelayTokens(hands)
        self.keys = AsyncKeys(hands)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"rolltape.AsyncClient({self.url!r})"


def _session(url: str | None, api_key: str | None, policy: Policy | None) -> Session:
    from rolltape import __version__

    address = (url or os.environ.get("ROLLTAPE_URL") or DEFAULT_URL).rstrip("/")
    key = api_key or os.environ.get("ROLLTAPE_API_KEY")
    if not key:
        raise SettingsError("no API key: pass api_key, or set ROLLTAPE_API_KEY; `rolltape keys create` makes one")
    headers = {
        "Authorization": f"Bearer {_credential(key)}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"rolltape-python/{__version__}",
    }
    return Session(_address(address), headers, policy or Policy())


def _credential(key: str) -> str:
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("the API key holds characters that no key has; it looks like sk_test_… and is one word")
    return key


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
        sound = sound and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise SettingsError(f"{url!r:.200} is not a server's URL; it looks like https://rolltape.example.com")
    return url


def _ca_file(given: str | os.PathLike[str] | None) -> Path | None:
    name = given or os.environ.get("ROLLTAPE_CA_FILE")
    if not name:
        return None
    if not Path(name).is_file():
        raise SettingsError(f"the CA file {name} can't be read")
    return Path(name)
