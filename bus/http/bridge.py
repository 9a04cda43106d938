"""The bridge: serves a WSGI application (PEP 3333) on an event loop, each request in a greenlet.

The server speaks RSGI, granian's interface for applications on an event loop. The body is read here, on the loop, so
that a slow one holds nothing but its connection; the application then runs without a pause, except where it waits for
a reply (`bus.messaging.waiting`).
"""

import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast
from wsgiref.types import WSGIApplication, WSGIEnvironment

import structlog
from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]  # documented there all the same
from greenlet import GreenletExit, getcurrent
from werkzeug.middleware.proxy_fix import ProxyFix

from bus.contract.codec import encode
from bus.contract.problems import Problem
from bus.http.prefix import PREFIX
from bus.http.request_body import MAX_BODY_BYTES
from bus.messaging.message import PROBLEM
from bus.messaging.waiting import Hub, Task

# A body must be complete within this time after the headers.
BODY_SECONDS = 20.0
# The value of a header that is not ASCII; nothing that we read accepts it.
UNREADABLE = "\ufffd"

# Of several headers of one name. Others have a comma and a blank (RFC 9110, section 5.3): one that must not be a list,
# such as a key without blanks, then has no valid value.
_SEPARATORS = {"HTTP_COOKIE": "; "}

Headers = list[tuple[str, str]]

log = structlog.get_logger("bus.web")


class Bridge:
    """One WSGI application as an RSGI application.

    With `trusted_proxies`, the address of a client is in X-Forwarded-For, at this place from the right. Where it has
    fewer, and with 0, it is the address of the connection. The last proxy may name the prefix that it takes away in
    X-Forwarded-Prefix, and whether its client came by `https` in X-Forwarded-Proto. A body may have `max_body_bytes`;
    the application decides about shorter ones.
    """

    def __init__(self, app: WSGIApplication, trusted_proxies: int = 0, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_body_bytes = max_body_bytes
        self._app, self._is_behind_proxy = app, trusted_proxies > 0
        if trusted_proxies:
            self._app = ProxyFix(app, x_for=trusted_proxies, x_proto=0, x_host=0)
        self._hub: Hub | None = None
        self._base: WSGIEnvironment = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,  # views of a blueprint run in threads
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by the server, on the loop, before the first request."""
        self._hub = Hub(loop)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Serve one request."""
        environ = self._environ(scope)
        body = b""
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            try:
                body = await _body(environ, protocol, self._max_body_bytes)
            except TimeoutError:
                protocol.response_bytes(408, *_TOO_SLOW)
                return
            except (ProtocolClosed, ProtocolError):
                protocol.response_bytes(400, *_BROKEN)
                return
        environ["wsgi.input"] = io.BytesIO(body)
        hub = cast(Hub, self._hub)
        request = _Request(self._app, environ, protocol)
        hub.start(request.run)
        if not request.is_done:
            request.done = hub.loop.create_future()
            await request.done

    def _environ(self, scope: Any) -> WSGIEnvironment:
        environ = self._base.copy()
        environ["REQUEST_METHOD"] = scope.method
        path = scope.path
        # A character for each byte (PEP 3333).
        environ["PATH_INFO"] = path if path.isascii() else path.encode().decode("latin-1")
        environ["QUERY_STRING"] = scope.query_string
        environ["SERVER_PROTOCOL"] = "HTTP/1.0" if scope.http_version == "1" else "HTTP/1.1"
        environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
        environ["REMOTE_ADDR"] = scope.client.rpartition(":")[0].strip("[]")
        headers = scope.headers
        # The server leaves out values that are not ASCII, and a header that is there must not look absent. Where such a
        # value comes after one that is ASCII, nothing shows it.
        for name in headers:
            if headers.get(name) is None:
                environ[_variable(name)] = UNREADABLE
        for name, value in headers.items():
            variable = _variable(name)
            if variable not in environ:
                environ[variable] = value
            else:
                environ[variable] += _SEPARATORS.get(variable, ", ") + value
        if scope.authority:
            environ["HTTP_HOST"] = scope.authority
        environ.pop("", None)
        if self._is_behind_proxy:
            prefix = _last(environ, "HTTP_X_FORWARDED_PREFIX").rstrip("/")
            environ["SCRIPT_NAME"] = prefix if PREFIX.fullmatch(prefix) else ""
            if _last(environ, "HTTP_X_FORWARDED_PROTO").lower() == "https":
                environ["wsgi.url_scheme"] = "https"
        return environ


class _Request:
    """One request while its application runs, as a task."""

    __slots__ = ("_app", "_environ", "_headers", "_protocol", "_status", "done", "is_done")

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment, protocol: Any) -> None:
        self._app, self._environ, self._protocol = app, environ, protocol
        self._status, self._headers = 500, [("content-length", "0")]
        self.is_done = False
        self.done: asyncio.Future[None] | None = None

    def run(self) -> None:
        """Run the application and send its answer."""
        try:
            self._answer(self._app(self._environ, self._start))
        except (ProtocolClosed, ProtocolError):
            log.debug("client_went_away")
        except GreenletExit:  # the task itself is ended
            raise
        except BaseException:  # Flask answers the errors of its views, but not SystemExit, which would end the loop
            log.exception("application_failed")
            self._protocol.response_empty(500, [])
        finally:
            self.is_done = True
            if self.done is not None and not self.done.done():
                self.done.set_result(None)

    def _start(self, status: str, headers: Headers, _error: Any = None) -> Callable[[bytes], object]:
        self._status, self._headers = int(status[:3]), headers
        return _write

    def _answer(self, pieces: Iterable[bytes]) -> None:
        try:
            if any(name.lower() == "content-length" for name, _ in self._headers) or self._status in (204, 304):
                self._protocol.response_bytes(self._status, self._headers, b"".join(pieces))
            else:
                self._stream(pieces)
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()

    def _stream(self, pieces: Iterable[bytes]) -> None:
        """Send an answer of unknown length as it is made. What its client does not take yet, the server keeps."""
        task = cast(Task, getcurrent())
        transport = self._protocol.response_stream(self._status, self._headers)
        for piece in pieces:
            if piece:
                task.result_of(transport.send_bytes(piece))


