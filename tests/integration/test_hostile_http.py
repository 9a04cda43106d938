"""Hostile requests over HTTP, byte by byte, to a front end as it runs in production: granian in a process of its own.

Every refusal is a problem document with the right status, no echo of a secret, no trace, no HTML, and the front end
lives on. Each table is about one rule; a row is a case of it.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.raw_http import Answer, chunked, exchange, request

import auth.main
import catalog.main
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.service.application import Application
from bus.testing.servers.ports import free_ports
from bus.testing.servers.processes import Process
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

START_SECONDS, STOP_SECONDS = 60.0, 10.0

JSON = "Content-Type: application/json"
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
BODY = json.dumps(LAMP).encode()
PASSWORD = "correct horse battery"
ANN = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
# One byte over what the front end takes.
TOO_LARGE = b" " * (64 * 1024 + 1)


@dataclass(frozen=True)
class System:
    """The front ends' URLs."""

    products: str
    accounts: str


@pytest.fixture(scope="module")
def system(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Both services: front ends in processes, workers in threads of this one."""
    folder, bus_url = tmp_path_factory.mktemp("system"), rabbitmq.fresh_vhost()
    with ExitStack() as stack:

        def start(application: Application) -> str:
            database = Database(f"sqlite:///{folder}/{application.name}.db")
            stack.callback(database.close)
            migrate(database, application.migrations)
            worker = Worker(application.service, transport_for(bus_url, application.name), database)
            worker.start()
            stack.callback(worker.stop, STOP_SECONDS)
            [port] = free_ports(1)
            environment = {**os.environ, "BUS_URL": bus_url, f"{application.name.upper()}_PORT": str(port)}
            command = (sys.executable, "-m", "bus.cli", "web", application.name)
            front = Process(f"{application.name}-web", command, folder, environment)
            front.start()
            stack.callback(front.stop, signal.SIGTERM)
            return f"http://127.0.0.1:{port}"

        urls = System(start(catalog.main.application), start(auth.main.application))
        for url in (urls.products, urls.accounts):
            wait_until(lambda url=url: _is_ready(url), START_SECONDS, f"{url} is ready")  # type: ignore[misc]
        yield urls


def _is_ready(url: str) -> bool:
    try:
        return exchange(url, request("GET", "/health/ready"), "GET").status == 200
    except OSError:
        return False


def _exchange(url: str, sent: bytes, method: str = "POST") -> Answer:
    """The answer. A ping that a busy machine answers late is a no, and asks to come again: so that is done."""
    answers: list[Answer] = []

    def is_answered() -> bool:
        answers.append(exchange(url, sent, method))
        return not (answers[-1].status == 503 and b'"no-worker"' in answers[-1].body)

    wait_until(is_answered, START_SECONDS, "the service answers")
    return answers[-1]


def _post(url: str, body: bytes, *headers: str | bytes, path: str = "/products") -> Answer:
    return _exchange(url, request("POST", path, headers or (JSON,), body))


def _problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem document, which has the members that every one has."""
    assert answer.status == status, answer.body[:300]
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.body)
    assert {"type", "title", "status", "detail", "code", "error", "message"} <= problem.keys()
    assert (problem["status"], problem["code"]) == (status, code)
    assert b"Traceback" not in answer.body
    assert isinstance(problem, dict)
    return problem


# Bodies that cannot be understood; posted to both services.

MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n\t",
    "not json": b"name=Lamp",
    "trailing bytes": b"{} {}",
    "trailing comma": b'{"name": "x",}',
    "single quotes": b"{'name': 'Lamp'}",
    "a comment": b'{"name": "x"} // a lamp',
    "a comment inside": b'{/* a lamp */ "name": "x"}',
    "a form feed between tokens": b'{\x0c"name": "x"}',
    "a no-break space between tokens": b'{\xc2\xa0"name": "x"}',
    "utf-16": '{"name": "x"}'.encode("utf-16"),
    "utf-32": '{"name": "x"}'.encode("utf-32"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "invalid utf-8": b'{"name": "\xff"}',
    "overlong utf-8": b'{"name": "\xc0\xaf"}',
    "a surrogate in utf-8": b'{"name": "\xed\xa0\x80"}',
    "beyond unicode": b'{"name": "\xf4\x90\x80\x80"}',
    "a NUL in text": b'{"name": "\x00"}',
    "a newline in text": b'{"name": "a\nb"}',
    "an unknown escape": b'{"name": "\\x41"}',
    "NaN": b'{"price": NaN}',
    "Infinity": b'{"price": Infinity}',
    "-Infinity": b'{"price": -Infinity}',
    "1e999": b'{"price": 1e999}',
    "1E400": b'{"price": 1E400}',
    "-1e-999": b'{"price": -1e-999}',
    "1e99999999999999999999": b'{"price": 1e99999999999999999999}',
    "a number of 60,000 digits": b'{"price": ' + b"9" * 60_000 + b"}",
    "a fraction of 60,000 digits": b'{"price": 0.' + b"9" * 60_000 + b"}",
    "a leading zero": b'{"quantity": 012}',
    "a plus": b'{"quantity": +1}',
    "hexadecimal": b'{"quantity": 0x10}',
    "no digit before the point": b'{"price": .5}',
    "no digit behind the point": b'{"price": 5.}',
    "True": b'{"quantity": True}',
    "pickle": b"\x80\x04}\x94.",
    "yaml": b"name: Lamp\nprice: 9.9\n",
    "xml": b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>",
}
NOT_UNDERSTOOD: dict[str, tuple[bytes, str]] = {
    **{row: (body, "malformed-json") for row, body in MALFORMED.items()},
    "20,000 arrays": (b"[" * 20_000, "json-too-deep"),
    "20,000 objects": (b'{"a":' * 10_000, "json-too-deep"),
    "33 arrays in a field": (b'{"name": ' + b"[" * 32 + b"]" * 32 + b"}", "json-too-deep"),
    "quadratic": (b"[" * 33 + b'"' + b'\\"' * 30_000, "json-too-deep"),
    "duplicate keys": (b'{"name": "a", "name": "b"}', "duplicate-key"),
    "duplicate keys, written otherwise": (b'{"name": "a", "n\\u0061me": "b"}', "duplicate-key"),
    "nested duplicates": (b'{"name": [{"a": 1, "a": 2}]}', "duplicate-key"),
    "null": (b"null", "not-an-object"),
    "5": (b"5", "not-an-object"),
    '"x"': (b'"x"', "not-an-object"),
    "[]": (b"[]", "not-an-object"),
    "true": (b"true", "not-an-object"),
    "an object in a list": (b"[" + BODY + b"]", "not-an-object"),
    "nothing required": (b"{}", "missing-field"),
}


@pytest.mark.parametrize(("body", "code"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_body_that_cannot_be_understood_is_400(system: System, body: bytes, code: str) -> None:
    _problem(_post(system.products, body), 400, code)
    _problem(_post(system.accounts, body, path="/register"), 400, code)


# What the headers say of the body.

MEDIA_TYPES: dict[str, tuple[str | bytes, ...]] = {
    "none": ("X-None: 1",),
    "empty": ("Content-Type:",),
    "text": ("Content-Type: text/plain",),
    "form": ("Content-Type: application/x-www-form-urlencoded",),
    "multipart": ("Content-Type: multipart/form-data; boundary=x",),
    "pickle": ("Content-Type: application/x-python-serialize",),
    "a problem": ("Content-Type: application/problem+json",),
    "json in latin-1": ("Content-Type: application/json; charset=latin-1",),
    "json in utf-16": ("Content-Type: application/json; charset=utf-16",),
    "json in utf-7": ("Content-Type: application/json; charset=utf-7",),
    "json in latin-1 behind a parameter": ("Content-Type: application/json; version=2; charset=latin-1",),
    "two in one": ("Content-Type: application/json, text/plain",),
    "bytes": (b"Content-Type: application/json\xff",),
    "two, the wrong one first": ("Content-Type: text/plain", JSON),
    "10 KB": ("Content-Type: application/json;" + " " * 10_000 + "x",),
}


@pytest.mark.parametrize("headers", MEDIA_TYPES.values(), ids=MEDIA_TYPES)
def test_a_body_of_another_media_type_is_415(system: System, headers: tuple[str | bytes, ...]) -> None:
    _problem(_post(system.products, BODY, *headers), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "APPLICATION/JSON", 'application/json; charset="UTF-8"', "application/json;charset=utf-8 "],
)
def test_json_in_utf_8_is_taken_however_it_is_called(system: System, media_type: str) -> None:
    assert _post(system.products, BODY, f"Content-Type: {media_type}").status == 201


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "compress", "utf-7"])
def test_a_body_that_is_encoded_is_415(system: System, encoding: str) -> None:
    answer = _post(system.products, b"\x1f\x8b" + bytes(10), JSON, f"Content-Encoding: {encoding}")
    _problem(answer, 415, "unsupported-encoding")


