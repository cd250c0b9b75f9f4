"""Random lives: hypothesis drives a pair of server and model through every call, in any order, at any moment."""

from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.pair import Pair
from tests.model.world import World

TYPES = ("start_recording", "stop_recording", "trigger_upload")
WORDS: tuple[tuple[str, dict[str, Any] | None, str | None], ...] = (
    ("executed", None, None),
    ("executed", {"recording_id": "rec_a"}, None),
    ("executed", {"recording_id": "rec_b", "n": 1}, None),
    ("failed", None, None),
    ("failed", None, "not_recording"),
    ("failed", {"why": "so"}, "storage_full"),
)
GAPS = (0, 0, 0, 0, "still", "before", "due", "after", 1, 1000, 5_000, 60_000, 3_600_000)
"""How much time goes by before a step: none, until just before, at or after the next expiry, or so many ms.
`still`: the timer goes on and the wall clock doesn't."""

which = st.integers(0, 40)
gap = st.sampled_from(GAPS)
who = st.sampled_from(("device", "device", "key", "old"))
maybe_in_heartbeat = st.sampled_from((False, False, True))


def profile(examples: int, steps: int, *, shrink: bool = True) -> settings:
    """Settings that give the same run every time for the same seed."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


class Lives(RuleBasedStateMachine):
    """One example is one device, from its first binding on. `world` is shared: time only goes on."""

    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        self.pair = Pair(self.world)
        self.pair.bind()

    def _wait(self, gap: Any) -> None:
        """Time goes by unseen: the very next call must find it out by itself."""
        if gap == "still":
            self.pair.stand_still(30)
        elif isinstance(gap, str):
            self.pair.jump(gap)
        else:
            self.pair.pass_time(gap)

    def _one_of(self, n: int) -> int:
        """Mostly a recent command, so that lives meet."""
        count = len(self.pair.ids)
        return count - 1 - n % min(count, 6) if n < 30 else n % count

    def _has_commands(self) -> bool:
        return bool(self.pair.ids)

    @rule(gap=gap, type_=st.sampled_from(TYPES), ttl=st.sampled_from((1, 2, 5, 300, 604_800)))
    def create(self, gap: Any, type_: str, ttl: int) -> None:
        self._wait(gap)
        self.pair.create(type_, ttl)

    @rule(
        gap=gap,
        type_=st.sampled_from(TYPES),
        ttl=st.sampled_from((2, 300)),
        longest=st.sampled_from((1, 3600)),
        key=st.sampled_from("ab"),
    )
    def create_with_a_key(self, gap: Any, type_: str, ttl: int, longest: int, key: str) -> None:
        self._wait(gap)
        self.pair.create(type_, ttl, longest, key)

    @rule(gap=gap, who=who, way=st.sampled_from(("heartbeat", "idle", "poll", "relay")))
    def offers(self, gap: Any, who: str, way: str) -> None:
        self._wait(gap)
        if way == "poll":
            self.pair.poll(who)
        elif way == "relay":
            self.pair.relay()
        else:
            self.pair.heartbeat(who, idle=way == "idle")

    @precondition(_has_commands)
    @rule(gap=gap, n=which, who=who, inside=maybe_in_heartbeat, times=st.sampled_from((1, 1, 2)))
    def acknowledge(self, gap: Any, n: int, who: str, inside: bool, times: int) -> None:
        """Twice: the answer was lost, and the device asks again."""
        self._wait(gap)
        for _ in range(times):
            self.pair.acknowledge(self._one_of(n), who, in_heartbeat=inside)

    @precondition(_has_commands)
    @rule(
        gap=gap,
        n=which,
        who=who,
        word=st.sampled_from(WORDS),
        inside=maybe_in_heartbeat,
        times=st.sampled_from((1, 1, 2)),
    )
    def report(self, gap: Any, n: int, who: str, word: Any, inside: bool, times: int) -> None:
        self._wait(gap)
        status, result, code = word
        for _ in range(times):
            self.pair.report(self._one_of(n), who, status, result, code, in_heartbeat=inside)

    @precondition(_has_commands)
    @rule(gap=gap, n=which)
    def cancel(self, gap: Any, n: int) -> None:
        self._wait(gap)
        self.pair.cancel(self._one_of(n))

    @rule(gap=gap, force=st.booleans())
    def unbind(self, gap: Any, force: bool) -> None:
        self._wait(gap)
        self.pair.unbind(force)

    @rule(gap=gap, user=st.sampled_from((0, 0, 1)))
    def bind(self, gap: Any, user: int) -> None:
        self._wait(gap)
        self.pair.bind(user)

    @rule(gap=gap, force=st.sampled_from((False, False, True)))
    def reset(self, gap: Any, force: bool) -> None:
        self._wait(gap)
        self.pair.reset(force)

    @rule(gap=gap, status=st.sampled_from(("pending", "delivered", "expired", "cancelled")))
    def look(self, gap: Any, status: str) -> None:
        self._wait(gap)
        self.pair.check_filters(status)

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.check()
            self.pair.check_history()
