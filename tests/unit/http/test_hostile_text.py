"""Text that is made to be slow: no header, path, query or body of a caller makes a parser of ours work for long.

Time is the CPU time of the thread that parses, so what else the machine does plays no part.
"""

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

import auth
import bus
import catalog
from bus.contract.operations import Operation, operations_in
from bus.http.telemetry import MAX_CHARACTERS
from bus.messaging.message import MAX_BODY_BYTES
from bus.testing.services import running
from catalog.main import application

# A front end takes up to 96 KiB of headers, and up to 64 KiB of path and query.
HEADER, PATH = 90_000, 60_000
# What is read in linear time takes milliseconds; in quadratic time it would take minutes.
MOST_SECONDS = 1.0

PIECES = ('"\\', '"', ";", ",", "=", " ", 'a="', "a ", "/", "1", ".", "{", "reply.")
HEADERS = (
    "Accept", "Accept-Encoding", "Authorization", "Cache-Control", "Content-Encoding", "Content-Type", "Cookie", "Date",
    "Forwarded", "Host", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Prefer",
    "Range", "traceparent", "tracestate", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix",
    "X-Forwarded-Proto", "X-Request-ID",
)  # fmt: skip


@pytest.fixture(scope="module")
def front_end() -> Iterator[FlaskClient]:
    with running(application) as client:
        yield application.web(client).test_client()  # type: ignore[attr-defined]


def _hostile(length: int) -> list[str]:
    """Text in which a parser that looks back has much to look back at; the last character makes it fail late."""
    return [(piece * length)[: length - 1] + end for piece in PIECES for end in (piece[-1], "@")]


def _seconds(run: Callable[[], object]) -> float:
    started = time.thread_time()
    run()
    return time.thread_time() - started


@pytest.mark.parametrize("path", ["/products/1", "/openapi.json", "/static/swagger-ui-5.35.0/swagger-ui.css"])
def test_no_header_takes_long_to_read(front_end: FlaskClient, path: str) -> None:
    for text in _hostile(HEADER):
        assert _seconds(partial(front_end.get, path, headers=dict.fromkeys(HEADERS, text))) < MOST_SECONDS, text[:9]


@pytest.mark.parametrize("header", ["Idempotency-Key", "Content-Type", "Content-Encoding", "Prefer"])
def test_no_header_of_a_command_takes_long_to_read(front_end: FlaskClient, header: str) -> None:
    for text in _hostile(HEADER):
        headers = {"Content-Type": "application/json", header: text}
        assert _seconds(partial(front_end.post, "/products", data=b"{}", headers=headers)) < MOST_SECONDS, text[:9]


def test_no_path_and_no_query_takes_long_to_read(front_end: FlaskClient) -> None:
    for text in _hostile(PATH):
        for path in (f"/products/{text}", f"/operations/{text}"):
            assert _seconds(partial(front_end.get, path)) < MOST_SECONDS, text[:9]
        for query in (f"limit={text}", f"cursor={text}", text.replace(";", "&")):
            assert _seconds(partial(front_end.get, "/products", query_string=query)) < MOST_SECONDS, text[:9]


def test_no_body_takes_long_to_read(front_end: FlaskClient) -> None:
    for text in _hostile(PATH):
        for body in (text, f'{{"name": "{text}"}}', f'{{"name": {text}'):
            post = partial(front_end.post, "/products", data=body, content_type="application/json")
            assert _seconds(post) < MOST_SECONDS, text[:9]


def test_headers_that_may_be_ignored_are_ignored_when_they_are_too_long(front_end: FlaskClient) -> None:
    preferences = 'wait=3, x="' + "\\" * MAX_CHARACTERS
    answer = front_end.get("/products", headers={"Prefer": preferences})
    assert (answer.status_code, answer.headers.get("Preference-Applied")) == (200, None)
    tag = front_end.get("/openapi.json").headers["ETag"]
    assert front_end.get("/openapi.json", headers={"If-None-Match": tag}).status_code == 304
    long = ", ".join([tag] * (1 + MAX_CHARACTERS // len(tag)))
    assert front_end.get("/openapi.json", headers={"If-None-Match": long}).status_code == 200


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.startswith(("bus.testing", "bus.cli.__main__")) and ".migrations." not in found.name:
            yield importlib.import_module(found.name)


def _patterns() -> Iterator[Any]:
    """Each regular expression that a module of ours compiles, and each pattern of a contract."""
    for module in (each for package in (bus, auth, catalog) for each in _modules(package)):
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{module.__name__}.{name}")
        if module.__name__.endswith(".contract"):
            for operation in operations_in(module):
                yield from _patterns_of(operation)


def _patterns_of(operation: type[Operation[Any]]) -> Iterator[Any]:
    for field in msgspec.structs.fields(operation):
        info = msgspec.inspect.type_info(field.type)
        pattern = getattr(getattr(info, "type", info), "pattern", None) or getattr(info, "pattern", None)
        if pattern:
            yield pytest.param(re.compile(pattern), id=f"{operation.__name__}.{field.name}")


# Patterns for names that reach us in a short string of AMQP, which has at most 255 bytes (AMQP 0-9-1, section 4.2.5.3),
# so that even the square of their length is little.
SHORT = frozenset({"bus.contract.names._ADDRESS", "bus.contract.names._DIRECT", "bus.contract.names._PROCESS"})


# The others are only ever compared with a whole text.
SEARCHED = frozenset({"bus.contract.codec._STRING", "bus.contract.validation._CONTROL"})


@pytest.mark.parametrize("pattern", list(_patterns()))
def test_no_regular_expression_looks_back_for_long(pattern: re.Pattern[Any], request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.id
    length = 255 if name in SHORT else MAX_BODY_BYTES
    use = pattern.sub if name in SEARCHED else pattern.search if pattern.pattern[:1] == "^" else pattern.fullmatch
    is_text = isinstance(pattern.pattern, str)
    own = sorted(set(pattern.pattern if is_text else pattern.pattern.decode("latin-1")))
    for text in [*_hostile(length), *(each * (length - 1) + "@" for each in own)]:
        subject = text if is_text else text.encode("latin-1")
        arguments = (subject[:0], subject) if name in SEARCHED else (subject,)
        assert _seconds(partial(use, *arguments)) < MOST_SECONDS, text[:9]