GIGABYTE = f"Content-Length: {10**9}"
TOO_LARGE_ROWS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "64 KiB and 1": (TOO_LARGE, (JSON,)),
    "a gigabyte that is only declared": (b"{}", (JSON, GIGABYTE)),
    "the same after a question whether to": (b"", (JSON, GIGABYTE, "Expect: 100-continue")),
    "of another media type too": (TOO_LARGE, ("Content-Type: text/plain",)),
}


@pytest.mark.parametrize(("body", "headers"), TOO_LARGE_ROWS.values(), ids=TOO_LARGE_ROWS)
def test_a_body_that_is_too_large_is_413(system: System, body: bytes, headers: tuple[str, ...]) -> None:
    _problem(_post(system.products, body, *headers), 413, "too-large")


def test_a_body_in_chunks_is_a_body(system: System) -> None:
    assert _post(system.products, chunked(BODY[:7], BODY[7:]), JSON, "Transfer-Encoding: chunked").status == 201


def test_whoever_asks_whether_to_send_its_body_may(system: System) -> None:
    assert _post(system.products, BODY, JSON, "Expect: 100-continue").status == 201


# Where one request ends and the next begins, two readers must not disagree on: the server refuses what is not clear.
# It does so before there is an application, and without a body.
UNCLEAR: dict[str, bytes] = {
    "two lengths": request("POST", "/products", (JSON, "Content-Length: 3", "Content-Length: 40"), BODY),
    "a length that is no number": request("POST", "/products", (JSON, "Content-Length: x"), BODY),
    "a negative length": request("POST", "/products", (JSON, "Content-Length: -1"), BODY),
    "a length of 31 digits": request("POST", "/products", (JSON, f"Content-Length: 1{'0' * 30}"), BODY),
    "an encoding that does not end": request("POST", "/products", (JSON, "Transfer-Encoding: gzip"), BODY),
    "a NUL in a header": request("POST", "/products", (JSON, "Idempotency-Key: a\x00b"), BODY),
    "a carriage return in a header": request("POST", "/products", (JSON, "Idempotency-Key: a\rX: b"), BODY),
    "a space before the colon": request("POST", "/products", (JSON, "Idempotency-Key : a"), BODY),
    "a header of two lines": request("POST", "/products", (JSON, "Idempotency-Key: a\r\n b"), BODY),
    "HTTP 0.9": b"GET /products\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("sent", UNCLEAR.values(), ids=UNCLEAR)
def test_what_is_no_clear_request_is_400_from_the_server_itself(system: System, sent: bytes) -> None:
    answer = exchange(system.products, sent)
    assert (answer.status, answer.body) == (400, b"")


OVERSIZED: dict[str, tuple[bytes, int]] = {
    "a header of 500 KB": (request("GET", "/products", ("X: " + "x" * 500_000,)), 431),
    "1,000 headers": (request("GET", "/products", [f"X{number}: 1" for number in range(1000)]), 431),
    "a path of 70 KB": (request("GET", "/products?limit=" + "1" * 70_000), 414),
}


@pytest.mark.parametrize(("sent", "status"), OVERSIZED.values(), ids=OVERSIZED)
def test_headers_and_paths_have_a_bound(system: System, sent: bytes, status: int) -> None:
    assert exchange(system.products, sent, "GET").status == status


def test_what_stands_behind_a_chunked_body_is_no_second_request(system: System) -> None:
    """Length and chunks at once: the chunks count (RFC 9112, section 6.3), and the connection ends."""
    smuggled = b"0\r\n\r\nPOST /products HTTP/1.1\r\nHost: x\r\n" + f"{JSON}\r\n".encode()
    answer = _post(system.products, smuggled, JSON, "Content-Length: 4", "Transfer-Encoding: chunked")
    _problem(answer, 400, "malformed-json")


# Bodies that are not what was declared, and paths that are nearly right.

CUT_OFF = request("POST", "/products", (JSON, "Content-Length: 1000"), BODY)


@pytest.mark.parametrize("chunk", [b" " * 8192, BODY + b" " * 8192], ids=["blank", "valid to the bound"])
def test_a_chunked_body_that_is_too_large_is_413(system: System, chunk: bytes) -> None:
    body = chunked(chunk, *[b" " * 8192] * 9, b"!")
    _problem(_post(system.products, body, JSON, "Transfer-Encoding: chunked"), 413, "too-large")


def test_a_body_that_ends_before_its_length_is_not_carried_out(system: System) -> None:
    address = urlsplit(system.products)
    with socket.create_connection((address.hostname or "", address.port or 0), START_SECONDS) as connection:
        connection.sendall(CUT_OFF)
        connection.shutdown(socket.SHUT_WR)
        assert b" 201 " not in connection.recv(100)


def test_two_slashes_are_not_found(system: System) -> None:
    _problem(exchange(system.products, request("GET", "/products//1"), "GET"), 404, "not-found")


# Fields that are understood and not acceptable.

FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "NUL": ({"name": "a\x00"}, "invalid-text", "/name"),
    "escape": ({"name": "\x1b[2J"}, "invalid-text", "/name"),
    "delete": ({"name": "a\x7f"}, "invalid-text", "/name"),
    "C1": ({"name": "a\x9b2J"}, "invalid-text", "/name"),
    "newline": ({"name": "a\r\nSet-Cookie: x=1"}, "invalid-text", "/name"),
    "surrogate": ({"name": "\ud800"}, "invalid-text", "/name"),
    "surrogates in the wrong order": ({"name": "\udc00\ud800"}, "invalid-text", "/name"),
    "surrogate key": ({"\ud800": 1}, "unknown-field", "/\ufffd"),
    "NUL key": ({"a\x00": 1}, "unknown-field", "/a\ufffd"),
    "empty key": ({"": 1}, "unknown-field", "/"),
    "a key that is a pointer": ({"a/b~c": 1}, "unknown-field", "/a~1b~0c"),
    "a key of 60,000 characters": ({"k" * 60_000: 1}, "unknown-field", "/" + "k" * 64),
    "another case": ({"Name": "x"}, "unknown-field", "/Name"),
    "full width": ({"\uff4eame": "x"}, "unknown-field", "/\uff4eame"),
    "role": ({"role": "admin"}, "unknown-field", "/role"),
    "id": ({"id": 1}, "unknown-field", "/id"),
    "is_admin": ({"is_admin": True}, "unknown-field", "/is_admin"),
    "version": ({"version": 7}, "unknown-field", "/version"),
    "__proto__": ({"__proto__": {"role": "admin"}}, "unknown-field", "/__proto__"),
    "__class__": ({"__class__": "x"}, "unknown-field", "/__class__"),
    "true for a number": ({"quantity": True}, "wrong-type", "/quantity"),
    "null for a number": ({"quantity": None}, "wrong-type", "/quantity"),
    '"12" for 12': ({"price": "12"}, "wrong-type", "/price"),
    '"12" for a whole 12': ({"quantity": "12"}, "wrong-type", "/quantity"),
    "{} for a number": ({"price": {}}, "wrong-type", "/price"),
    "a number for text": ({"name": 5}, "wrong-type", "/name"),
    "[] for text": ({"name": []}, "wrong-type", "/name"),
    "an operator for text": ({"name": {"$gt": ""}}, "wrong-type", "/name"),
    "no text": ({"name": ""}, "out-of-range", "/name"),
    "201 characters": ({"name": "x" * 201}, "out-of-range", "/name"),
    "price -1": ({"price": -1}, "out-of-range", "/price"),
    "price 0.001": ({"price": 0.001}, "out-of-range", "/price"),
    "price 10^10": ({"price": 10**10}, "out-of-range", "/price"),
    "price 10^30": ({"price": 10**30}, "out-of-range", "/price"),
    "quantity -1": ({"quantity": -1}, "out-of-range", "/quantity"),
    "quantity 2^31": ({"quantity": 2**31}, "out-of-range", "/quantity"),
    "quantity 2^63": ({"quantity": 2**63}, "out-of-range", "/quantity"),
    "quantity 2^64": ({"quantity": 2**64}, "out-of-range", "/quantity"),
    "quantity of 39 digits": ({"quantity": 10**38}, "out-of-range", "/quantity"),
    "quantity 1.5": ({"quantity": 1.5}, "out-of-range", "/quantity"),
}


