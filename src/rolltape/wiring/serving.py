"""`rolltape serve`: the web application and the workers on one event loop, until a signal says to end."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import apsw
import asyncpg
import uvicorn

from rolltape.clock import SystemClock
from rolltape.config import Settings
from rolltape.service.context import Services
from rolltape.service.vault import BrokenKey
from rolltape.web.app import WebApp, build_app
from rolltape.web.socket import ChannelProtocol
from rolltape.wire.channel import FRAME_LIMIT
from rolltape.wiring.build import Occupied, close_services, open_services, place_of
from rolltape.workers.base import Worker, run_for_ever
from rolltape.workers.channels import ChannelSweep
from rolltape.workers.expiry import Expiry
from rolltape.workers.housekeeping import Keys, Leftovers, Sweep
from rolltape.workers.retention import Retention
from rolltape.workers.states import Offline, States

log = logging.getLogger("rolltape")
KEEP_ALIVE_SEC = 75
BACKLOG = 2048
CUT_OFF_SECONDS = 5.0
GC_THRESHOLD = 50_000
"""Most garbage here dies by reference counting; a young collection every 700 objects is only a pause."""
SWITCH_SECONDS = 0.0005
"""The thread that has committed would wait Python's 5 ms for the interpreter before it could say so."""

WORKERS: tuple[type[Worker], ...] = (Expiry, States, Offline, Keys, Sweep, Leftovers, Retention)


class Server(uvicorn.Server):
    """uvicorn, told to end by us: its own handlers would raise the signal again and spoil the exit code."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings) -> int:
    """Serves until SIGTERM or SIGINT, drains, and answers the exit code: 0, or 1 when it could not start."""
    logging.basicConfig(
        stream=sys.stderr, level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # At INFO it has two lines for each channel, at DEBUG every header and frame, tokens and grants among them.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    _allow_open_files()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner, place_of(settings):
            return runner.run(_serve(settings))
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


async def _serve(settings: Settings) -> int:
    _check_tls(settings)
    app = await open_services(settings, SystemClock())
    workers: list[asyncio.Task[None]] = []
    try:
        await Expiry().run_once(app, app.clock.now_ms())  # what fell due while we were down, before anybody can look
        web = build_app(app)
        web.ready = False
        server = Server(_uvicorn_config(web, settings))
        duties: list[Worker] = [*(worker() for worker in WORKERS), ChannelSweep(web.channels)]
        workers = [asyncio.create_task(run_for_ever(duty, app), name=duty.name) for duty in duties]
        _end_on_signals(server, app, web)
        return await _run(server, settings, web)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await close_services(app)


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


def _uvicorn_config(web: WebApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        web,
        http="httptools",
        ws=ChannelProtocol,
        ws_max_size=FRAME_LIMIT,
        ws_ping_interval=None,  # the channel has pings of its own, which a device on a metered link is spared
        ws_per_message_deflate=False,  # it would cost each idle channel more memory than all the rest
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SEC,
        timeout_graceful_shutdown=settings.drain_seconds,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


def _end_on_signals(server: Server, app: Services, web: WebApp) -> None:
    def end() -> None:
        app.draining = True
        web.drain()
        app.wakeups.release_all()
        server.should_exit = True

    def give_notice() -> None:
        if web.ready and app.config.notice_seconds:
            web.ready = False
            loop.call_later(app.config.notice_seconds, end)
        else:
            end()  # at once; also where somebody asks a second time

    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, give_notice)


async def _run(server: Server, settings: Settings, web: WebApp) -> int:
    with _listening(settings) as sock:
        url = _url(settings, sock)
        task = asyncio.create_task(server.serve([sock]))
        answers = asyncio.create_task(server.answers.wait())
        await asyncio.wait({task, answers}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            _tune_interpreter()
            web.ready = True
            sys.stdout.write(f"Rolltape is serving at {url}\n")
            with suppress(BrokenPipeError):
                sys.stdout.flush()
        answers.cancel()
        await task
        await _let_go_of(server.server_state.tasks)
    return 0


async def _let_go_of(requests: set[asyncio.Task[None]]) -> None:
    """Those that the drain has cut off save what they have and answer; the store must be there until they have."""
    if requests:
        await asyncio.wait(tuple(requests), timeout=CUT_OFF_SECONDS)


def _tune_interpreter() -> None:
    """What start-up made lives for ever: the collector needn't look at it again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            raise OSError(
                f"can't listen on {where} ({error.strerror}). Choose another with --host and --port."
            ) from None
        sock.listen(BACKLOG)
        yield sock


def _url(settings: Settings, sock: socket.socket) -> str:
    scheme = "https" if settings.tls_cert is not None else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{sock.getsockname()[1]}"
