"""Lists: search, filters and orders; and each product on one page, whatever is written meanwhile."""

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update
from support.executing import execute

from bus import Invalid, page_after
from bus.contract.validation import accept
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing import running
from bus.worker.background.scheduled import ScheduledTask
from catalog.contract import ChangeStock, CreateProduct, DeleteProduct, GetProduct, ListProducts, PatchProduct, Sort
from catalog.domain.words import sort_key
from catalog.handlers import catalog
from catalog.main import application
from catalog.tables import product

SORTS: tuple[Any, ...] = get_args(Sort)
PRODUCTS: list[dict[str, Any]] = [
    {"name": "Red Lamp", "price": Decimal("9.90"), "quantity": 3, "sku": "L-1", "tags": ["light"]},
    {"name": "blue Éclair", "price": Decimal("3"), "quantity": 0, "sku": "E-2", "tags": ["Light", "sale"]},
    {"name": "Zebra", "price": Decimal("9.90"), "quantity": 5, "description": "black,\nwhite & RED"},
    {"name": "T-Shirt men's", "price": Decimal("12.5"), "quantity": 0, "tags": ["on sale"]},
    {"name": "灯台", "price": Decimal("7"), "quantity": 1},
]
# (the query, the ids in order)
FOUND: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4, 5]),
    ({"q": "red"}, [1, 3]),
    ({"q": "LAM re"}, [1]),
    ({"q": "eclair"}, [2]),
    ({"q": "E-2"}, [2]),
    ({"q": "light"}, [1, 2]),
    ({"q": "tshirt"}, []),
    ({"q": "t-shirt mens"}, [4]),
    ({"q": "台"}, [5]),
    ({"q": "?!"}, []),
    ({"tag": "light"}, [1]),
    ({"tag": "sale"}, [2]),
    ({"tag": "on sale"}, [4]),
    ({"tag": "on"}, []),
    ({"sku": "L-1"}, [1]),
    ({"sku": "l-1"}, []),
    ({"min_price": 9}, [1, 3, 4]),
    ({"max_price": Decimal("9.90")}, [1, 2, 3, 5]),
    ({"min_price": Decimal("9.9"), "max_price": Decimal("9.9")}, [1, 3]),
    ({"in_stock": True}, [1, 3, 5]),
    ({"in_stock": False}, [2, 4]),
    ({"updated_since": "2020-01-01T00:00:00Z"}, [1, 2, 3, 4, 5]),
    ({"updated_since": "2999-01-01T00:00:00+02:00"}, []),
    ({"q": "r", "in_stock": True, "max_price": 10, "tag": "light"}, [1]),
    ({"sort": "-id"}, [5, 4, 3, 2, 1]),
    ({"sort": "name"}, [2, 1, 4, 3, 5]),
    ({"sort": "-name"}, [5, 3, 4, 1, 2]),
    ({"sort": "price"}, [2, 5, 1, 3, 4]),
    ({"sort": "-price"}, [4, 3, 1, 5, 2]),
    ({"sort": "updated_at"}, [1, 2, 3, 4, 5]),
    ({"sort": "price", "q": "red"}, [1, 3]),
    ({"sort": "-price", "in_stock": False}, [4, 2]),
]
LIMIT = 4
STANDING, OTHERS = 12, 12
FILTERS: list[dict[str, Any]] = [
    {},
    {"q": "la"},
    {"tag": "sale"},
    {"min_price": 3, "max_price": 8},
    {"in_stock": True},
    {"updated_since": "2020-01-01T00:00:00Z"},
    {"q": "lamp", "tag": "sale", "in_stock": True, "min_price": 1},
]


def _make(database: Database, products: list[dict[str, Any]]) -> None:
    """One after the other, so that their moments are in the order of their ids."""
    for each in products:
        ((status, _),) = execute(catalog, database, accept(each, CreateProduct))
        assert status == 201


def _page(database: Database, query: ListProducts) -> dict[str, Any]:
    ((status, page),) = execute(catalog, database, query)
    assert status == 200
    return page


def _ids(database: Database, **fields: Any) -> list[int]:
    """The ids of all pages."""
    query = accept({"limit": 2, **fields}, ListProducts)
    page = _page(database, query)
    ids = [each["id"] for each in page["products"]]
    while page["next"]:
        page = _page(database, page_after(query, page["next"]))
        ids += [each["id"] for each in page["products"]]
    return ids