@pytest.mark.parametrize(("change", "code", "pointer"), FIELDS.values(), ids=FIELDS)
def test_what_is_not_acceptable_is_422_and_names_the_field(
    system: System, change: dict[str, Any], code: str, pointer: str
) -> None:
    problem = _problem(_post(system.products, json.dumps({**LAMP, **change}).encode()), 422, code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


# JSON knows more ways to write a number than Python's writer uses.
NUMBERS: dict[str, tuple[bytes, int]] = {
    "1e2": (b'"price": 1e2, "quantity": 1', 201),
    "1E+2": (b'"price": 1E+2, "quantity": 1', 201),
    "100e-2": (b'"price": 100e-2, "quantity": 1', 201),
    "9.900000": (b'"price": 9.900000, "quantity": 1', 201),
    "9999999999.99": (b'"price": 9999999999.99, "quantity": 2147483647', 201),
    "0": (b'"price": 0, "quantity": 0', 201),
    "-0": (b'"price": 1, "quantity": -0', 201),
    "-0.0": (b'"price": -0.0, "quantity": 1', 422),
    "1e-2": (b'"price": 1e-2, "quantity": 1', 201),
    "1e-3": (b'"price": 1e-3, "quantity": 1', 422),
    "1e30": (b'"price": 1e30, "quantity": 1', 422),
    "9999999999.990000000000000000000001": (b'"price": 9999999999.990000000000000000000001, "quantity": 1', 422),
}


@pytest.mark.parametrize(("fields", "status"), NUMBERS.values(), ids=NUMBERS)
def test_a_number_counts_for_what_it_is_however_it_is_written(system: System, fields: bytes, status: int) -> None:
    answer = _post(system.products, b'{"name": "Lamp", ' + fields + b"}")
    if status == 422:
        _problem(answer, 422, "out-of-range")
    else:
        assert answer.status == 201, answer.body


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE products; --",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "<script>alert(1)</script>",
        "%s%n",
        "../../etc/passwd",
        "日本 ☂ 🦄",
        "\u202egnp.exe",
        "\\u0000",
    ],
)
def test_text_is_stored_verbatim(system: System, name: str) -> None:
    created = _post(system.products, json.dumps({**LAMP, "name": name}).encode())
    assert created.status == 201
    read = _exchange(system.products, request("GET", created.headers["Location"]), "GET")
    assert json.loads(read.body)["name"] == name


