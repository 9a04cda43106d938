"""HTTP: the tutorial's calls, through the embedded broker to workers on SQLite."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support import example_service
from support.example_service import Keep, Kept
from support.long_timeouts import use_long_timeouts
from werkzeug.test import TestResponse

import auth.main
import auth.web
import bus.http.relaying
import catalog.contract
import catalog.main
import catalog.web
from bus.client import liveness
from bus.client.client import Client
from bus.contract.problems import Invalid
from bus.database.engine import Database
from bus.http import front_end
from bus.http.documents import as_text, asyncapi, openapi
from bus.http.idempotency import InProgress
from bus.http.pages.pages import VIEWER
from bus.messaging.connect import transport_for
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.services import running
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct, GetProduct, ProductNotFound

START_SECONDS = 30.0
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
PASSWORD = "correct horse battery"
ANN = {"username": "ann", "email": "ann@example.com", "password": PASSWORD}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Both services on one embedded broker."""
    with running(auth.main.application, catalog.main.application) as client:
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
    others = {"id": lamp["id"], "available": LAMP["quantity"], "version": 1, "updated_at": lamp["updated_at"]}
    assert products.get(path).json == lamp == {**LAMP, **others}
    assert lamp in products.get("/products?limit=500").json["products"]  # type: ignore[index]
    changed = products.put(path, json={"quantity": 7}).json["product"]  # type: ignore[index]
    assert changed["updated_at"] >= lamp["updated_at"]
    assert {**changed, "updated_at": lamp["updated_at"]} == {**lamp, "quantity": 7, "available": 7, "version": 2}
    assert products.delete(path).json == {"message": "Product deleted successfully"}
    _problem(products.get(path), 404, "catalog.product_not_found")
    _problem(products.put(path, json={"quantity": 7}), 404, "catalog.product_not_found")
    _problem(products.delete(path), 404, "catalog.product_not_found")


def test_products_come_page_by_page(products: FlaskClient) -> None:
    made = [products.post("/products", json=LAMP).json["product"]["id"] for _ in range(5)]  # type: ignore[index]
    path: str | None = "/products?limit=2"
    seen = []
    while path is not None:
        page = products.get(path).json
        assert page is not None
        assert len(page["products"]) <= 2
        seen += [each["id"] for each in page["products"]]
        path = page["next"]
    assert seen[-5:] == made


