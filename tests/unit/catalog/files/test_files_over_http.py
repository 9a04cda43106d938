"""GET /products.csv and /products.ndjson: all products, read page by page while they are sent."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from bus import Client, Unavailable
from bus.files.entries import Fault
from bus.files.source import examine
from bus.http import front_end
from bus.testing import RunningServices, running
from catalog import contract
from catalog.contract import BatchOperation, ChangeProducts, CreateProduct
from catalog.files import reading
from catalog.files.reading import Reading
from catalog.files.writing import PAGE
from catalog.main import application

PRODUCTS = 2 * PAGE + 1


def _front_end(client: Client) -> FlaskClient:
    return application.web(client).test_client()  # type: ignore[attr-defined]


def _fill(client: RunningServices, count: int) -> None:
    create = BatchOperation(
        create=CreateProduct(name='Lamp, "big"', price=Decimal("9.90"), quantity=3, tags=["a", "b"])
    )
    for begin in range(0, count, 500):
        client.call(ChangeProducts(operations=[create] * min(500, count - begin), brief=True))


def test_all_products_are_in_both_files() -> None:
    with running(application) as client:
        _fill(client, PRODUCTS)
        http = _front_end(client)
        answer = http.get("/products.csv")
        assert answer.content_type == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="products.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [int(row["id"]) for row in rows] == list(range(1, PRODUCTS + 1))
        assert (rows[0]["name"], rows[0]["tags"], rows[0]["price"]) == ('Lamp, "big"', "a,b", "9.90")
        answer = http.get("/products.ndjson")
        assert answer.content_type == "application/x-ndjson"
        products = [json.loads(line) for line in answer.text.splitlines()]
        assert [each["id"] for each in products] == list(range(1, PRODUCTS + 1))
        assert products[0] == http.get("/products/1").json


def test_a_file_has_the_filters_and_the_order_of_a_list() -> None:
    with running(application) as client:
        for number, tags in enumerate((["a"], ["b"], ["a"]), start=1):
            client.call(CreateProduct(name=f"Lamp {number}", price=Decimal(number), quantity=1, tags=tags))
        answer = _front_end(client).get("/products.ndjson?q=lamp&tag=a&sort=-price")
        assert [json.loads(line)["id"] for line in answer.text.splitlines()] == [3, 1]


def test_a_front_end_needs_a_route_for_each_file_that_is_declared() -> None:
    with (
        running(application) as client,
        pytest.raises(TypeError, match=r"ListProducts declares the file /products\.csv"),
    ):
        front_end("catalog", contract, client)


class _Counting:
    """A client that counts its calls, and has no worker after `most` of them."""

    def __init__(self, client: Client, most: int) -> None:
        self._client, self._most, self.calls = client, most, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def call(self, request: Any) -> Any:
        self.calls += 1
        if self.calls > self._most:
            raise Unavailable("no-worker", "No worker.")
        return self._client.call(request)


def test_a_page_is_read_when_the_one_before_it_was_sent() -> None:
    with running(application) as client:
        _fill(client, PRODUCTS)
        counting = _Counting(client, 9)
        pieces = _front_end(counting).get("/products.ndjson", buffered=False).iter_encoded()  # type: ignore[arg-type]
        assert (next(pieces).count(b"\n"), counting.calls) == (PAGE, 1)
        assert (next(pieces).count(b"\n"), counting.calls) == (PAGE, 2)
        assert (next(pieces).count(b"\n"), counting.calls) == (1, 3)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_that_ends_too_early_says_so_and_its_last_line_is_no_product(tmp_path: Path, form: str) -> None:
    with running(application) as client:
        _fill(client, PRODUCTS)
        (tmp_path / "cut").write_bytes(_front_end(_Counting(client, 1)).get(f"/products.{form}").data)  # type: ignore[arg-type]
    last = (tmp_path / "cut").read_text(encoding="utf-8").splitlines()[-1]
    assert "No worker." in last
    with examine(tmp_path / "cut").opened() as (text, _):
        _, found = reading.entries(text, Reading())
        *products, fault = reading.operations(found, Reading())
    assert (len(products), isinstance(fault, Fault)) == (PAGE, True)


def test_without_a_first_page_it_is_a_problem_document_and_arguments_are_refused() -> None:
    with running(application) as client:
        answer = _front_end(_Counting(client, 0)).get("/products.csv")  # type: ignore[arg-type]
        assert (answer.status_code, answer.json["code"]) == (503, "no-worker")  # type: ignore[index]
        for argument in ("limit=3", "cursor=a", "total=true", "include_deleted=true", "colour=red"):
            answer = _front_end(client).get(f"/products.csv?{argument}")
            assert (answer.status_code, answer.json["code"]) == (400, "unknown-argument")  # type: ignore[index]
        answer = _front_end(client).get("/products.csv?min_price=9,90")
        assert answer.json["errors"][0]["pointer"] == "/min_price"  # type: ignore[index]
        assert _front_end(client).get("/products.ndjson").data == b""
