"""Closes silent connections: those on which a front end has sent nothing for longer than any answer takes.

granian has no timeout for request bodies: a client that sends nothing, or a byte now and then, keeps a thread for
ever. Until a request is complete, the front end sends nothing to its client. So this module reads from the kernel how
long ago data was sent on each connection, and shuts down those where it is too long, which frees the thread.

Only Linux has that record (tcp(7), TCP_INFO). On other systems nothing is closed, and a proxy has to do it.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator

from bus.http.preferences import MAX_WAIT_SECONDS

# The longest wait for a reply that a client may ask for, and time to send the body.
SILENT_SECONDS = MAX_WAIT_SECONDS + 15
# Between two checks; one costs microseconds for each open file.
CHECK_SECONDS = 5.0

_FILES = "/proc/self/fd"
# struct tcp_info: eight single bytes, nine numbers of four bytes, then the milliseconds since data was sent.
_LAST_DATA_SENT = struct.Struct("=44xI")
_ESTABLISHED = 1


def watch(port: int) -> None:
    """Start a thread that closes silent connections to this port; does nothing where the kernel has no record."""
    if not (hasattr(socket, "TCP_INFO") and os.path.isdir(_FILES)):
        return
    stopped = threading.Event()

    def check() -> None:
        while not stopped.wait(CHECK_SECONDS):
            close_silent(port, SILENT_SECONDS)

    threading.Thread(target=check, name="silent-connections", daemon=True).start()


def close_silent(port: int, seconds: float) -> int:
    """Shut down the connections to this port on which nothing was sent for `seconds`; returns how many."""
    silent = 0
    for connection in _connections(port):
        with connection:
            if _seconds_since_data_was_sent(connection) > seconds:
                with contextlib.suppress(OSError):  # the client has closed it meanwhile
                    connection.shutdown(socket.SHUT_RDWR)
                    silent += 1
    return silent


def _connections(port: int) -> Iterator[socket.socket]:
    """The accepted connections of this process, each with a duplicated file descriptor that only we close."""
    for name in os.listdir(_FILES):
        try:
            if not os.readlink(f"{_FILES}/{name}").startswith("socket:"):
                continue
            connection = _duplicate(int(name))
        except OSError:  # closed meanwhile, or reused for another file
            continue
        if _is_accepted(connection, port):
            yield connection
        else:
            connection.close()


def _duplicate(number: int) -> socket.socket:
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
    """The time since it was accepted if none was sent at all."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_SENT.size)
    return float(_LAST_DATA_SENT.unpack(information)[0]) / 1000
