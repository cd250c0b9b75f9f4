"""The rules of a command's life, said a second time in plain Python, for one device.

Written from the documented behaviour and not from the server: nothing of `rolltape` is imported here. Each method takes
what a caller asks and gives the answer that the caller must hear: a status code and the facts that go with it.
"""

from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, dict[str, Any]]
"""Status code, and the facts that are compared."""

OPEN = ("pending", "delivered")
DAY = 86_400_000
STRENGTH = {None: 0, "offered": 1, "relay": 2, "device": 3}
RANK = {"factory_reset": 0, "stop_recording": 1}
ROUTES = {("device", "heartbeat"): "heartbeat", ("device", "poll"): "poll"}
MOST_OPEN = 100
OFFERS_AT_ONCE = 4
RELAY_GRANTS_LAST_MS = 900_000


def ceil_second(ms: int) -> int:
    """Rounded up to a whole second."""
    return (ms + 999) // 1000 * 1000


def refused(status: int, code: str, object_status: str | None = None) -> Answer:
    """An error answer; `object_status` is its details.status, where it must have one."""
    return status, {"error": code} if object_status is None else {"error": code, "status": object_status}


@dataclass
class ModelCommand:
    """A command as the model believes it to be. Times are ms."""

    seq: int
    generation: int
    type: str
    created_at: int
    expires_at: int
    longest_ms: int
    status: str = "pending"
    error: str | None = None
    result: dict[str, Any] | None = None
    delivered_at: int | None = None
    reported_at: int | None = None
    evidence: str | None = None
    offers: int = 0
    route: str | None = None
    routes: set[str] = field(default_factory=set)
    relay_until: int = 0
    history: list[tuple[str, str | None]] = field(default_factory=list)

    def facts(self, now: int) -> dict[str, Any]:
        """What a backend with every scope reads."""
        still = self.type == "start_recording" and self.offers > 0 and self.status not in ("executed", "failed")
        until = self.relay_until if self.routes == {"relay"} else self.expires_at
        return {
            "type": self.type,
            "status": self.status,
            "error": self.error,
            "result": self.result,
            "expires_at": self.expires_at,
            "delivered_at": self.delivered_at,
            "reported_at": self.reported_at,
            "evidence": self.evidence,
            "offers": self.offers,
            "route": self.route,
            "granted": self.status in OPEN,
            "may_still_run_until": until if still and now < until else None,
        }


def _recording_in(command: ModelCommand) -> str | None:
    """The recording that a result tells of."""
    return None if command.result is None else command.result.get("recording_id")


@dataclass
class Running:
    """A recording that was started from afar, as far as the device said."""

    until: int
    recording_id: str | None


