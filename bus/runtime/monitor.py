"""The monitor: an HTTP port of a worker for its metrics, liveness and readiness."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from bus.messaging.message import JSON
from bus.runtime.ports import METRICS_PORT, check_port
from bus.telemetry.metrics import CONTENT_TYPE, Metrics

# A connection that sends no request within this time is closed.
REQUEST_SECONDS = 5.0
# Between two checks of the server whether to stop.
POLL_SECONDS = 0.5

# The reason why a worker is not live or not ready; empty if it is.
Reason = Callable[[], str]


class Monitor:
    """Serves `/metrics`, `/health/live` and `/health/ready` from threads of this process. Raises PortTaken.

    Live means that a restart of this process would not help, ready that it handles messages now.
    """

    def __init__(
        self, service: str, host: str, port: int, metrics: Metrics, why_not_live: Reason, why_not_ready: Reason
    ) -> None:
        pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {
            "/metrics": lambda: (200, CONTENT_TYPE, metrics.text()),
            "/health/live": lambda: _health(service, "live", why_not_live()),
            "/health/ready": lambda: _health(service, "ready", why_not_ready()),
        }

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_SECONDS

            def do_GET(self) -> None:
                page = pages.get(self.path.partition("?")[0])
                status, kind, body = page() if page else (404, JSON, b'{"status": 404}')
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing: probes come every few seconds."""

        check_port(service, host, port, METRICS_PORT)
        self._server = _Server((host, port), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="monitor", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Ignore clients that close the connection early."""


def _health(service: str, word: str, reason: str) -> tuple[int, str, bytes]:
    if reason:
        return 503, JSON, msgspec.json.encode({"service": service, "status": f"not {word}", "reason": reason})
    return 200, JSON, msgspec.json.encode({"service": service, "status": word})
