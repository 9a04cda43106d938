"""The HTTP server of front ends: granian on one event loop, in a thread of this process."""

import asyncio
import contextlib
import resource
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, cast
from wsgiref.types import WSGIApplication

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from bus.http.bridge import Bridge
from bus.http.request_body import MAX_BODY_BYTES
from bus.runtime.local_http import listens
from bus.runtime.process import DRAIN_SECONDS

# A connection is closed when the headers of its next request take longer than this, or do not come. Longer than
# proxies keep idle connections (60 s is usual), or they would send a request into a connection that is being closed.
HEADER_SECONDS = 75
# The path and all headers of a request together; beyond it the answer is 431, and 414 for a path of more than 64 KiB.
MAX_HEADERS_BYTES = 96 * 1024
# Connections to one front end at the same time; more wait in the kernel until others end.
MAX_CONNECTIONS = 20_000
# Connections that the kernel accepts before the server does.
BACKLOG = 4096
START_SECONDS = 20.0
# For the threads of the server to end after it has said that it is stopped: an interpreter that exits meanwhile aborts.
THREADS_END_SECONDS = 0.1

T = TypeVar("T")

log = structlog.get_logger("bus.web")


class EventLoop:
    """An event loop in a thread, on which front ends are served. `loop` may be used as soon as it is made.

    `failure` is set when a callback has raised, which only a bug does: the process must end then, for it may look alive
    and answer nobody.
    """

    def __init__(self, name: str) -> None:
        self.loop = _new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self.failure: Exception | None = None
        self._servers: list[tuple[Server, Future[None]]] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()
        _allow_many_connections()

    def serve(
        self,
        app: WSGIApplication,
        host: str,
        port: int,
        trusted_proxies: int = 0,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        """Serve a front end from now on. `port` must be free (`check_port`).

        With `trusted_proxies`, the address of a client is in X-Forwarded-For, at this place from the right. A longer
        body than `max_body_bytes` is not read.
        """
        server = self._run(_server(Bridge(app, trusted_proxies, max_body_bytes), host, port))
        serving = asyncio.run_coroutine_threadsafe(server.serve(), self.loop)
        self._servers.append((server, serving))
        serving.add_done_callback(self._served)
        deadline = time.monotonic() + START_SECONDS
        while not (listens(host, port) or serving.done() or time.monotonic() > deadline):
            time.sleep(0.01)

    def close(self) -> bool:
        """Finish the requests that are in progress, and stop; returns whether all were finished after 20 s.

        If not, threads of the server live on, and the process has to end without waiting for them (os._exit).
        """
        servers, self._servers = self._servers, []
        for server, _ in servers:
            self.loop.call_soon_threadsafe(server.stop)
        deadline = time.monotonic() + DRAIN_SECONDS
        for _, serving in servers:
            with contextlib.suppress(Exception):
                serving.result(max(0.0, deadline - time.monotonic()))
        return all(serving.done() for _, serving in servers)

    def stop(self) -> None:
        """Stop the loop, after everything on it is closed."""
        time.sleep(THREADS_END_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DRAIN_SECONDS)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(START_SECONDS)

    def _served(self, serving: Future[None]) -> None:
        """A server has ended, although nobody has stopped it."""
        if any(each is serving for _, each in self._servers):
            self.failure = self.failure or RuntimeError(f"The HTTP server has ended: {serving.exception()!r}")

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback has raised; what a request's own coroutine raises is the server's to answer."""
        if "handle" in context:
            error = context.get("exception")
            log.error("event_loop_failed", reason=context["message"], exc_info=error)
            self.failure = self.failure or RuntimeError(f"A callback of the event loop failed: {error!r}. It is a bug.")
        else:
            loop.default_exception_handler(context)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Of uvloop, which takes a quarter off a front end's time for a request; Windows does not have it."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast(asyncio.AbstractEventLoop, uvloop.new_event_loop())


async def _server(bridge: Bridge, host: str, port: int) -> Server:
    return Server(
        bridge,
        address=host,
        port=port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=MAX_HEADERS_BYTES),
        backlog=BACKLOG,
        backpressure=MAX_CONNECTIONS,
        websockets=False,
        log_enabled=False,
    )


def _allow_many_connections() -> None:
    """Raise this process's limit of open files to what it may have; each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems have a lower limit than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536) if most > 0 else 65_536, most))
