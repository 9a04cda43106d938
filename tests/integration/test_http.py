"""HTTP: the tutorial's calls and hostile bodies, through the embedded broker to workers on SQLite."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import example
import pytest
from example import Keep, Kept
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import auth.main
import auth.web
import bus.flask
import catalog.main
import catalog.web
from bus.client import Client
from bus.connect import transport_for
from bus.database import Database
from bus.flask import front_end, relay
from bus.problem import Invalid
from bus.service import Service
from bus.testing.running import running
from bus.testing.waiting import wait_until
from bus.work import Work
from bus.worker import Worker
from catalog.contract import CreateProduct, GetProduct, ProductNotFound

START_SECONDS = 10.0
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
PASSWORD = "correct horse battery"
ANN = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}
# A body that is read, not declared: one byte over what the front end takes.
TOO_LARGE = b" " * (64 * 1024 + 1)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Both services on one embedded broker."""
    with running(tmp_path_factory.mktemp("data"), auth.main.auth, catalog.main.catalog) as client:
        yield client


@pytest.fixture
def products(client: Client) -> FlaskClient:
    return catalog.web.create_app(client).test_client()


@pytest.fixture
def accounts(client: Client) -> FlaskClient:
    return auth.web.create_app(client).test_client()


def _problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document, which has the members that every one has."""
    assert response.status_code == status, response.data[:300]
    assert response.content_type == "application/problem+json"
    problem = response.json
    assert isinstance(problem, dict)
    assert {"type", "title", "status", "detail", "code", "error", "message"} <= problem.keys()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["error"] == problem["message"] == problem["title"]
    assert problem["detail"]
    assert b"Traceback" not in response.data
    return problem


# The tutorial.


def test_a_user_registers(accounts: FlaskClient) -> None:
    response = accounts.post("/register", json={**ANN, "username": "tutorial", "email": "tutorial@example.com"})
    assert response.status_code == 201
    assert response.content_type == "application/json"
    assert response.json is not None
    assert response.json["message"] == "User registered successfully"
    assert response.json["user"]["username"] == "tutorial"
    assert PASSWORD.encode() not in response.data


def test_a_product_is_created_read_listed_changed_and_deleted(products: FlaskClient) -> None:
    created = products.post("/products", json=LAMP)
    assert created.status_code == 201
    lamp = created.json["product"]  # type: ignore[index]
    path = created.headers["Location"]
    assert path == f"/products/{lamp['id']}"
    assert products.get(path).json == lamp == {**LAMP, "id": lamp["id"], "version": 1}
    assert lamp in products.get("/products?limit=500").json["products"]  # type: ignore[index]
    assert products.put(path, json={"quantity": 7}).json["product"] == {**lamp, "quantity": 7, "version": 2}  # type: ignore[index]
    assert products.delete(path).json == {"message": "Product deleted successfully"}
    _problem(products.get(path), 404, "catalog.product_not_found")
    _problem(products.put(path, json={"quantity": 7}), 404, "catalog.product_not_found")
    _problem(products.delete(path), 404, "catalog.product_not_found")


def test_products_come_page_by_page(products: FlaskClient) -> None:
    made = [products.post("/products", json=LAMP).json["product"]["id"] for _ in range(5)]  # type: ignore[index]
    path: str | None = f"/products?limit=2&cursor={made[0] - 1}"
    seen = []
    while path is not None:
        page = products.get(path).json
        assert page is not None
        assert len(page["products"]) <= 2
        seen += [each["id"] for each in page["products"]]
        path = page["next"]
    assert seen == made


def test_amounts_keep_their_digits(products: FlaskClient) -> None:
    body = b'{"name": "x", "price": 9999999999.99, "quantity": 0}'
    assert b'"price":9999999999.99' in products.post("/products", data=body, content_type="application/json").data


@pytest.mark.parametrize(
    "name", ["'; DROP TABLE products; --", "{{7*7}}", "<script>alert(1)</script>", "${x}", "日本 ☂"]
)
def test_text_is_stored_verbatim(products: FlaskClient, name: str) -> None:
    created = products.post("/products", json={**LAMP, "name": name})
    assert products.get(created.headers["Location"]).json["name"] == name  # type: ignore[index]


def test_the_front_page_health_and_readiness_answer(products: FlaskClient) -> None:
    assert products.get("/health/live").json == {"status": "live"}
    assert products.get("/health/ready").json == {"service": "catalog", "database": "sqlite"}
    page = products.get("/")
    assert page.status_code == 200
    assert b"catalog.create_product" in page.data


# Hostile bodies.

JSON = "application/json"
BODIES: dict[str, tuple[bytes, str, int, str]] = {
    "empty": (b"", JSON, 400, "malformed-json"),
    "not json": (b"name=Lamp", JSON, 400, "malformed-json"),
    "trailing bytes": (b"{} {}", JSON, 400, "malformed-json"),
    "single quotes": (b"{'name': 'Lamp'}", JSON, 400, "malformed-json"),
    "text": (b"{}", "text/plain", 415, "unsupported-media-type"),
    "form": (b"name=Lamp", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
    "no content type": (b"{}", "", 415, "unsupported-media-type"),
    "json in latin-1": (b"{}", "application/json; charset=latin-1", 415, "unsupported-media-type"),
    "utf-16": ('{"name": "x"}'.encode("utf-16"), JSON, 400, "malformed-json"),
    "byte order mark": (b"\xef\xbb\xbf{}", JSON, 400, "malformed-json"),
    "invalid utf-8": (b'{"name": "\xff"}', JSON, 400, "malformed-json"),
    "64 KiB and 1": (TOO_LARGE, JSON, 413, "too-large"),
    "20,000 arrays": (b"[" * 20_000, JSON, 400, "json-too-deep"),
    "quadratic": (b"[" * 33 + b'"' + b'\\"' * 30_000, JSON, 400, "json-too-deep"),
    "NaN": (b'{"price": NaN}', JSON, 400, "malformed-json"),
    "-Infinity": (b'{"price": -Infinity}', JSON, 400, "malformed-json"),
    "1e999": (b'{"price": 1e999}', JSON, 400, "malformed-json"),
    "1e99999999999999999999": (b'{"price": 1e99999999999999999999}', JSON, 400, "malformed-json"),
    "duplicate keys": (b'{"name": "a", "name": "b"}', JSON, 400, "duplicate-key"),
    "null": (b"null", JSON, 400, "not-an-object"),
    "5": (b"5", JSON, 400, "not-an-object"),
    '"x"': (b'"x"', JSON, 400, "not-an-object"),
    "[]": (b"[]", JSON, 400, "not-an-object"),
    "nothing required": (b"{}", JSON, 400, "missing-field"),
}


@pytest.mark.parametrize(("body", "content_type", "status", "code"), BODIES.values(), ids=BODIES)
def test_what_cannot_be_understood_is_a_problem(
    products: FlaskClient, accounts: FlaskClient, body: bytes, content_type: str, status: int, code: str
) -> None:
    _problem(products.post("/products", data=body, content_type=content_type), status, code)
    _problem(accounts.post("/register", data=body, content_type=content_type), status, code)


def test_a_gigabyte_that_is_only_declared_is_refused_unread(products: FlaskClient) -> None:
    response = products.post(
        "/products", data=b"{}", content_type=JSON, environ_overrides={"CONTENT_LENGTH": str(10**9)}
    )
    _problem(response, 413, "too-large")


def test_a_compressed_body_is_refused(products: FlaskClient) -> None:
    response = products.post("/products", data=b"\x1f\x8b", content_type=JSON, headers={"Content-Encoding": "gzip"})
    _problem(response, 415, "unsupported-encoding")


def test_head_is_answered_where_get_is(products: FlaskClient) -> None:
    response = products.head("/products")
    assert (response.status_code, response.data) == (200, b"")


FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "NUL": ({"name": "a\x00"}, "invalid-text", "/name"),
    "escape": ({"name": "\x1b[2J"}, "invalid-text", "/name"),
    "surrogate": ({"name": "\ud800"}, "invalid-text", "/name"),
    "surrogate key": ({"\ud800": 1}, "unknown-field", "/\ufffd"),
    "role": ({"role": "admin"}, "unknown-field", "/role"),
    "id": ({"id": 1}, "unknown-field", "/id"),
    "is_admin": ({"is_admin": True}, "unknown-field", "/is_admin"),
    "true for a number": ({"quantity": True}, "wrong-type", "/quantity"),
    '"12" for 12': ({"price": "12"}, "wrong-type", "/price"),
    "[] for text": ({"name": []}, "wrong-type", "/name"),
    "price -1": ({"price": -1}, "out-of-range", "/price"),
    "price 0.001": ({"price": 0.001}, "out-of-range", "/price"),
    "price 10^30": ({"price": 10**30}, "out-of-range", "/price"),
    "quantity 2^31": ({"quantity": 2**31}, "out-of-range", "/quantity"),
    "quantity 2^63": ({"quantity": 2**63}, "out-of-range", "/quantity"),
    "quantity 1.5": ({"quantity": 1.5}, "out-of-range", "/quantity"),
}


@pytest.mark.parametrize(("change", "code", "pointer"), FIELDS.values(), ids=FIELDS)
def test_what_is_not_acceptable_is_a_problem_that_names_the_field(
    products: FlaskClient, change: dict[str, Any], code: str, pointer: str
) -> None:
    body = json.dumps({**LAMP, **change}).encode()
    problem = _problem(products.post("/products", data=body, content_type=JSON), 422, code)
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"password": "password1"}, 422, "weak-password"),
        ({"username": PASSWORD}, 422, "weak-password"),
        ({"password": PASSWORD + "\x00"}, 422, "invalid-text"),
        ({"password": [PASSWORD]}, 422, "wrong-type"),
        ({"password": "s3cr3t!"}, 422, "out-of-range"),
        ({"email": "nowhere"}, 422, "invalid-email"),
        ({"is_admin": True}, 422, "unknown-field"),
        ({"email": None}, 422, "wrong-type"),
    ],
    ids=str,
)
def test_no_problem_of_a_registration_echoes_the_password(
    accounts: FlaskClient, change: dict[str, Any], status: int, code: str
) -> None:
    sent = {**ANN, **change}
    response = accounts.post("/register", json=sent)
    _problem(response, status, code)
    for password in {PASSWORD, str(sent["password"])}:
        assert password.encode() not in response.data.replace(b"weak-password", b"")


@pytest.mark.parametrize("password", ["x" * 64 + "y z" * 20 + "1234", "  spaces around  ", "🦄🐙🦑🐡🐠🐟🐬🐳"])
def test_a_long_strange_password_is_taken(accounts: FlaskClient, password: str) -> None:
    name = f"strange{len(password)}"
    response = accounts.post("/register", json={"username": name, "email": f"{name}@example.com", "password": password})
    assert response.status_code == 201


def test_a_taken_name_and_a_taken_address_are_told_apart(accounts: FlaskClient) -> None:
    assert (
        accounts.post("/register", json={**ANN, "username": "Taken", "email": "taken@example.com"}).status_code == 201
    )
    again = {**ANN, "username": "tAKEN", "email": "other@example.com"}
    _problem(accounts.post("/register", json=again), 409, "auth.username_taken")
    again = {**ANN, "username": "other", "email": "TAKEN@example.com"}
    _problem(accounts.post("/register", json=again), 409, "auth.email_taken")


# Routes.


@pytest.mark.parametrize(
    "path", ["/nowhere", "/products/", "/products/x", "/products/-1", "/products/1/2", "/%00", "/../etc/passwd"]
)
def test_an_unknown_route_is_a_problem(products: FlaskClient, path: str) -> None:
    _problem(products.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("PATCH", "/products/1", "PUT"), ("DELETE", "/products", "POST")]
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    products: FlaskClient, method: str, path: str, allowed: str
) -> None:
    response = products.open(path, method=method)
    _problem(response, 405, "method-not-allowed")
    assert allowed in response.headers["Allow"]


@pytest.mark.parametrize("number", [2**63, 10**30])
def test_an_id_beyond_any_number_is_no_error_of_ours(products: FlaskClient, number: int) -> None:
    assert products.get(f"/products/{number}").status_code in (404, 422)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "out-of-range"),
        ("limit=501", 422, "out-of-range"),
        ("limit=x", 422, "wrong-type"),
        ("cursor=-1", 422, "out-of-range"),
        ("cursor=5%0A", 422, "invalid-text"),
        ("colour=red", 422, "unknown-field"),
        ("limit=1&limit=2", 400, "duplicate-key"),
        ("limit=%ff", 422, "wrong-type"),
    ],
)
def test_a_query_string_is_checked_like_a_body(products: FlaskClient, query: str, status: int, code: str) -> None:
    _problem(products.get(f"/products?{query}"), status, code)


def test_what_the_path_says_is_not_the_bodys_to_say(products: FlaskClient) -> None:
    _problem(products.put("/products/1", json={"product_id": 2}), 422, "unknown-field")
    _problem(products.delete("/products/1?product_id=2"), 422, "unknown-field")


# Idempotency.


def test_the_same_key_gets_the_same_answer(products: FlaskClient) -> None:
    key = {"Idempotency-Key": "http-1"}
    answers = [products.post("/products", json=LAMP, headers=key) for _ in range(3)]
    assert {(answer.status_code, answer.data, answer.headers["Location"]) for answer in answers} == {
        (201, answers[0].data, answers[0].headers["Location"])
    }
    _problem(products.post("/products", json={**LAMP, "quantity": 4}, headers=key), 422, "idempotency-key-reuse")
    outcome = products.get("/operations/http-1").json
    assert outcome == {"id": "http-1", "state": "done", "status": 201, "reply": answers[0].json}


def test_a_crowd_with_one_key_gets_one_product(client: Client) -> None:
    gate = threading.Barrier(20)

    def post(_: int) -> bytes:
        http = catalog.web.create_app(client).test_client()
        gate.wait(START_SECONDS)
        return bytes(http.post("/products", json=LAMP, headers={"Idempotency-Key": "crowd"}).data)

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(post, range(20)))) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "x" * 10_000, "é"])
def test_a_key_that_is_none_is_a_problem(products: FlaskClient, key: str) -> None:
    _problem(products.post("/products", json=LAMP, headers={"Idempotency-Key": key}), 400, "invalid-message-id")


def test_a_command_never_seen_is_pending(products: FlaskClient) -> None:
    assert products.get("/operations/unseen").json == {
        "id": "unseen",
        "state": "pending",
        "status": None,
        "reply": None,
    }


# What is late, and what is away.


@pytest.fixture
def slow(memory_url: str, database: Database) -> Iterator[tuple[FlaskClient, threading.Event]]:
    """A front end of the example whose handler waits for an event, while its ping is answered."""
    service, go_on = Service("example", threads=4), threading.Event()

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        go_on.wait(START_SECONDS)
        return Kept(id=1, word=command.word)

    worker = Worker(service, transport_for(memory_url, "example"), database)
    worker.start()
    with Client(memory_url) as client:
        yield _example_front_end(client).test_client(), go_on
    go_on.set()
    worker.stop(START_SECONDS)


def _example_front_end(client: Client) -> Flask:
    routes = Blueprint("example", __name__)

    @routes.post("/words")
    def keep() -> Response:
        return relay(Keep)

    return front_end("example", example, routes, client)


@pytest.mark.parametrize("key", ["late-1", "a/b?c#d%20e"])
def test_a_command_whose_answer_is_late_is_accepted_and_its_outcome_told(
    slow: tuple[FlaskClient, threading.Event], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    http, go_on = slow
    with monkeypatch.context() as patch:
        patch.setattr(bus.flask, "ANSWER_SECONDS", 0.5)
        accepted = http.post("/words", json={"word": "a"}, headers={"Idempotency-Key": key})
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    assert location == f"/operations/{quote(key, safe='')}"
    assert http.get(location).json["state"] == "pending"  # type: ignore[index]
    go_on.set()
    wait_until(lambda: http.get(location).json["state"] == "done", START_SECONDS, "the outcome")  # type: ignore[index]
    assert http.get(location).json["reply"] == {"id": 1, "word": "a"}  # type: ignore[index]


def test_a_service_that_never_ran_is_unavailable_with_a_time_to_come_back(memory_url: str) -> None:
    with Client(memory_url) as client:
        http = catalog.web.create_app(client).test_client()
        for response in (http.get("/products"), http.post("/products", json=LAMP), http.get("/health/ready")):
            _problem(response, 503, "no-such-queue")
            assert int(response.headers["Retry-After"]) >= 1
        assert http.get("/health/live").status_code == 200
        assert http.get("/").status_code == 200


# The same from Python.


def test_a_python_program_gets_typed_answers_and_refusals(client: Client) -> None:
    created = client.call(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3))
    assert created.product.price == Decimal("9.90")
    assert client.call(GetProduct(product_id=created.product.id)) == created.product
    with pytest.raises(ProductNotFound):
        client.call(GetProduct(product_id=2**40))


def test_a_python_program_is_told_of_a_request_that_is_not_acceptable(client: Client) -> None:
    with pytest.raises(Invalid) as refused:
        client.call(CreateProduct(name="Lamp", price=Decimal(-1), quantity=3))
    assert (refused.value.problem.status, refused.value.problem.code) == (422, "out-of-range")
    assert [error.pointer for error in refused.value.problem.errors] == ["/price"]


@pytest.mark.parametrize("message_id", ["", "x" * 256, "é", "a b"])
def test_a_python_program_is_told_of_a_message_id_that_is_none(client: Client, message_id: str) -> None:
    lamp = CreateProduct(name="Lamp", price=Decimal(1), quantity=3)
    for ask in (client.call, client.send):
        with pytest.raises(Invalid):
            ask(lamp, message_id=message_id)