# Registrations, whose answers must not hold the password.

REGISTRATIONS: dict[str, tuple[dict[str, Any], int, str]] = {
    "a common password": ({"password": "password1"}, 422, "weak-password"),
    "a password that is the name": ({"username": "a.long-name_7", "password": "a.long-name_7"}, 422, "weak-password"),
    "a password that is the address": ({"password": "ann@example.com"}, 422, "weak-password"),
    "NUL": ({"password": PASSWORD + "\x00"}, 422, "invalid-text"),
    "a surrogate": ({"password": PASSWORD + "\ud800"}, 422, "invalid-text"),
    "a list": ({"password": [PASSWORD]}, 422, "wrong-type"),
    "an object": ({"password": {PASSWORD: PASSWORD}}, 422, "wrong-type"),
    "a number": ({"password": 1234567890123}, 422, "wrong-type"),
    "too short": ({"password": "s3cr3t!"}, 422, "out-of-range"),
    "too long": ({"password": PASSWORD * 50}, 422, "out-of-range"),
    "in a field more": ({"passwort": PASSWORD}, 422, "unknown-field"),
    "a bad address": ({"email": "nowhere"}, 422, "invalid-email"),
    "two lines of address": ({"email": "ann@example.com\nbcc: all@example.com"}, 422, "invalid-email"),
    "no address": ({"email": None}, 422, "wrong-type"),
    "is_admin": ({"is_admin": True}, 422, "unknown-field"),
    "a seal of nothing": ({"sealed": "x"}, 422, "unknown-field"),
    "a seal that is a list": ({"sealed": []}, 422, "unknown-field"),
}


