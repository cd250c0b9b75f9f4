"""What brokers ask: EMQX, VerneMQ, and those that speak as mosquitto-go-auth and amqtt do. docs/mqtt.md has examples.

These paths are no part of the API: they are there when `ROLLTAPE_MQTT_AUTH_SECRET` is set, for whoever shows it as
`Authorization: Bearer …` or, where a broker can't send headers, as `?secret=…`.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from rolltape.codes import Code, Problem
from rolltape.mqtt.address import Address, parse
from rolltape.service.broker_access import Act, Guest, may_come_in, may_use, topics_of
from rolltape.service.context import Services
from rolltape.web.call import ClientGone, Message, Receive, Scope, Send

PREFIX: Final = "/broker/"
BODY_LIMIT: Final = 2 * 1024 * 1024
"""VerneMQ shows the payload of what is to be published, which it writes in base64."""
_Answer = tuple[int, Any]
_Ask = dict[str, Any]
_JSON: Final = (b"content-type", b"application/json")
_HEARS: Final = 1
_SAYS: Final = 2
_BOTH: Final = 3
_SUBSCRIBES: Final = 4


class BrokerDoor:
    """Answers brokers. `asked` counts the answers by path and status."""

    def __init__(self, app: Services, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()
        self._own: Address | None = None if app.config.mqtt is None else parse(app.config.mqtt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        take = _PATHS.get(scope["path"])
        try:
            body = await _read(receive)
        except ClientGone:
            return
        if take is None:
            await _send(send, (404, {"error": "a broker asks at " + ", ".join(_PATHS)}))
        elif not self._is_shown(scope):
            await _send(
                send, (401, {"error": "show ROLLTAPE_MQTT_AUTH_SECRET, as Authorization: Bearer … or ?secret=…"})
            )
        elif scope["method"] != "POST" or body is None:
            await _send(send, (400, {"error": "send a POST with a body of at most 2 MiB"}))
        else:
            await _send(send, await self._answer(take, scope, body))

    def _is_shown(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        shown = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        if not shown:
            shown = "".join(parse_qs(scope["query_string"].decode("latin-1")).get("secret", [""])).encode()
        return hmac.compare_digest(shown, self._secret)

    async def _answer(self, take: "_Take", scope: Scope, body: bytes) -> _Answer:
        headers = dict(scope["headers"])
        try:
            return await take(self, _asked(headers.get(b"content-type", b""), body), headers)
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return 400, {"error": "the body can't be read: send JSON or a form, as docs/mqtt.md has it"}
        except Problem as problem:
            if problem.code != Code.UNAVAILABLE:
                raise
            return 503, {"error": problem.message}

    async def _guest(self, ask: _Ask) -> Guest | None:
        client_id = _text(ask, "clientid") or _text(ask, "client_id")
        now = self._app.clock.now_ms()
        return await may_come_in(self._app, self._own, _text(ask, "username"), _text(ask, "password"), client_id, now)

    async def _may(self, ask: _Ask, name: str, act: Act) -> bool:
        client_id = _text(ask, "clientid") or _text(ask, "client_id")
        return await may_use(self._app, self._own, _text(ask, "username"), client_id, name, act)

    # EMQX: https://docs.emqx.com/en/emqx/latest/access-control/authn/http.html and …/authz/http.html

    async def emqx_authn(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        guest = await self._guest(ask)
        if guest is None:
            return 200, {"result": "deny"}
        if guest is Guest.SERVER:
            return 200, {"result": "allow", "is_superuser": True}
        says, hears = await topics_of(self._app, _text(ask, "username"))
        rules = [{"permission": "allow", "action": "publish", "topic": f"eq {each}"} for each in says]
        rules += [{"permission": "allow", "action": "subscribe", "topic": f"eq {each}"} for each in hears]
        rules.append({"permission": "deny", "action": "all", "topic": "#"})
        return 200, {"result": "allow", "is_superuser": False, "acl": rules}

    async def emqx_authz(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        act = {"publish": Act.SAY, "subscribe": Act.HEAR}.get(_text(ask, "action"))
        good = act is not None and await self._may(ask, _text(ask, "topic"), act)
        return 200, {"result": "allow" if good else "deny"}

    # VerneMQ: https://docs.vernemq.com/plugin-development/webhookplugins

    async def vernemq(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        hook = headers.get(b"vernemq-hook", b"").decode("latin-1").removesuffix("_m5")
        if hook == "auth_on_register":
            good = await self._guest(ask) is not None
        elif hook == "auth_on_publish":
            good = await self._may(ask, _text(ask, "topic"), Act.SAY)
        elif hook == "auth_on_subscribe":
            topics = [_text(each, "topic") for each in ask.get("topics") or () if isinstance(each, dict)]
            good = bool(topics) and all([await self._may(ask, each, Act.HEAR) for each in topics])
        else:
            return 200, {"result": "next"}
        return 200, {"result": "ok" if good else {"error": "not_allowed"}}

    # mosquitto-go-auth's http backend, and amqtt's: status and `ok` say the same, for either way of reading it

    async def user(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        return _ok(await self._guest(ask) is not None)

    async def superuser(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        return _ok(False)

    async def acl(self, ask: _Ask, headers: dict[bytes, bytes]) -> _Answer:
        acts = {_HEARS: (Act.HEAR,), _SAYS: (Act.SAY,), _BOTH: (Act.HEAR, Act.SAY), _SUBSCRIBES: (Act.HEAR,)}
        asked = acts.get(int(ask.get("acc") or 0), ())
        return _ok(bool(asked) and all([await self._may(ask, _text(ask, "topic"), act) for act in asked]))


_Take = Callable[[BrokerDoor, _Ask, dict[bytes, bytes]], Awaitable[_Answer]]
_PATHS: Final[dict[str, _Take]] = {
    "/broker/emqx/authn": BrokerDoor.emqx_authn,
    "/broker/emqx/authz": BrokerDoor.emqx_authz,
    "/broker/vernemq": BrokerDoor.vernemq,
    "/broker/http/user": BrokerDoor.user,
    "/broker/http/superuser": BrokerDoor.superuser,
    "/broker/http/acl": BrokerDoor.acl,
}


def _ok(good: bool) -> _Answer:
    return (200, {"ok": True, "error": ""}) if good else (403, {"ok": False, "error": "not allowed"})


def _text(ask: _Ask, name: str) -> str:
    value = ask.get(name)
    return value if isinstance(value, str) else ""


def _asked(content_type: bytes, body: bytes) -> _Ask:
    """Raises msgspec.DecodeError, UnicodeDecodeError, ValueError."""
    if content_type.startswith(b"application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=50).items()}
    return msgspec.json.decode(body, type=dict[str, Any])


async def _read(receive: Receive) -> bytes | None:
    """The body; None for one that is too long. Raises ClientGone."""
    parts, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        if len(parts) <= BODY_LIMIT:
            parts += message.get("body", b"")
        more = bool(message.get("more_body"))
    return bytes(parts) if len(parts) <= BODY_LIMIT else None


async def _send(send: Send, answer: _Answer) -> None:
    body = msgspec.json.encode(answer[1])
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    start: Message = {"type": "http.response.start", "status": answer[0], "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
