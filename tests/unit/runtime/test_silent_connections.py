"""Only connections on which nothing is sent are closed."""

import socket

from bus.runtime import silent_connections
from bus.testing.waiting import wait_until

CLOSE_SECONDS = 20.0


def test_only_connections_to_the_port_on_which_nothing_is_sent_are_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        silent, waiting = _connected(server)
        answered, talking = _connected(server)
        elsewhere, its_end = _connected(other)
        port = server.getsockname()[1]
        wait_until(lambda: _closes_one(port, silent, talking), CLOSE_SECONDS, "the silent connection is closed")
        assert silent.recv(1) == b""
        its_end.sendall(b"x")
        assert (elsewhere.recv(1), answered.recv(1)) == (b"x", b"x")
        for end in (silent, waiting, answered, talking, elsewhere, its_end):
            end.close()


def _connected(server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a new connection, the client's first."""
    return socket.create_connection(server.getsockname()), server.accept()[0]


def _closes_one(port: int, silent: socket.socket, talking: socket.socket) -> bool:
    silent.sendall(b"x")  # whatever a client sends, it is what is sent to it that counts
    talking.sendall(b"x")
    return silent_connections.close_silent(port, 1.0) == 1
