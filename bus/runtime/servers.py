"""HTTP servers: granian for front ends in their own processes, waitress for those inside `bus run`'s process."""

import os
import socket
import threading
import time
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import create_server
from waitress.task import ErrorTask

from bus.contract.codec import encode
from bus.contract.problems import Problem
from bus.http.request_body import MAX_BODY_BYTES
from bus.messaging.message import PROBLEM
from bus.runtime.process import DRAIN_SECONDS
from bus.runtime.wsgi import SERVICE_VARIABLE
from bus.service.application import Wsgi

# A request, headers and body, must be complete within this time after its first byte. waitress itself only closes
# connections that send nothing: a byte a second would keep one open for ever.
ARRIVAL_SECONDS = 20.0


class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """Reads one request, and refuses what a proxy in front of us may read differently (RFC 9112, section 6.1)."""

    def parse_header(self, header_plus: bytes) -> None:
        """Raises ParsingError: waitress answers 400 and closes the connection."""
        super().parse_header(header_plus)
        if self.version not in ("1.0", "1.1"):
            raise ParsingError("unsupported version of HTTP")
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("Transfer-Encoding together with Content-Length")

    def received(self, data: bytes) -> int:
        """Do not ask for the body (100 Continue) of a request that is already refused."""
        taken: int = super().received(data)
        if self.error:
            self.expect_continue = False
        return taken


class ProblemTask(ErrorTask):  # type: ignore[misc]  # as above
    """Answers requests that waitress itself refuses, and closes the connection."""

    def execute(self) -> None:
        """Write the problem document, and close the connection."""
        error = self.request.error
        body = encode(problem_of(error.code, error.reason))
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", PROBLEM))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def problem_of(status: int, reason: str) -> Problem:
    """The problem document of an error that the server itself found; its code is the name of the status."""
    if status == 413:
        return Problem.of("too-large", status, "Too large", "This is larger than any body that is read.")
    return Problem.of(reason.lower().replace(" ", "-"), status, reason, "The server could not take this request.")


class Channel(HTTPChannel):  # type: ignore[misc]  # as above
    """One connection. The server's loop asks `readable` at least once a second."""

    error_task_class = ProblemTask
    parser_class = Parser
    _arriving: Any = None
    _since = 0.0

    def readable(self) -> bool:
        """Whether to read more; closes the connection when a request takes too long to arrive."""
        if self.request is not self._arriving:
            self._arriving, self._since = self.request, time.monotonic()
        if self._arriving is not None and time.monotonic() - self._since > ARRIVAL_SECONDS:
            self.will_close = True
        return bool(super().readable())


# Threads of one front end process: more than the requests that may wait for a reply (`wsgi.IN_FLIGHT`) or for a body
# (`bus.http.request_body.MAX_BODIES`), so that one is always free to refuse a request.
THREADS = 96
# In one process, each front end has its own threads, and all share the number of requests that may wait for a reply.
EMBEDDED_THREADS = 48
EMBEDDED_IN_FLIGHT = 32
# Connections to one embedded front end at the same time; more than its threads, so that an idle connection blocks none.
EMBEDDED_CONNECTIONS = 1000
# granian closes a connection whose headers take longer than this; waitress one that sends nothing for this time.
HEADER_SECONDS = 10
# The path and all headers of a request together; beyond it the answer is 431, and 414 for a path of more than 64 KiB.
MAX_HEADERS_BYTES = 96 * 1024

# The variables that set the ports of a service, after its name.
PORT, METRICS_PORT = "PORT", "METRICS_PORT"


class PortTaken(Exception):
    """A port is in use by another program. The operator has to fix it."""


def check_port(service: str, host: str, port: int, variable: str = PORT) -> None:
    """Raises PortTaken, which names the variable that sets the port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = f"set {service.upper()}_{variable} to another port"
            raise PortTaken(f"Port {port} on {host} is not free for {service} ({error.strerror}): {remedy}.") from None


def serve(service: str, host: str, port: int) -> None:
    """Serve a front end until SIGTERM or SIGINT; returns when it has stopped."""
    os.environ[SERVICE_VARIABLE] = service
    server = Granian(
        "bus.runtime.wsgi:application",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        http=HTTPModes.http1,  # granian has a timeout for headers in HTTP/1 only
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000, max_buffer_size=MAX_HEADERS_BYTES),
        workers_kill_timeout=DRAIN_SECONDS,
        respawn_failed_workers=True,
        websockets=False,
        log_level=LogLevels.error,
    )
    server.serve()


class EmbeddedServer:
    """A front end served by threads of this process. Raises PortTaken."""

    def __init__(self, service: str, app: Wsgi, host: str, port: int) -> None:
        check_port(service, host, port)
        self._server = create_server(
            app,
            host=host,
            port=port,
            threads=EMBEDDED_THREADS,
            ident=None,
            channel_timeout=HEADER_SECONDS,
            cleanup_interval=HEADER_SECONDS // 2,
            connection_limit=EMBEDDED_CONNECTIONS,
            asyncore_use_poll=True,  # select() cannot watch that many connections
            max_request_body_size=MAX_BODY_BYTES + 1,  # waitress refuses a body of this length too
        )
        self._server.channel_class = Channel
        self._thread = threading.Thread(target=self._server.run, name=f"{service}-web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the requests that it is working on, and stop."""
        self._server.task_dispatcher.shutdown(timeout=DRAIN_SECONDS)
        self._server.close()
