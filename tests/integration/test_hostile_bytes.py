"""Hostile bytes: what is no good HTTP, sent to both kinds of front ends as it is."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from faults.member import FrontEnd
from faults.system import BUS
from support.raw_http import ANSWER_SECONDS, send_pieces
from support.serving import serving

import catalog.main
from bus.http.request_body import MAX_BODY_BYTES
from bus.testing.servers.ports import free_ports
from bus.testing.services import running
from bus.testing.waiting import wait_until

JSON = {"Content-Type": "application/json"}
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
HEAD = b"POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
# A second is the aim; machines are noisy. Whatever does not come is waited for ten seconds at least.
AT_ONCE_SECONDS = 8.0
START_SECONDS = 60.0


@pytest.fixture(scope="module", params=["process", "embedded"])
def served_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The catalog's front end: as a process, without a worker, and embedded, with one."""
    folder = tmp_path_factory.mktemp("data")
    if request.param == "process":
        with _process(folder, request.getfixturevalue("rabbitmq").fresh_vhost()) as url:
            yield url
        return
    with running(catalog.main.application) as client, serving(catalog.main.application.web(client)) as url:
        yield url


@contextmanager
def _process(folder: Path, bus_url: str) -> Iterator[str]:
    [port] = free_ports(1)
    environment = {**os.environ, "BUS_URL": bus_url, "CATALOG_PORT": str(port)}
    front = FrontEnd("front", folder, environment, *BUS, "web", "catalog")
    front.url = f"http://127.0.0.1:{port}"
    front.start()
    try:
        wait_until(lambda: _lives(front.url), START_SECONDS, "the front end lives")
        yield front.url
    finally:
        front.end()


def _lives(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=AT_ONCE_SECONDS).ok
    except requests.RequestException:
        return False


def test_a_declared_gigabyte_is_refused_unread(served_url: str) -> None:
    answer, seconds = send_pieces(served_url, HEAD + b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
    assert seconds < AT_ONCE_SECONDS
    assert b"100 Continue" not in answer
    _problem(answer, 413, "too-large")


def test_a_body_in_pieces_without_a_declared_length_is_read_only_up_to_the_limit(served_url: str) -> None:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer, _ = send_pieces(served_url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece + b"1\r\n{\r\n")
    _problem(answer, 413, "too-large")


def test_a_body_of_exactly_the_limit_is_read(served_url: str) -> None:
    body = b"{}" + b" " * (MAX_BODY_BYTES - 2)
    assert requests.post(f"{served_url}/products", data=body, headers=JSON, timeout=ANSWER_SECONDS).status_code == 400


# Good HTTP, and odd; each says that the connection ends with it.

ODD: dict[str, tuple[bytes, int, str]] = {
    "two slashes": (b"GET //nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "not-found"),
    "another host in the path": (
        b"GET //example.com/%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        404,
        "not-found",
    ),
    "a path that is no utf-8": (b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "not-found"),
    "a proxy's path": (b"GET http://y/nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "not-found"),
    "TRACE": (
        b"TRACE /products HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nConnection: close\r\n\r\n",
        405,
        "method-not-allowed",
    ),
    "two content types": (
        HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        400,
        "",
    ),
    "an encoded line break in a key": (
        HEAD + b"Idempotency-Key: a%0d%0a b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        400,
        "",
    ),
    "a key beyond ascii": (
        HEAD + b"Idempotency-Key: \xe9\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        400,
        "",
    ),
    "no kind of body that is asked for": (
        HEAD + b"Expect: 200-maybe\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        400,
        "",
    ),
}


@pytest.mark.parametrize(("sent", "status", "code"), ODD.values(), ids=ODD)
def test_what_is_odd_is_a_problem(served_url: str, sent: bytes, status: int, code: str) -> None:
    answer, seconds = send_pieces(served_url, sent)
    assert seconds < AT_ONCE_SECONDS
    assert answer.split()[1] in (str(status).encode(), b"415"), answer[:300]
    _problem(answer, int(answer.split()[1]), code)
    assert b"secret" not in answer
    assert b"\r\nX:" not in answer


def test_a_body_that_is_asked_for_is_said_to_be_welcome_first(served_url: str) -> None:
    head = HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    answer, _ = send_pieces(served_url, head, [b"{}"], 1.0)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    _problem(answer.partition(b"\r\n\r\n")[2], 400, "missing-field")


def test_no_second_request_hides_in_the_body_of_a_first(served_url: str) -> None:
    """Where a length and pieces are both declared, proxies and servers may disagree (RFC 9112, section 6.3)."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    head = HEAD + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (len(hidden) + 5)
    answer, _ = send_pieces(served_url, head + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"live"' not in answer


def test_pieces_that_are_none_end_the_request(served_url: str) -> None:
    lamp = json.dumps(LAMP).encode()
    pieces = b"%x\r\n%b\r\nzz\r\n{}\r\n" % (len(lamp), lamp)
    answer, _ = send_pieces(served_url, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces)
    assert b" 201 " not in answer


# Bytes that are not HTTP; the server answers with a status alone, and nothing of ours can change that.
MALFORMED: dict[str, tuple[bytes, int]] = {
    "no request line": (b"GARBAGE\r\n\r\n", 400),
    "a line break in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", 400),
    "a header without a name": (b"GET / HTTP/1.1\r\nHost: x\r\n: secret\r\n\r\n", 400),
    "a length that is none": (HEAD + b"Content-Length: x\r\n\r\n", 400),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "HTTP of another age": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "HTTP/2 by surprise": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "NUL in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
    "headers without end": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 600_000 + b"\r\n\r\n", 431),
}


@pytest.mark.parametrize(("sent", "status"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_http_ends_with_a_status_and_never_with_html(served_url: str, sent: bytes, status: int) -> None:
    answer, _ = send_pieces(served_url, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") or not head  # cut in the middle of its sending
    if head:
        assert int(head.split()[1]) == status
    if body:
        problem = _problem(answer, status, "")
        assert "secret" not in problem["detail"]


def _problem(answer: bytes, status: int, code: str) -> dict[str, Any]:
    """The problem document of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode(), answer[:300]
    assert b"content-type: application/problem+json" in head.lower()
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == status
    assert problem["code"] == (code or problem["code"])
    assert problem["detail"]
    return problem


def test_a_request_that_ends_before_its_body_does_is_not_carried_out(served_url: str) -> None:
    lamp = json.dumps({**LAMP, "name": "cut short"}).encode()
    address = "127.0.0.1", int(served_url.rpartition(":")[2])
    with socket.create_connection(address, ANSWER_SECONDS) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + lamp)
        connection.shutdown(socket.SHUT_WR)
        assert b" 201 " not in connection.recv(65536)
