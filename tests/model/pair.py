"""A device on the real server and the model of it: each step is made on both and must come out the same."""

from typing import Any

import msgspec

from rolltape.wire.keys import un_b64url
from rolltape.wire.times import parse
from tests.model.rules import Answer, Model
from tests.model.world import World


class Difference(AssertionError):
    """Server and model did not say the same."""


def _same(what: str, server: object, model: object) -> None:
    if server != model:
        raise Difference(f"{what}: the server says {server!r}, the model {model!r}")


def _ms(text: str | None) -> int | None:
    return None if text is None else parse(text)


def _claim_in(grant: str, name: str) -> int:
    claim: int = msgspec.json.decode(un_b64url(grant.split(".")[1]))[name]
    return claim


def _seq_in(grant: str) -> int:
    return _claim_in(grant, "seq")


def facts_of(command: dict[str, Any]) -> dict[str, Any]:
    """The same facts as the model keeps, from a command object."""
    return {
        "type": command["type"],
        "status": command["status"],
        "error": None if command["error"] is None else command["error"]["code"],
        "result": command["result"],
        "expires_at": _ms(command["expires_at"]),
        "delivered_at": _ms(command["delivered_at"]),
        "reported_at": _ms(command["reported_at"]),
        "evidence": command["delivery"]["evidence"],
        "offers": command["delivery"]["offers"],
        "route": command["delivery"]["route"],
        "granted": command["grant_token"] is not None,
        "may_still_run_until": _ms(command["may_still_run_until"]),
    }


