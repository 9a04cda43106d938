"""Free TCP ports of 127.0.0.1."""

import os
import random
import socket
from pathlib import Path

LOWEST_PORT = 20_000

# Where Linux keeps the range of ports for outgoing connections. A port from that range could be taken between our
# choice and the server's start. On other systems the range starts higher.
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
USUAL_EPHEMERAL_START = 32_768

# On the same machine a connection takes microseconds.
CONNECT_SECONDS = 1.0


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free now and are not used for outgoing connections."""
    ports: set[int] = set()
    highest = _ephemeral_start() - 1
    while len(ports) < count:
        port = random.randint(LOWEST_PORT, highest)
        if _is_ours(port) and _is_free(port):
            ports.add(port)
    return list(ports)


def is_listening(port: int) -> bool:
    """Whether a server accepts connections on this port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _is_ours(port: int) -> bool:
    """Whether the port belongs to this worker of pytest-xdist: two workers must not choose the same one."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return port % count == int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % count


def _ephemeral_start() -> int:
    """Return the first ephemeral port, or the usual one where too few ports are below it."""
    try:
        start = int(EPHEMERAL_RANGE.read_text().split()[0])
    except OSError:
        return USUAL_EPHEMERAL_START
    return start if start > LOWEST_PORT + 1_000 else USUAL_EPHEMERAL_START


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
