"""Faults of simulated devices, and of the server that they talk to: each breaks a promise."""

import itertools

from rolltape.simulate.device import Device, Held
from rolltape.wire.claims import Claims
from tests.e2e.lying_server import Exchange, Json


class Forgetful(Device):
    """Its replay record forgets, so that what the power cut through is done again."""

    def mark(self, seq: int) -> None:
        pass


class Doubler(Device):
    """It does each thing once more."""

    def did(self, claims: Claims, now: float) -> None:
        super().did(claims, now)
        super().did(claims, now)


class Dawdler(Device):
    """It has its go in time, and acts when it likes, without a second look at the clock."""

    later: tuple[Held, Claims, float] | None = None

    def _obey(self, held: Held, claims: Claims, now: float) -> None:
        if self.later is None:
            self.mark(claims.seq)
            self.later = (held, claims, now + 2.2)

    def tick(self, now: float) -> float:
        if self.later is None:
            return super().tick(now)
        held, claims, when = self.later
        if now >= when:
            self.later = None
            super()._obey(held, claims, now)
        return when


class Braggart(Device):
    """It says that it did what it did not."""

    def act(self, claims: Claims, now: float) -> Json:
        return {"pending_recordings": 0}


class Loses:
    """It says that it has made a command, and hasn't: each fifth."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)

    def __call__(self, exchange: Exchange) -> tuple[int, Json] | None:
        if exchange.method != "POST" or not exchange.path.endswith("/commands"):
            return None
        number = next(self.numbers)
        if number % 5:
            return None
        exchange.body["ttl_seconds"] = 1
        status, told = exchange.forward()
        told["id"] = f"cmd_Lost{number}"
        return status, told


def swallows_reports(exchange: Exchange) -> tuple[int, Json] | None:
    """It thanks for reports, and forgets them."""
    if exchange.path.endswith("/report"):
        return 200, {}
    results = exchange.body.pop("results", None)
    if not results:
        return None
    status, told = exchange.forward()
    told["results"] = [{"id": one["id"], "ok": True, "status": one["status"]} for one in results]
    return status, told


def swaps_words(exchange: Exchange) -> tuple[int, Json] | None:
    """It tells the backend that all went well."""
    if exchange.method != "GET" or "/commands/" not in exchange.path:
        return None
    status, told = exchange.forward()
    if told.get("status") in ("failed", "cancelled", "expired"):
        told |= {"status": "executed", "error": None}
    return status, told