def test_a_list_has_what_was_asked_for_in_its_order(either_database: Database) -> None:
    _make(either_database, PRODUCTS)
    for query, ids in FOUND:
        assert _ids(either_database, **query) == ids, query
        page = _page(either_database, accept({**query, "total": True}, ListProducts))
        assert (page["total"], page["next"]) == (len(ids), None), query


def test_a_list_follows_what_is_changed_and_deleted(either_database: Database) -> None:
    database = either_database
    _make(database, PRODUCTS)
    execute(catalog, database, PatchProduct(product_id=1, name="Green Lamp", tags=None))
    # The word that stays is found on, and those that are gone are not.
    assert (_ids(database, q="lamp"), _ids(database, q="red"), _ids(database, tag="light")) == ([1], [3], [])
    execute(catalog, database, ChangeStock(product_id=2, change=1, reason="found"))
    execute(catalog, database, DeleteProduct(product_id=3))
    assert (_ids(database, q="red"), _ids(database, q="green")) == ([], [1])
    assert (_ids(database, tag="light"), _ids(database, q="light")) == ([], [2])
    assert (_ids(database, in_stock=False), _ids(database, sort="-updated_at")) == ([4], [2, 1, 5, 4])
    ((_, found),) = execute(catalog, database, GetProduct(product_id=1))
    assert _ids(database, updated_since=found["updated_at"]) == [1, 2]


@pytest.mark.parametrize("sort", SORTS)
def test_each_product_that_stood_all_along_is_on_one_page_while_others_are_written(
    either_database: Database, sort: Any
) -> None:
    database, choose = either_database, random.Random(sort)
    _make(database, [_any_product(choose) for _ in range(STANDING + OTHERS)])
    others = list(range(STANDING + 1, STANDING + OTHERS + 1))
    for filters in FILTERS:
        query = accept({"limit": LIMIT, "sort": sort, **filters}, ListProducts)
        expected = [each for each in _ids(database, sort=sort, **filters) if each <= STANDING]
        page = _page(database, query)
        seen = [each["id"] for each in page["products"]]
        while page["next"]:
            for _ in range(3):
                _write(database, others, choose)
            page = _page(database, page_after(query, page["next"]))
            seen += [each["id"] for each in page["products"]]
        assert [each for each in seen if each <= STANDING] == expected, filters
    assert _ids(database) != list(range(1, STANDING + OTHERS + 1)), "others were written"


def _any_product(choose: random.Random) -> dict[str, Any]:
    return {
        "name": choose.choice(["Lamp", "lamp 2", "Lantern", "Chair"]),
        "price": choose.randint(0, 9),
        "quantity": choose.randint(0, 2),
        "tags": choose.choice([None, ["sale"], ["sale", "new"]]),
    }


def _write(database: Database, others: list[int], choose: random.Random) -> None:
    """Make, change or delete one of the others."""
    fields, kind = _any_product(choose), choose.choice(["make", "change", "delete"])
    if kind == "make" or not others:
        ((_, made),) = execute(catalog, database, accept(fields, CreateProduct))
        others.append(made["product"]["id"])
    elif kind == "change":
        execute(catalog, database, accept({**fields, "product_id": choose.choice(others)}, PatchProduct))
    else:
        execute(catalog, database, DeleteProduct(product_id=others.pop(choose.randrange(len(others)))))


def test_a_cursor_of_another_query_is_refused(either_database: Database) -> None:
    _make(either_database, PRODUCTS)
    queries = [{}, *FILTERS[1:], *({"sort": each} for each in SORTS if each != "id"), {"total": True}, {"q": "lamp"}]
    given_by = [accept({"limit": 1, **each}, ListProducts) for each in queries]
    pages = [_page(either_database, each)["next"] for each in given_by]
    assert sum(map(bool, pages)) > len(SORTS)
    for mine, path in zip(given_by, pages, strict=True):
        for other in given_by if path else ():
            ((status, body),) = execute(catalog, either_database, page_after(other, path))
            assert (status, body.get("code")) == ((200, None) if other is mine else (400, "invalid-cursor"))


