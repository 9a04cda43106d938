"""The proxy: a TCP link that can be cut, or hold back everything, as a network does when it fails."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from enum import Enum
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0


class Verdict(Enum):
    """What is done with bytes on their way to the server."""

    PASS = "They go on."
    CUT_BEFORE = "The connection is cut, and they never arrive."
    CUT_AFTER = "They arrive, and the connection is cut in the place of the answer."
    SWALLOW = "They never arrive, nor does anything else over this connection, which stays open."


Watch = Callable[[bytes], Verdict]
# Takes what one server sends over one connection, and gives what arrives of it.
Sieve = Callable[[bytes], bytes]


class Proxy:
    """A port of 127.0.0.1 that leads to another one, or to the first of several where somebody listens.

    `watch` sees all bytes that go to the server. `sieve` makes what the bytes to the client of one connection go
    through.

    What is held back is late, not lost, as TCP sends it again when the network is back.
    """

    def __init__(
        self, *ports: int, watch: Watch = lambda _data: Verdict.PASS, sieve: Callable[[], Sieve] = lambda: bytes
    ) -> None:
        self._ports = ports
        self._watch, self._sieve = watch, sieve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._to_server, self._to_client = _open_gate(), _open_gate()
        self._connections: set[_Connection] = set()
        self._start(self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def hold(self, *, to_server: bool = True, to_client: bool = True) -> None:
        """Become a black hole, in one direction or both: connections are accepted, and nothing arrives."""
        if to_server:
            self._to_server.clear()
        if to_client:
            self._to_client.clear()

    def release(self) -> None:
        """Let everything through again, beginning with what was held back."""
        self._to_server.set()
        self._to_client.set()

    def cut(self) -> None:
        """Cut all connections; new ones are let in."""
        for connection in list(self._connections):
            connection.cut()

    def close(self) -> None:
        """Stop listening, and cut what is left."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        server = self._reach_server()
        if server is None:
            client.close()
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        self._start(lambda: self._pump_to_server(connection))
        self._start(lambda: self._pump_to_client(connection))

    def _reach_server(self) -> socket.socket | None:
        for port in self._ports:
            with contextlib.suppress(OSError):  # nobody there: the next one
                server = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS)
                server.settimeout(None)
                return server
        return None

    def _pump_to_server(self, connection: "_Connection") -> None:
        for data in _chunks(connection.client):
            self._to_server.wait()  # until `release`, which `close` calls too
            verdict = self._watch(data)
            if verdict is Verdict.CUT_BEFORE:
                break
            connection.cut_at_answer = verdict is Verdict.CUT_AFTER
            connection.is_silent |= verdict is Verdict.SWALLOW
            if not connection.is_silent and not _sent(connection.server, data):
                break
        self._end(connection)

    def _pump_to_client(self, connection: "_Connection") -> None:
        sieve = self._sieve()
        for data in _chunks(connection.server):
            self._to_client.wait()
            if connection.cut_at_answer:
                break
            if not connection.is_silent and not _sent(connection.client, sieve(data)):
                break
        self._end(connection)

    def _end(self, connection: "_Connection") -> None:
        connection.cut()
        self._connections.discard(connection)

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="proxy", daemon=True).start()


def through(proxy: Proxy, url: str) -> str:
    """The same URL, by way of the proxy."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{proxy.port}"))


def port_of(url: str) -> int:
    """The port that a URL names."""
    port = urlsplit(url).port
    assert port is not None, url
    return port


class _Connection:
    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.cut_at_answer = self.is_silent = False
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cut(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):  # it was cut before
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _chunks(end: socket.socket) -> Iterator[bytes]:
    """What comes from this end, until it is closed."""
    with contextlib.suppress(OSError):  # reset, or cut by us
        while data := end.recv(CHUNK_BYTES):
            yield data


def _sent(end: socket.socket, data: bytes) -> bool:
    try:
        end.sendall(data)
    except OSError:
        return False
    return True


def _open_gate() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate
