"""One line to standard error for each thing that a person may want to know. Never a token, a grant or a key."""

import logging

_LOG = logging.getLogger("rolltape.relay")


def log(text: str) -> None:
    """Say it. What isn't printable is replaced: some of it came from a device."""
    _LOG.info("%s", "".join(letter if letter.isprintable() else "\ufffd" for letter in text))