@pytest.mark.parametrize(("path", "make"), [("/openapi.json", openapi), ("/asyncapi.json", asyncapi)])
def test_the_documents_are_served_once_and_then_found_unchanged(products: FlaskClient, path: str, make: Any) -> None:
    served = products.get(path)
    assert (served.status_code, served.content_type) == (200, "application/json")
    assert served.text == as_text(make("catalog", catalog.contract))
    again = products.get(path, headers={"If-None-Match": served.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert products.get(path, headers={"If-None-Match": '"another"'}).data == served.data
    assert f'href="{path[1:]}"' in products.get("/").text


def test_amounts_keep_their_digits(products: FlaskClient) -> None:
    body = b'{"name": "x", "price": 9999999999.99, "quantity": 0}'
    assert b'"price":9999999999.99' in products.post("/products", data=body, content_type="application/json").data


def test_the_front_page_health_and_readiness_answer(products: FlaskClient) -> None:
    assert products.get("/health/live").json == {"status": "live"}
    ready = products.get("/health/ready").json
    assert ready is not None
    assert (ready["service"], ready["database"]) == ("catalog", "sqlite")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(ready["time"])) < timedelta(minutes=1)
    page = products.get("/")
    assert page.status_code == 200
    assert b"catalog.create_product" in page.data


def test_what_the_viewer_loads_is_kept_for_ever_and_what_is_not_there_is_not(products: FlaskClient) -> None:
    style = products.get(f"/{VIEWER}/swagger-ui.css")
    assert style.cache_control.immutable
    assert style.headers["X-Content-Type-Options"] == "nosniff"
    missing = products.get(f"/{VIEWER}/swagger-ui.map")
    assert missing.status_code == 404
    assert "Cache-Control" not in missing.headers
    assert products.get("/products").headers["Cache-Control"] == "no-cache"


# Refusals.


def test_a_taken_name_and_a_taken_address_are_told_apart(accounts: FlaskClient) -> None:
    assert (
        accounts.post("/register", json={**ANN, "username": "Taken", "email": "taken@example.com"}).status_code == 201
    )
    again = {**ANN, "username": "tAKEN", "email": "other@example.com"}
    _problem(accounts.post("/register", json=again), 409, "auth.username_taken")
    again = {**ANN, "username": "other", "email": "TAKEN@example.com"}
    _problem(accounts.post("/register", json=again), 409, "auth.email_taken")


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


KEYS = ["/", "//", "/a//b/", "a/../b", "%2e%2e%0d%0aX:y", "?a=b#c", "http://x/", '"<script>', "\\", "+&;=", "x" * 255]


@pytest.mark.parametrize("key", KEYS, ids=[key[:20] for key in KEYS])
def test_whatever_the_key_its_outcome_is_found_where_the_answer_says(products: FlaskClient, key: str) -> None:
    headers = {"Idempotency-Key": key, "Prefer": "respond-async"}
    location = products.post("/products", json=LAMP, headers=headers).headers["Location"]
    assert not set(location) & set('\r\n "<>\\?#')
    wait_until(lambda: products.get(location).json.get("state") == "done", START_SECONDS, "the outcome")  # type: ignore[union-attr]
    assert products.get(location).json["id"] == key  # type: ignore[index]


def test_a_crowd_with_one_key_gets_one_product_and_those_in_a_hurry_are_told_to_wait(client: Client) -> None:
    crowd, gate = 50, threading.Barrier(50)
    app = catalog.web.create_app(client)
    before = _last_product(app)

    def post(_: int) -> TestResponse:
        http = app.test_client()
        gate.wait(START_SECONDS)
        return http.post("/products", json=LAMP, headers={"Idempotency-Key": "crowd"})

    with ThreadPoolExecutor(crowd) as pool:
        answers = list(pool.map(post, range(crowd)))
    done = [answer for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer not in done:
            _problem(answer, 409, "in-progress")
            assert answer.headers["Retry-After"] == "1"
    again = app.test_client().post("/products", json=LAMP, headers={"Idempotency-Key": "crowd"})
    assert again.status_code == 201
    assert {answer.data for answer in done} == {again.data}
    assert _last_product(app) == again.json["product"]["id"] == before + 1  # type: ignore[index]


def _last_product(app: Flask) -> int:
    """The number of the last product; it is as good as their count, for numbers are not left out here."""
    products = app.test_client().get("/products?limit=500").json["products"]  # type: ignore[index]
    assert len(products) < 500
    return max((product["id"] for product in products), default=0)


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
    service, go_on = Service("example"), threading.Event()

    @service.handles(Keep, threads=4)
    def keep(command: Keep, work: Work) -> Kept:
        go_on.wait(START_SECONDS)
        return Kept(id=1, word=command.word)

    worker = Worker(service, transport_for(memory_url, "example"), database)
    worker.start()
    with Client(memory_url) as client:
        http = front_end("example", example_service, client).test_client()
        assert http.get("/health/ready").status_code == 200
        yield http, go_on
    go_on.set()
    worker.stop(START_SECONDS)


@pytest.mark.parametrize("key", ["late-1", "a/b?c#d%20e"])
def test_a_command_whose_answer_is_late_is_accepted_and_its_outcome_told(
    slow: tuple[FlaskClient, threading.Event], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    http, go_on = slow
    with monkeypatch.context() as patch:
        patch.setattr(liveness, "FRESH_SECONDS", START_SECONDS)  # no ping, which may take half a second itself
        patch.setattr(bus.http.relaying, "ANSWER_SECONDS", 0.5)
        accepted = http.post("/words", json={"word": "a"}, headers={"Idempotency-Key": key})
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    assert location == f"/operations/{quote(key, safe='')}"
    assert http.get(location).json["state"] == "pending"  # type: ignore[index]
    go_on.set()
    wait_until(lambda: http.get(location).json["state"] == "done", START_SECONDS, "the outcome")  # type: ignore[index]
    assert http.get(location).json["reply"] == {"id": 1, "word": "a"}  # type: ignore[index]


def test_a_key_in_progress_is_a_conflict_until_it_is_answered(slow: tuple[FlaskClient, threading.Event]) -> None:
    http, go_on = slow
    key = {"Idempotency-Key": "busy"}
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: http.application.test_client().post("/words", json={"word": "a"}, headers=key))
        wait_until(lambda: _is_in_progress(http, key), START_SECONDS, "the first request is in hand")
        _problem(http.post("/words", json={"word": "b"}, headers=key), 409, "in-progress")
        go_on.set()
        assert first.result(START_SECONDS).status_code == 201
    assert http.post("/words", json={"word": "a"}, headers=key).data == first.result().data
    _problem(http.post("/words", json={"word": "b"}, headers=key), 422, "idempotency-key-reuse")


def _is_in_progress(http: FlaskClient, key: dict[str, str]) -> bool:
    in_progress: InProgress = http.application.extensions["bus"].in_progress
    return key["Idempotency-Key"] in in_progress


def test_a_key_is_free_again_after_a_request_that_failed(memory_url: str) -> None:
    with Client(memory_url) as client:
        http = catalog.web.create_app(client).test_client()
        for _ in range(2):
            answer = http.post("/products", json=LAMP, headers={"Idempotency-Key": "failed"})
            _problem(answer, 503, "no-such-queue")


def test_a_key_means_nothing_for_a_query(products: FlaskClient) -> None:
    in_progress: InProgress = products.application.extensions["bus"].in_progress
    with in_progress.only_one("read"):
        assert products.get("/products", headers={"Idempotency-Key": "read"}).status_code == 200
        _problem(products.post("/products", json=LAMP, headers={"Idempotency-Key": "read"}), 409, "in-progress")


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
