"""HTTP as bytes: sends requests that no well-behaved client would send, and reads whatever comes back."""

import http.client
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

# Longer than a front end takes for anything, on a machine that stands still at times.
ANSWER_SECONDS = 30.0
# Longer than a front end keeps a silent connection open.
CLOSE_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    """The response; `content_type` is empty when the header is missing."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def content_type(self) -> str:
        return str(self.headers.get("Content-Type", ""))


def request(method: str, path: str, headers: Iterable[str | bytes] = (), body: bytes | None = None) -> bytes:
    """One request; adds Content-Length unless `headers` have it or Transfer-Encoding."""
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: localhost", b"Connection: close"]
    lines += [line if isinstance(line, bytes) else line.encode("latin-1") for line in headers]
    names = {line.partition(b":")[0].lower() for line in lines}
    if body is not None and not names & {b"content-length", b"transfer-encoding"}:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


def chunked(*chunks: bytes) -> bytes:
    """A body in chunks (RFC 9112, section 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def exchange(url: str, sent: bytes, method: str = "POST") -> Answer:
    """Send bytes on a new connection and read the response. Raises OSError or HTTPException when there is none."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 80), ANSWER_SECONDS) as connection:
        with suppress(ConnectionError):  # it may answer, and close, before it has read everything
            connection.sendall(sent)
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return Answer(response.status, response.headers, response.read())


def send_pieces(url: str, first: bytes, more: Iterable[bytes] = (), every_seconds: float = 0.0) -> tuple[bytes, float]:
    """Send `first`, then `more` piece by piece; return all bytes received until the server closes, and the seconds.

    Raises TimeoutError when the server does not close the connection.
    """
    address = urlsplit(url)
    started = time.monotonic()
    with socket.create_connection((address.hostname or "", address.port or 80), CLOSE_SECONDS) as connection:
        answer = _send(connection, first, more, every_seconds)
    return answer, time.monotonic() - started


def _send(connection: socket.socket, first: bytes, more: Iterable[bytes], every_seconds: float) -> bytes:
    answer = b""
    try:
        connection.sendall(first)
        for piece in more:
            connection.settimeout(every_seconds)
            with suppress(TimeoutError):
                received = connection.recv(65536)
                answer += received
                if not received:
                    return answer
            connection.settimeout(CLOSE_SECONDS)
            connection.sendall(piece)
        connection.settimeout(CLOSE_SECONDS)
        while received := connection.recv(65536):
            answer += received
    except (ConnectionResetError, BrokenPipeError):
        pass  # the server closed before it had read all our bytes
    return answer
