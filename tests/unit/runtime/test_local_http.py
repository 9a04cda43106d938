"""Questions to our own processes are asked directly, whatever the shell says of proxies."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bus.runtime.local_http import ask, base_url


class Ready(BaseHTTPRequestHandler):
    """Answers all it is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_: object) -> None:
        """Not among the tests' output."""


def test_no_proxy_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = HTTPServer(("127.0.0.1", 0), Ready)
    port = server.server_address[1]
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    assert ask("0.0.0.0", port, "/health/ready", 30) == (200, b"/health/ready")
    serving.join()
    server.server_close()
    assert ask("127.0.0.1", port, "/", 30) == (0, b"")


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:5000"), ("0.0.0.0", "http://127.0.0.1:5000"), ("::1", "http://[::1]:5000"),
     ("::", "http://[::1]:5000")],
)  # fmt: skip
def test_a_url_can_be_opened(host: str, url: str) -> None:
    assert base_url(host, 5000) == url
