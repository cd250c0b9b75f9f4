"""`rolltape serve`: the web application and the workers on one event loop, until a signal says to end."""

import asyncio
import gc
import logging
import resource
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress

import apsw
import asyncpg

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.service.vault import BrokenKey
from rolltape.web.app import WebApp, build_app
from rolltape.wiring.broker import BrokerSide
from rolltape.wiring.build import Occupied, close_services, open_services, place_of
from rolltape.wiring.ending import Ending
from rolltape.wiring.seat import Alone, Seat, where
from rolltape.wiring.server import CUT_OFF_SECONDS, Server
from rolltape.wiring.telling import summary
from rolltape.workers.base import Worker, run_for_ever
from rolltape.workers.channels import ChannelSweep
from rolltape.workers.expiry import Expiry
from rolltape.workers.housekeeping import Keys, Leftovers, Sweep
from rolltape.workers.mqtt import MqttSweep
from rolltape.workers.retention import Retention
from rolltape.workers.states import Offline, States

log = logging.getLogger("rolltape")
GC_THRESHOLD = 50_000
"""Most garbage here dies by reference counting; a young collection every 700 objects is only a pause."""
SWITCH_SECONDS = 0.0005
"""The thread that has committed would wait Python's 5 ms for the interpreter before it could say so."""

WORKERS: tuple[type[Worker], ...] = (Expiry, States, Offline, Keys, Sweep, Leftovers, Retention)


def serve(settings: Settings, seat: Seat | None = None) -> int:
    """Serves until SIGTERM or SIGINT, drains, and answers the exit code: 0, or 1 when it could not start."""
    seat = seat or Alone()
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format=f"%(asctime)s %(levelname)s {seat.name}%(name)s: %(message)s",
    )
    # At INFO it has two lines for each channel, at DEBUG every header and frame, tokens and grants among them.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    _allow_open_files()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner, place_of(settings):
            return runner.run(_serve(settings, seat))
    except apsw.Error as error:
        return _could_not_start(
            f"the database in {settings.data} can't be used ({error}). See: rolltape doctor --data {settings.data}"
        )
    except asyncpg.PostgresError as error:
        return _could_not_start(
            f"PostgreSQL refuses ({error}). Check ROLLTAPE_DATABASE, and what its user may do there."
        )
    except (Occupied, BrokenKey, ValueError, OSError) as error:
        return _could_not_start(str(error))


def _allow_open_files() -> None:
    """As many as the system lets this process have: each live channel is one, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # not every system takes its own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _could_not_start(why: str) -> int:
    sys.stderr.write(f"rolltape serve could not start: {why}\n")
    return 1


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on every system
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, seat: Seat) -> int:
    _check_tls(settings)
    app = await open_services(settings, SystemClock())
    workers: list[asyncio.Task[None]] = []
    broker: BrokerSide | None = None
    try:
        await Expiry().run_once(app, app.clock.now_ms())  # what fell due while we were down, before anybody can look
        web = build_app(app)
        web.ready = False
        server = Server(web, settings)
        ending = Ending(server, web, settings.notice_seconds)
        duties: list[Worker] = [*(worker() for worker in WORKERS), ChannelSweep(web.channels)]
        if settings.mqtt is not None:
            broker = BrokerSide(app, web.over_device_rate)
            broker.start()
            web.watch(broker.route)
            duties.append(MqttSweep(broker.route))
        workers = [asyncio.create_task(run_for_ever(duty, app), name=duty.name) for duty in duties]
        ending.on_signals()
        await seat.meet(web)
        return await _run(server, settings, web, seat, ending)
    finally:
        seat.leave()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if broker is not None:
            await broker.stop(CUT_OFF_SECONDS)
        await close_services(app)
        log.info("what was in memory is written; the end")


def _check_tls(settings: Settings) -> None:
    """Raises OSError, naming the files, where OpenSSL would only say that something is wrong."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key, "")
    except OSError as error:
        raise OSError(
            f"TLS: {settings.tls_cert} and {settings.tls_key} can't be used ({error}). "
            "Name PEM files that the server may read, a certificate and its own key."
        ) from None


async def _run(server: Server, settings: Settings, web: WebApp, seat: Seat, ending: Ending) -> int:
    with seat.listen(settings) as sock:
        task = asyncio.create_task(server.serve([sock]))
        answers = asyncio.create_task(server.answers.wait())
        watch = asyncio.create_task(seat.watch(ending))
        await asyncio.wait({task, answers}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done() and not ending.told.is_set():
            _tune_interpreter()
            web.ready = True
            seat.answers(settings, sock)
            log.info("%s", summary(settings, where(settings, sock)))
        answers.cancel()
        await task
        watch.cancel()
    return 0


def _tune_interpreter() -> None:
    """What start-up made lives for ever: the collector needn't look at it again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