class Model:
    """One device, its commands in the order of their creation, and the log of its events."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.generation = 0
        self.user: int | None = None
        self.seq = 0
        self.last_stop = 0
        self.last_obeyed_stop = 0
        self.running: Running | None = None
        self.commands: list[ModelCommand] = []
        self.keys: dict[tuple[int, str], tuple[int, tuple[Any, ...]]] = {}
        self.ended_at: dict[int, int] = {}
        self.log: list[tuple[str, int | None, str | None]] = []

    # What happens by itself

    def settle(self) -> bool:
        """Expires what is due, the longest due first; whether that ended the binding."""
        due = [c for c in self.commands if c.status in OPEN and c.expires_at <= self.now]
        ends = None
        for command in sorted(due, key=lambda c: (c.expires_at, c.seq)):
            if command.status == "delivered":
                command.error = "result_not_reported"
                ends = command.generation if command.type == "factory_reset" else ends
            self._move(command, "expired")
        return ends is not None and self._end_binding(ends)

    def next_due(self) -> int | None:
        """When the next open command expires."""
        return min((c.expires_at for c in self.commands if c.status in OPEN), default=None)

    def _move(self, command: ModelCommand, to: str) -> None:
        before, command.status = command.status, to
        self._tell(command, to, before)

    def _tell(self, command: ModelCommand, what: str, before: str | None = None) -> None:
        command.history.append((f"command.{what}", before))
        self.log.append((f"command.{what}", self.commands.index(command), before))

    def _close_open(self, why: str) -> None:
        for command in self.commands:
            if command.status in OPEN:
                command.error = why
                self._move(command, "cancelled")

    def _end_binding(self, generation: int) -> bool:
        if self.user is None or self.generation != generation:
            return False
        self.user = None
        self.ended_at[generation] = self.now
        self._close_open("device_unbound")
        self.log.append(("device.unbound", None, None))
        return True

    # What a backend asks

    def bind(self, user: int) -> Answer:
        """Binds; the same user again only gets a further token."""
        self.settle()
        if self.user not in (None, user):
            return refused(409, "device_already_bound", "bound")
        if self.user is None:
            self.user, self.generation, self.running = user, self.generation + 1, None
            self.log.append(("device.bound", None, None))
        return 200, {"generation": self.generation}

    def unbind(self, force: bool) -> Answer:
        """Lets the device go; refused while it may still be recording for us, unless forced."""
        self.settle()
        if self.user is None:
            return 200, {"status": "unbound"}
        records = self.running is not None and self.now < self.running.until
        stops = any(c.status in OPEN and c.type == "stop_recording" for c in self.commands)
        if not force and (records or stops):
            return refused(409, "device_recording", "bound")
        self._close_open("device_unbound")
        self._end_binding(self.generation)
        return 200, {"status": "unbound"}

    def reset(self, force: bool) -> Answer:
        """A factory reset: one at a time, in the way of nothing else."""
        self.settle()
        if self.user is None:
            return refused(409, "device_not_bound", "unbound")
        if force:
            return self.unbind(True)
        for n, command in enumerate(self.commands):
            if command.type == "factory_reset" and command.status in OPEN:
                return 200, {"n": n}
        self._close_open("device_reset")
        return 201, {"n": self._new("factory_reset", 7 * 86400, 3600)}

    def create(self, type_: str, ttl: int, longest: int, key: str | None) -> Answer:
        """Creates a command, or replays the one that the key made under this binding."""
        self.settle()
        request = (type_, ttl, longest if type_ == "start_recording" else None)
        if key is not None and (known := self._known(key)) is not None:
            n, before = known
            if before != request:
                return refused(409, "idempotency_key_reused", self.commands[n].status)
            return 200, {"n": n}
        if self.user is None:
            return refused(409, "device_not_bound", "unbound")
        open_ = [c for c in self.commands if c.status in OPEN and c.type != "factory_reset"]
        if type_ != "stop_recording" and len(open_) >= MOST_OPEN:
            return refused(409, "command_queue_full")
        if type_ == "stop_recording":
            self._clear_the_way()
        n = self._new(type_, ttl, longest)
        if key is not None:
            self.keys[self.generation, key] = n, request
        return 201, {"n": n}

    def _known(self, key: str) -> tuple[int, tuple[Any, ...]] | None:
        known = self.keys.get((self.generation, key))
        if known is None:
            return None
        command = self.commands[known[0]]
        old = command.created_at < self.now - 30 * DAY
        return None if old and command.status not in OPEN else known

    def _clear_the_way(self) -> None:
        for command in self.commands:
            if command.status == "pending" and command.type in ("start_recording", "stop_recording"):
                command.error = "superseded"
                self._move(command, "cancelled")

    def _new(self, type_: str, ttl: int, longest: int) -> int:
        self.seq += 1
        if type_ == "stop_recording":
            self.last_stop = self.seq
        until = ceil_second(self.now + ttl * 1000)
        self.commands.append(ModelCommand(self.seq, self.generation, type_, self.now, until, longest * 1000))
        self._tell(self.commands[-1], "created")
        return len(self.commands) - 1

    def cancel(self, n: int) -> Answer:
        """Only what the device hasn't said that it has; twice is fine."""
        self.settle()
        command = self.commands[n]
        if command.status == "pending":
            self._move(command, "cancelled")
        if command.status != "cancelled":
            return refused(409, "command_not_cancellable", command.status)
        return 200, {"n": n}

    # What the device asks, by its token of `generation`, or a backend that speaks for it (None)

    def _locked_out(self, generation: int | None, story: bool) -> bool:
        ended = None if generation is None else self.ended_at.get(generation)
        return ended is not None and (not story or self.now >= ended + 8 * DAY)

    def offers(self, generation: int | None, way: str) -> Answer:
        """A heartbeat or a poll: all that waits, four at a time, again and again."""
        self.settle()
        if self._locked_out(generation, story=False):
            return refused(401, "token_revoked")
        return self._offered("relay" if generation is None else way, None)

    def relay(self) -> Answer:
        """A relay of the present user asks for all that waits: its grants end soon."""
        self.settle()
        if self.user is None:
            return 200, {"offered": []}
        until = self.now // 1000 * 1000 + RELAY_GRANTS_LAST_MS
        return 200, {"offered": self._offered("relay", until)[1]["offered"]}

    def _offered(self, route: str, until: int | None) -> Answer:
        waiting = [c for c in self.commands if c.status == "pending"]
        waiting.sort(key=lambda c: (RANK.get(c.type, 2), c.seq))
        for command in waiting[:OFFERS_AT_ONCE]:
            command.offers += 1
            command.route = route
            command.evidence = command.evidence or "offered"
            if route == "relay":
                ends = command.expires_at if until is None else min(until, command.expires_at)
                command.relay_until = max(command.relay_until, ends)
            if route not in command.routes:
                command.routes.add(route)
                self._tell(command, "offered")
        offered = [(self.commands.index(c), c.seq) for c in waiting[:OFFERS_AT_ONCE]]
        return 200, {"offered": offered, "more": len(waiting) > OFFERS_AT_ONCE}

    def acknowledge(self, n: int, generation: int | None, way: str | None = None) -> Answer:
        """Go or no-go. `way`: the route by which it came, if that says one."""
        self.settle()
        command = self.commands[n]
        if self._locked_out(generation, story=True):
            return refused(401, "token_revoked")
        if generation not in (None, command.generation):
            return refused(404, "not_found")
        late = command.type == "start_recording" and command.seq < self.last_stop
        if generation in self.ended_at or command.status not in OPEN or late:
            return refused(409, "command_no_go", command.status)
        if command.status == "pending":
            command.delivered_at = self.now
            command.evidence = "relay" if generation is None else "device"
            command.route = ("relay" if generation is None else way) or command.route
            self._move(command, "delivered")
        return 200, {"go": True, "status": "delivered"}

    def report(
        self,
        n: int,
        generation: int | None,
        status: str,
        result: dict[str, Any] | None,
        code: str | None,
        way: str | None = None,
    ) -> Answer:
        """The device's word is final. `way`: the route by which it came, if that says one."""
        self.settle()
        command = self.commands[n]
        if self._locked_out(generation, story=True):
            return refused(401, "token_revoked")
        if generation not in (None, command.generation):
            return refused(404, "not_found")
        error = (code or "internal") if status == "failed" else None
        evidence = "relay" if generation is None else "device"
        if command.status in ("executed", "failed"):
            stronger = STRENGTH[evidence] > STRENGTH[command.evidence]
            if (command.status, command.result, command.error) == (status, result, error):
                command.evidence = evidence if stronger else command.evidence
                return 200, {"status": status}
            if not stronger:
                return refused(409, "result_conflict", command.status)
        self._take_back(command)
        command.result, command.error, command.evidence = result, error, evidence
        if command.delivered_at is None:
            command.delivered_at = self.now
            command.route = ("relay" if generation is None else way) or command.route
        command.reported_at = self.now
        self._move(command, status)
        self._follow(command)
        return 200, {"status": status}

    def _take_back(self, command: ModelCommand) -> None:
        """A start that is said, on better evidence, not to have gone as it was told: that recording doesn't run."""
        if command.type != "start_recording" or command.status != "executed" or self.running is None:
            return
        if command.generation == self.generation and self.running.recording_id == _recording_in(command):
            self.running = None

    def _follow(self, command: ModelCommand) -> None:
        done = command.status == "executed"
        if command.type == "start_recording" and done:
            if command.generation == self.generation and command.seq >= self.last_obeyed_stop:
                self.running = Running(self.now + command.longest_ms, _recording_in(command))
        elif command.type == "stop_recording" and (done or command.error == "not_recording"):
            self.last_obeyed_stop = max(self.last_obeyed_stop, command.seq)
            newer = [c for c in self.commands if c.type == "start_recording" and c.seq > command.seq]
            if command.generation == self.generation and all(c.status != "executed" for c in newer):
                self.running = None
        elif command.type == "factory_reset" and done:
            self._end_binding(command.generation)

    def says_idle(self, generation: int | None) -> None:
        """A heartbeat with `recording: null`."""
        self.running = None
