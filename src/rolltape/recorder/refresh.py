"""A fresh token in place of the old one, which is kept until the new one has worked."""

from rolltape.recorder.heard import TokenHeard
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.recorder.transport import TokenEnded, Unreachable


async def refresh_token(parts: Parts) -> None:
    """Ask for a fresh token until there is one. The old one is kept until the new one has worked."""
    await parts.heard.wait()
    backoff = parts.backoff()
    while not parts.ended.is_set():
        try:
            answer = await parts.api.refresh_token()
            if not answer.ok:
                raise Unreachable(f"the server answered {answer.status} {answer.error.code}")
            parts.identity.change(next_token=answer.read(TokenHeard).device_token)
            parts.channel.end()  # it is the old token's
            parts.bells.beat.ring()
            return
        except Unreachable as trouble:
            log(f"no fresh token: {trouble}")
            await parts.clock.sleep(max(backoff.next(), trouble.retry_after or 0.0))
        except TokenEnded:
            await parts.end_token()
