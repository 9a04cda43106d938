"""A front end that is served as `bus web` does, in a thread of the test's process."""

from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.types import WSGIApplication

from bus.http.request_body import MAX_BODY_BYTES
from bus.runtime.servers import EventLoop
from bus.testing.servers.ports import free_ports


@contextmanager
def serving(
    app: WSGIApplication,
    port: int | None = None,
    trusted_proxies: int = 0,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Iterator[str]:
    """Serve a front end as `bus web` does until the block ends; yields its URL. `port` is a free one if not given."""
    port = free_ports(1)[0] if port is None else port
    event_loop = EventLoop("test-web")
    event_loop.serve(app, "127.0.0.1", port, trusted_proxies, max_body_bytes)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        event_loop.close()
        event_loop.stop()
