"""One line to standard error for each thing that a person may want to know. Never a token, a grant or a key."""

import logging

_LOG = logging.getLogger("rolltape.recorder")


def log(text: str) -> None:
    """Say it."""
    _LOG.info("%s", text)