@pytest.mark.parametrize(("change", "status", "code"), REGISTRATIONS.values(), ids=REGISTRATIONS)
def test_no_refusal_of_a_registration_echoes_the_password(
    system: System, change: dict[str, Any], status: int, code: str
) -> None:
    sent = {**ANN, **change}
    answer = _post(system.accounts, json.dumps(sent).encode(), path="/register")
    _problem(answer, status, code)
    for password in {PASSWORD, str(sent["password"])}:
        assert password.encode("utf-8", "replace") not in answer.body.replace(b"weak-password", b"")


@pytest.mark.parametrize(
    "password",
    ["x" * 64 + "y z" * 20 + "1234", "  spaces around  ", "🦄🐙🦑🐡🐠🐟🐬🐳"],
    ids=["128 characters", "spaces", "emoji"],
)
def test_a_long_strange_password_is_taken(system: System, password: str) -> None:
    name = f"strange{len(password)}"
    account = {"username": name, "email": f"{name}@example.com", "password": password}
    assert _post(system.accounts, json.dumps(account).encode(), path="/register").status == 201


# Routes and methods.

PATHS: dict[str, str] = {
    "nowhere": "/nowhere",
    "a slash more": "/products/",
    "a word for an id": "/products/x",
    "a negative id": "/products/-1",
    "an id with a plus": "/products/+1",
    "an id with an exponent": "/products/1e2",
    "an id of 5,000 digits": "/products/" + "9" * 5000,
    "a parameter in the path": "/products/1;x=y",
    "a level more": "/products/1/2",
    "NUL": "/%00",
    "out of the folder": "/../etc/passwd",
    "out of the static folder": "/static/../flask.py",
    "the same, encoded": "/static/..%2fflask.py",
    "the same, encoded otherwise": "/static/%2e%2e/flask.py",
    "with backslashes": "/static/..\\flask.py",
    "another host": "//evil.example/products",
    "a star": "*",
    "an operation without a name": "/operations/",
    "an operation with a line break": "/operations/a%0d%0aSet-Cookie:x",
    "invalid utf-8": "/%ff%fe",
    "a template": "/{{7*7}}",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_an_unknown_route_is_404(system: System, path: str) -> None:
    _problem(exchange(system.products, request("GET", path), "GET"), 404, "not-found")


METHODS: dict[str, tuple[str, str, str]] = {
    "PATCH": ("PATCH", "/products", "POST"),
    "DELETE": ("DELETE", "/products", "POST"),
    "TRACE": ("TRACE", "/products", "POST"),
    "CONNECT": ("CONNECT", "/products", "POST"),
    "an unknown one": ("BREW", "/products", "POST"),
    "POST to what is only read": ("POST", "/health/live", "GET"),
    "PUT to an outcome": ("PUT", "/operations/x", "GET"),
}


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS.values(), ids=METHODS)
def test_a_wrong_method_is_405_and_names_the_right_ones(system: System, method: str, path: str, allowed: str) -> None:
    answer = exchange(system.products, request(method, path, body=b""), method)
    _problem(answer, 405, "method-not-allowed")
    assert allowed in answer.headers["Allow"]


def test_options_tells_the_methods(system: System) -> None:
    answer = exchange(system.products, request("OPTIONS", "/products"), "OPTIONS")
    assert (answer.status, answer.body) == (200, b"")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))


def test_head_is_answered_where_get_is(system: System) -> None:
    answer = _exchange(system.products, request("HEAD", "/products"), "HEAD")
    assert (answer.status, answer.body) == (200, b"")


