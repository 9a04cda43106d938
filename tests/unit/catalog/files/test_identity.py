"""Export, then import: the products are the same, whatever their names, texts and attributes."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from bus import Invalid, accept
from bus.files.source import examine
from catalog.contract import CreateProduct, Product
from catalog.files import reading
from catalog.files.reading import Reading
from catalog.files.writing import CSV, NDJSON, written

FIELDS = ("sku", "name", "price", "quantity", "tags", "description", "attributes")

# What a CSV file could lose or take for something else, beside all that Unicode has.
_nasty = st.sampled_from(
    ['"', '""', ",", ";", "\t", "[", "]", "{", "'", "=1+1", "\u2028", "\u00a0", " ", "\ufeff", "é", "😀"]
)
_text = st.lists(st.one_of(_nasty, st.text(max_size=5)), max_size=6).map("".join)
_lines = st.lists(st.one_of(st.sampled_from(["\r", "\n", "\r\n", "\n\n", "\t"]), _text), max_size=6).map("".join)
_value = st.one_of(
    _text, st.booleans(), st.integers(-(10**12), 10**12), st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9)
)
_fields = st.fixed_dictionaries(
    {
        "name": _text,
        "price": st.decimals(0, 10**9, places=2),
        "quantity": st.integers(0, 2**31 - 1),
        "sku": st.one_of(st.none(), _text),
        "tags": st.one_of(st.none(), st.lists(_text, max_size=4)),
        "description": st.one_of(st.none(), _lines),
        "attributes": st.one_of(st.none(), st.dictionaries(_text, _value, max_size=4)),
    }
)


def _product(fields: dict[str, Any], number: int) -> Product | None:
    """The product as the catalog has it; None for fields that it refuses."""
    try:
        command = accept(fields, CreateProduct)
    except Invalid:
        return None
    given = {name: getattr(command, name) or UNSET for name in ("sku", "description", "attributes")}
    tags = list(dict.fromkeys(command.tags)) if command.tags else UNSET
    return Product(
        id=number,
        name=command.name,
        price=command.price,
        quantity=command.quantity,
        available=0,
        version=7,
        tags=tags,
        **given,
    )


def _imported(path: Path, how: Reading) -> list[dict[str, Any]]:
    with examine(path).opened() as (text, _):
        _, found = reading.entries(text, how)
        operations = list(reading.operations(found, how))
    assert all(isinstance(each[0], int) and not isinstance(each[1], str) for each in operations), operations
    return [_given(each[1].content) for each in operations]  # type: ignore[union-attr]


def _given(product: Any) -> dict[str, Any]:
    """What a product has, as JSON has it."""
    found = {name: getattr(product, name) for name in FIELDS}
    return {name: value for name, value in found.items() if value is not UNSET and value is not None}


@pytest.mark.parametrize("form", [CSV, NDJSON])
@settings(max_examples=150, deadline=None)
@given(several=st.lists(_fields, min_size=1, max_size=4))
def test_export_then_import_is_an_identity(
    tmp_path_factory: pytest.TempPathFactory, form: str, several: list[dict[str, Any]]
) -> None:
    products = [made for number, each in enumerate(several) if (made := _product(each, number)) is not None]
    path = tmp_path_factory.mktemp("export") / f"products.{form}"
    path.write_bytes(b"".join(written(iter([products[:1], products[1:]]), form)))
    if products:
        assert _imported(path, Reading()) == [_given(each) for each in products]


def test_what_generation_finds_seldom(tmp_path: Path) -> None:
    fields = {
        "name": '  "Lamp", \u2028; größer ',
        "price": Decimal("0.05"),
        "quantity": 0,
        "sku": "[A],'1\"",
        "tags": ["[x", "a,b", '"'],
        "description": '\r\n\r\n a\tb\r"c"\n',
        "attributes": {'"a",b': "x\u2028", "é": 0.1, "n": -7, "is": False, "": ""} | {"empty": ""},
    }
    del fields["attributes"][""]  # type: ignore[attr-defined]
    product = _product(fields, 1)
    assert product is not None
    for form in (CSV, NDJSON):
        path = tmp_path / form
        path.write_bytes(b"".join(written(iter([[product]]), form)))
        assert _imported(path, Reading()) == [_given(product)]
        by_sku = _imported(path, Reading(by_sku=True))
        assert by_sku == [_given(product)]


def test_an_empty_catalog_is_a_header_or_nothing() -> None:
    assert b"".join(written(iter([[]]), NDJSON)) == b""
    assert b"".join(written(iter([[]]), CSV)).startswith(b"id,sku,name,price,")


def test_ndjson_has_the_products_as_they_are_read_one_by_one() -> None:
    product = _product({"name": "Lamp", "price": Decimal("9.90"), "quantity": 3}, 4)
    assert product is not None
    line = b"".join(written(iter([[product]]), NDJSON))
    assert line == msgspec.json.Encoder(decimal_format="number").encode(product) + b"\n"
