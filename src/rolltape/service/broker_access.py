"""Whom a broker may let in, and what they may say and hear there: asked by brokers, over HTTP.

A device's user name and client id are its id, its password is its token. It hears its own two topics, each by its name
and never by a pattern, and speaks on its own three. The server itself may do whatever is under `rolltape/`.
"""

import hmac
from enum import Enum, auto

from rolltape.codes import Code, Problem
from rolltape.domain.principal import DevicePrincipal
from rolltape.mqtt.address import Address
from rolltape.service.auth import authenticate
from rolltape.service.context import Services
from rolltape.wire.ids import is_id
from rolltape.wire.mqtt import DOWN, ROOT, SHARE, UP, place_of, topic


class Guest(Enum):
    """Who may come in."""

    DEVICE = auto()
    SERVER = auto()


class Act(Enum):
    """What is done with a topic."""

    SAY = auto()
    HEAR = auto()


def is_server(own: Address | None, username: str, password: str | None = None) -> bool:
    """Whether that is the server's own user; with a password, whether that is right too."""
    if own is None or not own.username:
        return False
    same = hmac.compare_digest(username.encode(), own.username.encode())
    if password is None:
        return same
    return hmac.compare_digest(password.encode(), (own.password or "").encode()) and same


async def may_come_in(
    app: Services, own: Address | None, username: str, password: str, client_id: str, now: int
) -> Guest | None:
    """Who that is; None for nobody who may come in. Raises Problem: unavailable.

    A device has its own id as its client id: under another's it would throw that one out.
    """
    if is_server(own, username, password):
        return Guest.SERVER
    if not is_id("dev", username) or client_id != username or not password.startswith("dtok_"):
        return None
    try:
        who = await authenticate(app, password, now)
    except Problem as problem:
        if problem.code == Code.UNAVAILABLE:
            raise
        return None
    good = isinstance(who, DevicePrincipal) and not who.ended and who.device_id == username
    return Guest.DEVICE if good else None


async def may_use(app: Services, own: Address | None, username: str, client_id: str, name: str, act: Act) -> bool:
    """Whether somebody who was let in may do that with a topic or a filter. Raises Problem: unavailable."""
    if is_server(own, username):
        return name.removeprefix(f"$share/{SHARE}/").startswith(f"{ROOT}/")
    place = place_of(name)
    if place is None or place.device_id != username or client_id != username:
        return False
    if place.leaf not in (UP if act is Act.SAY else DOWN):
        return False
    bound = await app.store.bound_device(username)
    return bound is not None and bound.project_id == place.project_id


async def topics_of(app: Services, device_id: str) -> tuple[list[str], list[str]]:
    """What a device may say and hear. Empty for one that isn't bound. Raises Problem: unavailable."""
    bound = await app.store.bound_device(device_id)
    if bound is None:
        return [], []
    own = (bound.project_id, bound.device_id)
    return [topic(*own, leaf) for leaf in UP], [topic(*own, leaf) for leaf in DOWN]