ASKED: dict[str, tuple[str, int, str]] = {
    "an id of 2^63": (f"/products/{2**63}", 404, "not-found"),
    "an id of 22 digits": ("/products/9999999999999999999999", 404, "not-found"),
    "an id nobody has": (f"/products/{2**62}", 404, "catalog.product_not_found"),
    "the path's word in the query": ("/products/1?product_id=2", 422, "unknown-field"),
    "limit 0": ("/products?limit=0", 422, "out-of-range"),
    "limit 501": ("/products?limit=501", 422, "out-of-range"),
    "limit x": ("/products?limit=x", 422, "wrong-type"),
    "limit without a value": ("/products?limit", 422, "wrong-type"),
    "limit 1e1": ("/products?limit=1e1", 422, "wrong-type"),
    "limit with a space": ("/products?limit=+5", 422, "wrong-type"),
    "limit in Arabic digits": ("/products?limit=%D9%A5", 422, "wrong-type"),
    "limit of 5,000 digits": ("/products?limit=" + "9" * 5000, 422, "wrong-type"),
    "limit NUL": ("/products?limit=%00", 422, "invalid-text"),
    "limit with a line break": ("/products?limit=1%0d%0a", 422, "invalid-text"),
    "limit in a list": ("/products?limit[]=1", 400, "unknown-argument"),
    "a cursor of our own": ("/products?cursor=-1", 400, "invalid-cursor"),
    "a cursor that is too long": ("/products?cursor=" + "x" * 2001, 422, "out-of-range"),
    "a cursor with a line break": ("/products?cursor=5%0A", 422, "invalid-text"),
    "a cursor of SQL": ("/products?cursor=1%20OR%201=1", 422, "out-of-range"),
    "a field nobody knows": ("/products?colour=red", 400, "unknown-argument"),
    "2,000 fields nobody knows": ("/products?" + "&".join(f"a{n}=1" for n in range(2000)), 400, "unknown-argument"),
    "a field twice": ("/products?limit=1&limit=2", 400, "duplicate-key"),
    "invalid utf-8": ("/products?limit=%ff", 422, "wrong-type"),
    "an outcome of NUL": ("/operations/%00", 422, "invalid-text"),
    "an outcome of no text": ("/operations/%ff", 422, "out-of-range"),
    "an outcome of 256 characters": ("/operations/" + "x" * 256, 422, "out-of-range"),
}


@pytest.mark.parametrize(("path", "status", "code"), ASKED.values(), ids=ASKED)
def test_what_stands_in_the_url_is_checked_like_a_body(system: System, path: str, status: int, code: str) -> None:
    problem = _problem(_exchange(system.products, request("GET", path), "GET"), status, code)
    assert len(problem.get("errors", ())) <= 50


def test_a_path_of_dots_is_only_the_name_of_an_outcome(system: System) -> None:
    for path in ("/operations/../../etc/passwd", "/operations/..%2f..%2fetc%2fpasswd"):
        answer = _exchange(system.products, request("GET", path), "GET")
        assert json.loads(answer.body) == {"id": "../../etc/passwd", "state": "pending", "status": None, "reply": None}


def test_what_the_path_says_is_not_the_bodys_to_say(system: System) -> None:
    answer = exchange(system.products, request("PUT", "/products/1", (JSON,), b'{"product_id": 2}'), "PUT")
    _problem(answer, 422, "unknown-field")


# Idempotency keys.

KEYS: dict[str, str | bytes] = {
    "none": "",
    "a space": "a b",
    "a tab": "a\tb",
    "256 characters": "x" * 256,
    "10 KB": "x" * 10_000,
    "latin-1": b"\xe9",
    "utf-8": "é".encode(),
    "two of them": "a, b",
    "two headers": "a\r\nIdempotency-Key: b",
    "two headers, the first not ASCII": b"\xe9\r\nIdempotency-Key: a",
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_that_is_none_is_400(system: System, key: str | bytes) -> None:
    line = b"Idempotency-Key: " + (key if isinstance(key, bytes) else key.encode())
    _problem(_post(system.products, BODY, JSON, line), 400, "invalid-message-id")


def test_a_key_adds_no_header_to_the_answer(system: System) -> None:
    """A bare line feed ends a header line (RFC 9112, section 2.2): what follows is the sender's own header."""
    answer = _post(system.products, BODY, JSON, "Idempotency-Key: injected\nSet-Cookie: role=admin")
    assert answer.status == 201
    assert "Set-Cookie" not in answer.headers


def test_the_same_key_with_another_body_is_422(system: System) -> None:
    key = "Idempotency-Key: hostile-1"
    first = _post(system.products, BODY, JSON, key)
    assert first.status == 201
    assert _post(system.products, BODY, JSON, key).body == first.body
    other = json.dumps({**LAMP, "quantity": 4}).encode()
    _problem(_post(system.products, other, JSON, key), 422, "idempotency-key-reuse")


def test_after_all_that_both_front_ends_are_ready(system: System) -> None:
    for url in (system.products, system.accounts):
        wait_until(lambda url=url: _is_ready(url), START_SECONDS, f"{url} is ready")  # type: ignore[misc]