class Pair:
    """One device, twice. `who` is "device" (newest token), "key" (a backend that relays) or "old" (an ended token)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.model = Model(world.clock.now_ms())
        self.device = world.new_device()
        self.at = f"/v1/devices/{self.device}"
        self.ids: list[str] = []
        self.tokens: dict[int, str] = {}
        self._logged = 0
        self._told = 0

    # Time

    def pass_time(self, ms: int) -> None:
        """Moves both clocks. Tokens are believed for a second of the timer, so at least that goes by."""
        if ms <= 0:
            return
        clock = self.world.clock
        clock.advance(max(1.0, ms / 1000))
        clock.step_wall(self.model.now / 1000 + ms / 1000 - clock.now_ms() / 1000)
        self.model.now += ms
        assert clock.now_ms() == self.model.now
        if self.model.settle():  # the end of a binding is the timer's; all else is seen without it
            self.world.expire()

    def stand_still(self, seconds: float) -> None:
        """Time goes by on the timer alone: the wall clock was set back meanwhile, and waits until it has caught up."""
        self.world.clock.advance(seconds)
        self.world.clock.step_wall(-seconds)

    def jump(self, where: str) -> None:
        """To when the next command expires (`due`), one ms `before` or one `after`."""
        due = self.model.next_due()
        if due is not None:
            self.pass_time(due + {"before": -1, "due": 0, "after": 1}[where] - self.model.now)

    # A step: the same on both, and then everything is compared

    def _token(self, who: str) -> tuple[str | None, int | None]:
        if who == "key" or not self.tokens:
            return None, None
        newest = max(self.tokens)
        generation = newest if who == "device" else max((g for g in self.tokens if g != newest), default=newest)
        return self.tokens[generation], generation

    def _answers(self, what: str, got: tuple[int, Any], expected: Answer) -> None:
        status, body = got
        facts = expected[1]
        _same(f"{what}: status code ({body})", status, expected[0])
        if "error" in facts:
            _same(f"{what}: error code", body["error"]["code"], facts["error"])
            if "status" in facts:
                _same(f"{what}: details.status", body["error"]["details"]["status"], facts["status"])
        self._names(what, body, facts)
        self.check()

    def _names(self, what: str, body: Any, facts: dict[str, Any]) -> None:
        if "n" in facts:
            if facts["n"] == len(self.ids):
                self.ids.append(body["id"])
            _same(f"{what}: which command", body["id"], self.ids[facts["n"]])
            _same(f"{what}: its facts", facts_of(body), self.model.commands[facts["n"]].facts(self.model.now))
            if body["grant_token"] is not None:
                _same(f"{what}: seq", _seq_in(body["grant_token"]), self.model.commands[facts["n"]].seq)
        if "status" in facts and "error" not in facts:
            _same(f"{what}: status", body["status"], facts["status"])

    def bind(self, user: int = 0) -> None:
        """Binds, and keeps the token."""
        got = self.world.call("POST", f"{self.at}/bind", body={"end_user_id": self.world.users[user]})
        expected = self.model.bind(user)
        if got[0] == 200:
            _same("bind: generation", got[1]["binding_generation"], self.model.generation)
            self.tokens[self.model.generation] = got[1]["device_token"]
        self._answers("bind", got, expected)

    def unbind(self, force: bool = False) -> None:
        """Unbinds."""
        got = self.world.call("POST", f"{self.at}/unbind", body={"force": force})
        self._answers("unbind", got, self.model.unbind(force))

    def reset(self, force: bool = False) -> None:
        """Asks for a factory reset."""
        got = self.world.call("POST", f"{self.at}/reset", body={"force": force})
        self._answers("reset", got, self.model.reset(force))

    def create(
        self, type_: str = "start_recording", ttl: int = 300, longest: int = 3600, key: str | None = None
    ) -> int:
        """Creates; the number of the newest command then."""
        body: dict[str, Any] = {"type": type_, "ttl_seconds": ttl}
        if type_ == "start_recording":
            body["params"] = {"max_duration_sec": longest}
        if key is not None:
            body["idempotency_key"] = key
        got = self.world.call("POST", f"{self.at}/commands", body=body)
        self._answers("create", got, self.model.create(type_, ttl, longest, key))
        return len(self.ids) - 1

    def cancel(self, n: int) -> None:
        """Cancels."""
        self._answers("cancel", self.world.call("DELETE", f"{self.at}/commands/{self.ids[n]}"), self.model.cancel(n))

    def heartbeat(self, who: str = "device", *, idle: bool = False) -> None:
        """A heartbeat that only asks; `idle` says that nothing is being recorded."""
        token, generation = self._token(who)
        got = self.world.call("POST", f"{self.at}/heartbeat", token, {"recording": None} if idle else {})
        expected = self.model.offers(generation, "heartbeat")
        if idle and expected[0] == 200:
            self.model.says_idle(generation)
        self._offered("heartbeat", got, expected)

    def poll(self, who: str = "device") -> None:
        """A poll that doesn't wait."""
        token, generation = self._token(who)
        got = self.world.call("GET", f"{self.at}/commands/pending", token)
        self._offered("poll", got, self.model.offers(generation, "poll"))

    def relay(self) -> None:
        """A relay of the present user asks for everything, with a token of its own."""
        user = self.world.users[self.model.user or 0]
        token = self.world.made("/v1/relay-tokens", end_user_id=user)["relay_token"]
        status, told = self.world.call("GET", "/v1/relay/commands", token)
        expected = self.model.relay()
        mine = [offer for offer in told["commands"] if offer["device_id"] == self.device]
        _same("relay: offers", [self.ids.index(offer["id"]) for offer in mine], [n for n, _ in expected[1]["offered"]])
        ends = {offer["id"]: _claim_in(offer["grant_token"], "exp") * 1000 for offer in mine}
        for id_, end in ends.items():
            until = min(self.model.commands[self.ids.index(id_)].expires_at, self.model.now // 1000 * 1000 + 900_000)
            _same("relay: when its grant ends", end, until)
        self._answers("relay", (status, told), (200, {}))

    def _offered(self, what: str, got: tuple[int, Any], expected: Answer) -> None:
        if got[0] == expected[0] == 200:
            offers = got[1]["commands"]
            seen = [(self.ids.index(offer["id"]), offer["seq"]) for offer in offers]
            _same(f"{what}: offers and their seq", seen, expected[1]["offered"])
            _same(f"{what}: seq in the grants", [_seq_in(o["grant_token"]) for o in offers], [seq for _, seq in seen])
            _same(f"{what}: more", got[1]["more"], expected[1]["more"])
        self._answers(what, got, expected)

    def acknowledge(self, n: int, who: str = "device", *, in_heartbeat: bool = False) -> None:
        """Acknowledges, by itself or inside a heartbeat (which then asks for offers too)."""
        token, generation = self._token(who)
        if in_heartbeat:
            self._in_heartbeat(
                "acks", token, generation, self.ids[n], lambda: self.model.acknowledge(n, generation, "heartbeat")
            )
            return
        got = self.world.call("POST", f"{self.at}/commands/{self.ids[n]}/ack", token)
        expected = self.model.acknowledge(n, generation)
        if got[0] == 200:
            _same("acknowledge: go", got[1]["go"], expected[1].get("go"))
        self._answers("acknowledge", got, expected)

    def report(
        self,
        n: int,
        who: str = "device",
        status: str = "executed",
        result: dict[str, Any] | None = None,
        code: str | None = None,
        *,
        in_heartbeat: bool = False,
    ) -> None:
        """Reports, by itself or inside a heartbeat."""
        token, generation = self._token(who)
        body: dict[str, Any] = {"status": status}
        body |= {} if result is None else {"result": result}
        body |= {} if code is None else {"error": {"code": code, "message": "so it is"}}
        code = code if status == "failed" else None
        if in_heartbeat:
            item = {"id": self.ids[n], **body}
            self._in_heartbeat(
                "results",
                token,
                generation,
                item,
                lambda: self.model.report(n, generation, status, result, code, "heartbeat"),
            )
            return
        got = self.world.call("POST", f"{self.at}/commands/{self.ids[n]}/report", token, body)
        self._answers("report", got, self.model.report(n, generation, status, result, code))

    def _in_heartbeat(self, what: str, token: str | None, generation: int | None, item: Any, do: Any) -> None:
        got = self.world.call("POST", f"{self.at}/heartbeat", token, {what: [item]})
        # A token of an ended binding gets no heartbeat at all.
        self.model.settle()
        if generation in self.model.ended_at:
            self._answers("heartbeat", got, (401, {"error": "token_revoked"}))
            return
        status, facts = do()
        _same("heartbeat: status code", got[0], 200)
        answer = got[1][what][0]
        _same(f"heartbeat {what}: good", answer["go" if what == "acks" else "ok"], status == 200)
        _same(f"heartbeat {what}: status", answer["status"], facts.get("status"))
        if status != 200 and what == "results":
            _same("heartbeat results: error", answer["error"]["code"], facts["error"])
        self._offered("heartbeat", got, self._offers_after(generation))

    def _offers_after(self, generation: int | None) -> Answer:
        if generation in self.model.ended_at:  # the item itself ended the binding
            return 200, {"offered": [], "more": False}
        return self.model.offers(generation, "heartbeat")

    # Comparing

    def check(self) -> None:
        """All commands as a backend reads them, and all events since the last look."""
        self.model.settle()
        status, page = self.world.call("GET", f"{self.at}/commands?limit=100")
        _same("list: status code", status, 200)
        _same("list: which commands", [c["id"] for c in page["data"]], self.ids[::-1][:100])
        for n, command in zip(range(len(self.ids) - 1, -1, -1), page["data"], strict=False):
            _same(f"command {n}", facts_of(command), self.model.commands[n].facts(self.model.now))
        events = self.world.events_after(self.device, self._logged)
        names = {id_: n for n, id_ in enumerate(self.ids)}
        seen = [(type_, None if id_ is None else names[id_], before) for _, type_, id_, before in events]
        _same("events", seen, self.model.log[self._told :])
        self._logged = events[-1][0] if events else self._logged
        self._told = len(self.model.log)

    def check_history(self) -> None:
        """Each command's history, as a backend reads it."""
        for n, command in enumerate(self.model.commands):
            status, page = self.world.call("GET", f"{self.at}/commands/{self.ids[n]}/events?limit=100")
            _same("history: status code", status, 200)
            seen = [(event["type"], event.get("previous_status")) for event in page["data"]]
            _same(f"history of {n}", seen, command.history)
            _same(f"last status in the history of {n}", page["data"][-1]["data"]["status"], command.status)

    def check_filters(self, status: str) -> None:
        """A list by status shows exactly those."""
        self.model.settle()
        code, page = self.world.call("GET", f"{self.at}/commands?limit=100&status={status}")
        expected = [self.ids[n] for n, c in enumerate(self.model.commands) if c.status == status][::-1]
        _same("list by status", (code, [c["id"] for c in page["data"]]), (200, expected[:100]))
