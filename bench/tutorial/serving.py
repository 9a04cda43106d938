"""Serving: `python -m bench.tutorial.serving MODULE PORT`, on the server and with the settings that ours has."""

import sys

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from bus.http.blocking import THREADS
from bus.runtime.process import DRAIN_SECONDS
from bus.runtime.servers import HEADER_SECONDS


def serve(module: str, port: int) -> None:
    """Serve the module's `app` until SIGTERM."""
    server = Granian(
        f"bench.tutorial.{module}:app",
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        workers_kill_timeout=DRAIN_SECONDS,
        websockets=False,
        log_level=LogLevels.error,
    )
    server.serve()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