def _write(_data: bytes) -> None:
    raise NotImplementedError("This server does not have the old `write` of WSGI; return the body instead.")


def _last(environ: WSGIEnvironment, variable: str) -> str:
    """The value that the last proxy has added to a header."""
    value: str = environ.get(variable, "")
    return value.rpartition(",")[2].strip()


async def _body(environ: WSGIEnvironment, protocol: Any, most: int) -> bytes:
    """The body, or as much of it as shows that it is too long.

    Raises TimeoutError when it does not come, ProtocolError or ProtocolClosed when it is malformed or ends too early.

    A body of which the headers say that it is too long is not asked for, so a client that waits for `100 Continue`
    never sends it.
    """
    length = environ.get("CONTENT_LENGTH", "0")
    if not length.isdecimal() or int(length) > most:
        return b""
    async with asyncio.timeout(BODY_SECONDS):
        if "HTTP_TRANSFER_ENCODING" not in environ:
            return bytes(await protocol())
        pieces, received = [], 0
        async for piece in protocol:
            pieces.append(piece)
            received += len(piece)
            if received > most:
                return b"".join(pieces)
        # The server gives one empty piece at the end, and one for a piece that is malformed.
        if pieces.count(b"") > 1:
            raise ProtocolError
        return b"".join(pieces)


@lru_cache(maxsize=256)
def _variable(name: str) -> str:
    """The variable of a header; empty for one that could be taken for another: `X_Y` has the variable of `X-Y`."""
    if "_" in name:
        return ""
    variable = name.upper().replace("-", "_")
    return variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"


def _problem(status: int, title: str, detail: str) -> tuple[Headers, bytes]:
    problem = Problem.of(title.lower().replace(" ", "-"), status, title, detail)
    return [("content-type", PROBLEM), ("connection", "close")], encode(problem)


_TOO_SLOW = _problem(408, "Request timeout", f"The body did not come within {BODY_SECONDS:g} s.")
_BROKEN = _problem(400, "Bad request", "The body is malformed, or has ended too early (RFC 9112, section 7.1).")