def test_the_release_before_leaves_terms_to_this_one(either_database: Database) -> None:
    database = either_database
    _make(database, PRODUCTS)
    with database.transaction() as transaction:
        transaction.connection.execute(update(product).where(product.c.id < 3).values(terms=None, sort_name=""))
        transaction.connection.execute(delete(product).where(product.c.id == 2))
    assert (_ids(database, q="lamp"), _ids(database, sort="name")) == ([], [1, 4, 3, 5])
    ScheduledTask(catalog.periodic["catalog.make_terms"], database, lambda: None).run_once()
    assert (_ids(database, q="lamp"), _ids(database, tag="light")) == ([1], [1])
    assert _ids(database, sort="name") == [1, 4, 3, 5]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres: Any) -> Iterator[tuple[Database, Database]]:
    """An SQLite and a PostgreSQL database of the catalog."""
    folder: Path = tmp_path_factory.mktemp("both")
    pair = Database(f"sqlite:///{folder}/x.db"), Database(postgres.fresh_database())
    for each in pair:
        migrate(each, "catalog.migrations")
    yield pair
    for each in pair:
        each.close()


# Few letters, so that words often begin alike, and what databases treat in their own ways.
texts = st.text(
    st.sampled_from([*"abAB12 '\"-_.*:&|!()é\u0301ßİ\u0131øΣς灯がガ\u3099हिि한ᄒ\u00ad\u200d½ﬁ"]), max_size=12
)
readable = texts.map(lambda text: f"{text}a")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(readable, st.none() | texts), min_size=1, max_size=5), st.lists(texts, min_size=1, max_size=6)
)
def test_both_databases_find_the_same(
    both: tuple[Database, Database], products: list[tuple[str, str | None]], searches: list[str]
) -> None:
    fields = [{"name": name, "description": more, "price": 1, "quantity": 1} for name, more in products]
    for each in both:
        with each.transaction() as transaction:
            transaction.connection.execute(delete(product))
        _make(each, fields)
    names = [[_name(each, id_) for id_ in _ids(each, sort="name")] for each in both]
    assert names[0] == names[1] == sorted((name for name, _ in products), key=sort_key)
    for search in filter(None, searches):
        for sort in ("id", "-name"):
            found = [[_name(each, id_) for id_ in _ids(each, q=search, sort=sort)] for each in both]
            assert found[0] == found[1], search


def _name(database: Database, product_id: int) -> str:
    ((_, found),) = execute(catalog, database, GetProduct(product_id=product_id))
    return str(found["name"])


@pytest.fixture(scope="module")
def front_end() -> Iterator[FlaskClient]:
    with running(application) as client:
        yield application.web(client).test_client()  # type: ignore[attr-defined]


def test_http_has_the_next_page_as_a_link_and_names_what_is_wrong(front_end: FlaskClient) -> None:
    for each in PRODUCTS:
        front_end.post("/products", json={**each, "price": float(each["price"])})
    first = front_end.get("/products?q=re&sort=-price&in_stock=true&total=true&limit=1&max_price=9.9")
    assert first.json is not None
    assert (first.json["total"], [each["id"] for each in first.json["products"]]) == (2, [3])
    assert first.headers["Link"] == f'<{first.json["next"]}>; rel="next"'
    second = front_end.get(first.json["next"])
    assert second.json is not None
    assert (second.json["total"], [each["id"] for each in second.json["products"]]) == (2, [1])
    assert "Link" not in second.headers
    assert front_end.get(first.json["next"], headers={"If-None-Match": second.headers["ETag"]}).status_code == 304
    other = first.json["next"].replace("sort=-price", "sort=price")
    faults = {
        other: (400, "invalid-cursor"),
        "/products?colour=red": (400, "unknown-argument"),
        "/products?sort=weight": (422, "out-of-range"),
        "/products?min_price=9,90": (422, "wrong-type"),
        "/products?in_stock=yes": (422, "wrong-type"),
        "/products?updated_since=yesterday": (422, "out-of-range"),
        "/products?min_price=2&max_price=1": (422, "out-of-range"),
    }
    for path, fault in faults.items():
        refused = front_end.get(path)
        assert refused.json is not None
        assert (refused.status_code, refused.json["code"]) == fault, refused.json
    refused = front_end.get("/products?colour=red")
    assert "'colour'" in refused.json["detail"]  # type: ignore[index]


def test_a_range_of_prices_without_a_price_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        accept({"min_price": 2, "max_price": 1}, ListProducts)
    assert [error.pointer for error in refused.value.problem.errors] == ["/max_price"]
