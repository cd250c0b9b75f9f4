"""Telling the server how commands ended, each until the server has answered that it knows."""

from rolltape.recorder.device_api import report_body
from rolltape.recorder.heard import ResultHeard
from rolltape.recorder.journal import Entry
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.transport import TokenEnded, Unreachable

MOST_IN_A_HEARTBEAT = 50
_NEVER = frozenset({400, 401, 404, 413, 422})
"""401 comes here only for the token of an earlier binding, whose time is over then."""


class Reports:
    """The loop that reports. Results also ride on heartbeats: an equal second report changes nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def for_heartbeat(self) -> list[dict[str, object]]:
        """The reports that the server hasn't answered yet, as heartbeat items."""
        untold = self._parts.journal.untold()[:MOST_IN_A_HEARTBEAT]
        return [{"id": e.id, **report_body(e.report)} for e in untold if e.report is not None]

    def heard(self, result: ResultHeard) -> None:
        """A heartbeat answer said what became of a report."""
        entry = self._parts.journal.get(result.id)
        if entry is None or entry.report is None or entry.told:
            return
        code = result.error.code if result.error else ""
        if code == "not_found" and self._parts.identity.known.former_token is not None:
            return  # it may be of the binding before: a report of its own tells
        if result.ok or code in {"result_conflict", "not_found"}:
            self._parts.told(entry)

    async def run(self) -> None:
        """For ever."""
        backoff = self._parts.backoff()
        while True:
            untold = self._parts.journal.untold()
            if not untold:
                backoff.succeeded()
                await self._parts.bells.report.wait()
                continue
            try:
                kept = [entry for entry in untold if not await self._tell(entry)]
                pause, retry_after = (backoff.next() if kept else 0.0), None
            except Unreachable as trouble:
                log(f"reports wait: {trouble}")
                pause, retry_after = backoff.next(), trouble.retry_after
            except TokenEnded:
                await self._parts.end_token()
                pause, retry_after = self._parts.settings.backoff_most_sec, None
            await self._pause(pause, retry_after)

    async def _pause(self, seconds: float, retry_after: float | None) -> None:
        if retry_after is not None:
            await self._parts.clock.sleep(retry_after)
        elif seconds:
            await self._parts.bells.report.wait(seconds)

    async def _tell(self, entry: Entry) -> bool:
        if entry.report is None or entry.told:
            return True
        answer = await self._parts.api.report(entry.id, entry.report)
        if not answer.ok:
            log(f"{entry.id}: report answered {answer.status} {answer.error.code}")
        done = answer.ok or answer.status in _NEVER or answer.error.code == "result_conflict"
        if done and not entry.told:
            self._parts.told(entry)
        return done
