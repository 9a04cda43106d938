"""Serving HTTP: granian in processes of its own, waitress inside ours."""

import os
import socket
import threading

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from waitress.server import create_server

from bus.application import Wsgi
from bus.wsgi import SERVICE_VARIABLE

# Threads of one front end process. Most of them wait for a reply; one more request than this waits
# for a thread.
THREADS = 64
EMBEDDED_THREADS = 8
# waitress reads a body before the application is asked; the application refuses much smaller ones.
LARGEST_BODY_BYTES = 1024 * 1024
# Whoever sends its headers slower than this is cut off.
HEADER_SECONDS = 10
# After SIGTERM: time for requests in hand, then the process is ended.
DRAIN_SECONDS = 20


class PortTaken(Exception):
    """Another program listens on a port we were told to use. The operator's to mend."""


def check_port(service: str, host: str, port: int) -> None:
    """Raises PortTaken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = f"set {service.upper()}_PORT to another"
            raise PortTaken(f"Port {port} on {host} is not free for {service} ({error.strerror}): {advice}.") from None


def serve(service: str, host: str, port: int) -> None:
    """Serve a front end until SIGTERM or SIGINT; returns when it has stopped."""
    os.environ[SERVICE_VARIABLE] = service
    server = Granian(
        "bus.wsgi:application",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
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
            max_request_body_size=LARGEST_BODY_BYTES,
        )
        self._thread = threading.Thread(target=self._server.run, name=f"{service}-web", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish the requests in hand and stop."""
        self._server.task_dispatcher.shutdown(timeout=DRAIN_SECONDS)
        self._server.close()
