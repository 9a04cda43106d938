"""The bridge: what a WSGI application sees of a request, and what a client sees of its answer."""

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from support.serving import serving

from bus.http import bridge
from bus.http.request_body import MAX_BODY_BYTES
from bus.messaging.waiting import mailbox

LONG_SECONDS = 60.0
Serve = Callable[[WSGIApplication], str]


def _shown(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answers with its environment, and with the length of the body."""
    shown: dict[str, Any] = {name: value for name, value in environ.items() if isinstance(value, str)}
    shown["body"] = len(environ["wsgi.input"].read())
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(scope="module")
def shown() -> Iterator[str]:
    with serving(_shown) as url:
        yield url


def _exchange(url: str, sent: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    port = int(url.rpartition(":")[2])
    received = b""
    with socket.create_connection(("127.0.0.1", port), LONG_SECONDS) as connection:
        connection.sendall(sent)
        while more := connection.recv(65536):
            received += more
    return received


def _environ(url: str, line: bytes, headers: bytes = b"", body: bytes = b"") -> dict[str, Any]:
    sent = line + b" HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n" + headers + b"\r\n" + body
    environ: dict[str, Any] = json.loads(_exchange(url, sent).partition(b"\r\n\r\n")[2])
    return environ


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, b"X-Forwarded-For: 203.0.113.9\r\n", "127.0.0.1"),
        (1, b"X-Forwarded-For: 192.0.2.1, 203.0.113.9\r\n", "203.0.113.9"),
        (2, b"X-Forwarded-For: 192.0.2.1, 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9"),
        (2, b"X-Forwarded-For: 192.0.2.1, 203.0.113.9\r\nX-Forwarded-For: 10.0.0.1\r\n", "203.0.113.9"),
        (2, b"X-Forwarded-For: 203.0.113.9\r\n", "127.0.0.1"),
        (1, b"", "127.0.0.1"),
    ],
)
def test_the_address_of_a_client_is_the_one_that_the_first_trusted_proxy_has_seen(
    proxies: int, forwarded: bytes, address: str
) -> None:
    """What a client itself has put into the header stands before, and counts for nothing."""
    with serving(_shown, trusted_proxies=proxies) as url:
        assert _environ(url, b"GET /", forwarded)["REMOTE_ADDR"] == address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "scheme"),
    [
        (1, b"https", "https"),
        (1, b"HTTPS", "https"),
        (1, b"http, https", "https"),
        (1, b"https, http", "http"),
        (1, b"javascript", "http"),
        (0, b"https", "http"),
    ],
)
def test_the_scheme_is_the_one_that_the_last_trusted_proxy_has_seen(
    proxies: int, forwarded: bytes, scheme: str
) -> None:
    with serving(_shown, trusted_proxies=proxies) as url:
        environ = _environ(url, b"GET /", b"X-Forwarded-Proto: " + forwarded + b"\r\n")
        assert environ["wsgi.url_scheme"] == scheme


def test_a_longer_body_is_read_where_it_is_allowed() -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    length = b"Content-Length: %d\r\n" % len(body)
    with serving(_shown, max_body_bytes=2 * MAX_BODY_BYTES) as url:
        assert _environ(url, b"POST /", length, body)["body"] == len(body)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "prefix"),
    [
        (1, b"/shop", "/shop"),
        (2, b"/evil, /shop/v1/", "/shop/v1"),
        (0, b"/shop", ""),
        (1, b"//evil.example", ""),
        (1, b"/a b", ""),
    ],
)
def test_the_prefix_is_the_one_that_the_last_trusted_proxy_takes_away(
    proxies: int, forwarded: bytes, prefix: str
) -> None:
    with serving(_shown, trusted_proxies=proxies) as url:
        assert _environ(url, b"GET /", b"X-Forwarded-Prefix: " + forwarded + b"\r\n")["SCRIPT_NAME"] == prefix


def test_a_request_is_what_the_client_has_sent(shown: str) -> None:
    environ = _environ(
        shown, b"POST /a%2Fb%20c/%C3%A9?x=%20&y", b"Content-Length: 3\r\nContent-Type: text/x\r\n", b"abc"
    )
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["PATH_INFO"] == "/a/b c/é".encode().decode("latin-1")
    assert environ["QUERY_STRING"] == "x=%20&y"
    assert environ["HTTP_HOST"] == "shop.example"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == shown.rpartition(":")[2]
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["body"]) == ("text/x", "3", 3)


def test_headers_of_one_name_are_joined(shown: str) -> None:
    environ = _environ(shown, b"GET /", b"A: 1\r\nCookie: a=1\r\na: 2\r\nCookie: b=2\r\n")
    assert (environ["HTTP_A"], environ["HTTP_COOKIE"]) == ("1, 2", "a=1; b=2")


def test_a_header_with_an_underscore_is_not_taken_for_another(shown: str) -> None:
    assert "HTTP_X_USER" not in _environ(shown, b"GET /", b"X_User: admin\r\n")


def test_a_header_that_is_not_ascii_is_there_and_unreadable(shown: str) -> None:
    assert _environ(shown, b"GET /", b"Idempotency-Key: \xc3\xa9\r\n")["HTTP_IDEMPOTENCY_KEY"] == bridge.UNREADABLE


def test_a_header_that_is_not_ascii_is_there_before_one_that_is(shown: str) -> None:
    environ = _environ(shown, b"GET /", b"Idempotency-Key: \xc3\xa9\r\nIdempotency-Key: a\r\n")
    assert environ["HTTP_IDEMPOTENCY_KEY"] == f"{bridge.UNREADABLE}, a"


def test_a_body_in_pieces_is_read(shown: str) -> None:
    pieces = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert _environ(shown, b"POST /", b"Transfer-Encoding: chunked\r\n", pieces)["body"] == 5


def test_pieces_that_end_too_early_are_refused(shown: str) -> None:
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert _exchange(shown, sent + b"3\r\nabc\r\nzz\r\n").startswith(b"HTTP/1.1 400 ")


def test_no_more_is_read_of_a_body_than_shows_that_it_is_too_long(shown: str) -> None:
    piece = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    sent = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * piece
    answer = json.loads(_exchange(shown, sent).partition(b"\r\n\r\n")[2])
    assert MAX_BODY_BYTES < answer["body"] <= 3 * 0x8000


def test_a_body_that_does_not_come_is_waited_for_no_longer_than_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "BODY_SECONDS", 0.1)
    with serving(_shown) as url:
        answer = _exchange(url, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "request-timeout"


def test_an_answer_of_unknown_length_is_sent_as_it_is_made() -> None:
    closed: list[bool] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(1000):
                if number % 100 == 0:  # such as a call for the next page
                    box = mailbox()
                    box.put(None)
                    box.get(timeout=LONG_SECONDS)
                yield b"%03d\n" % number

        def close(self) -> None:
            closed.append(True)

    def app(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/csv")])
        return Pieces()

    with serving(app) as url:
        head, _, body = _exchange(url, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"".join(body.split(b"\r\n")[1::2]).split() == [b"%03d" % number for number in range(1000)]
    assert closed == [True]


def test_an_application_that_fails_is_a_500_and_the_next_request_is_served() -> None:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/fails":
            raise RuntimeError("a bug")
        if environ["PATH_INFO"] == "/exits":
            raise SystemExit("another one")
        start_response("204 No Content", [])
        return []

    with serving(app) as url:
        paths = (b"/fails", b"/exits")
        failed = [_exchange(url, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path) for path in paths]
        served = _exchange(url, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert all(answer.startswith(b"HTTP/1.1 500 ") for answer in failed)
    assert served.startswith(b"HTTP/1.1 204 ")
