"""The relay token: it lives at most a day, so a file that holds it is read again whenever it changes."""

import contextlib
import os

from rolltape.relay.config import RelaySettings

MAX_TOKEN_BYTES = 4096
_MINT = "Your backend makes one: rolltape relay-tokens create, or POST /v1/relay-tokens."


class TokenEnded(Exception):
    """The server doesn't take this token, or takes it no longer: nothing may be carried until there is a new one."""


class Token:
    """The present token."""

    def __init__(self, settings: RelaySettings) -> None:
        self._file = settings.token_file
        self._text = settings.token or ""
        self._mark: tuple[int, int, int] | None = None
        self._refused = ""
        if self._file is not None:
            try:
                self._text = self._read()
            except OSError as error:
                why = error.strerror or str(error)
                raise ValueError(f"the relay token can't be read from {self._file}: {why}. {_MINT}") from error
        if not self._text:
            raise ValueError(f"the relay token is empty. {_MINT}")

    @property
    def can_change(self) -> bool:
        """Whether a new one may come."""
        return self._file is not None

    def current(self) -> str:
        """The token to use now. Raises TokenEnded where the server has refused it already."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # being replaced, or gone for a moment: the one known goes on
                self._text = self._read() or self._text
        if self._text == self._refused:
            raise TokenEnded(f"the relay token has ended. {_MINT}")
        return self._text

    def refuse(self, token: str) -> None:
        """The server said 401 to it."""
        self._refused = token

    def _read(self) -> str:
        assert self._file is not None
        with self._file.open("rb") as file:
            facts = os.fstat(file.fileno())
            mark = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if mark != self._mark:
                self._text = file.read(MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
                self._mark = mark
        return self._text
