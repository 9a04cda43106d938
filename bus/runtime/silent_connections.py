"""Silent connections: those on which this process has sent nothing for longer than any answer takes.

The server of a front end waits for a body as long as its client likes, with a thread. Whether the client sends
nothing or a byte now and then: as long as no answer is due, nothing is sent to it. So that is what is looked at,
in the kernel's own record of each connection, and such a connection is shut down; the thread is free then.

The record is Linux's (tcp(7), TCP_INFO). On other systems nothing is cut, and a proxy must do it.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

from bus.http.preferences import MAX_WAIT_SECONDS

# The longest wait that a client may ask for, and as long again as headers may take, for the body.
SILENT_SECONDS = MAX_WAIT_SECONDS + 15
# Between two looks; one costs microseconds for each open file.
LOOK_SECONDS = 5.0

_FILES = "/proc/self/fd"
# struct tcp_info: eight single bytes, nine numbers of four, then the milliseconds since data was sent.
_LAST_DATA_SENT = struct.Struct("=44xI")
_ESTABLISHED = 1


def watch(port: int) -> None:
    """Cut silent connections to this port from now on, in a thread; does nothing where they cannot be told."""
    if not (hasattr(socket, "TCP_INFO") and os.path.isdir(_FILES)):
        return
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(LOOK_SECONDS):
            cut(port, SILENT_SECONDS)

    threading.Thread(target=look, name="silent-connections", daemon=True).start()


def cut(port: int, seconds: float) -> int:
    """Shut down the connections to this port on which nothing was sent for so long; returns how many."""
    silent = 0
    for connection in _connections(port):
        with connection:
            if _seconds_since_data_was_sent(connection) > seconds:
                with contextlib.suppress(OSError):  # closed by the client since
                    connection.shutdown(socket.SHUT_RDWR)
                    silent += 1
    return silent


def _connections(port: int) -> Iterator[socket.socket]:
    """The accepted connections of this process, each under a number of its own that nobody else can close."""
    for name in os.listdir(_FILES):
        try:
            if not os.readlink(f"{_FILES}/{name}").startswith("socket:"):
                continue
            connection = _own(int(name))
        except OSError:  # closed since, or another file now
            continue
        if _is_accepted(connection, port):
            yield connection
        else:
            connection.close()


def _own(number: int) -> socket.socket:
    number = os.dup(number)
    try:
        return socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise


def _is_accepted(connection: socket.socket, port: int) -> bool:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return False
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return information[0] == _ESTABLISHED and connection.getsockname()[1] == port


def _seconds_since_data_was_sent(connection: socket.socket) -> float:
    """Since it was accepted, if none was sent at all."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_SENT.size)
    return float(_LAST_DATA_SENT.unpack(information)[0]) / 1000
