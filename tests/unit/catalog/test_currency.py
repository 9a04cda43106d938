"""The currency of the catalog decides how many digits a price has after the decimal point."""

from decimal import Decimal
from typing import Any

import pytest
from support.executing import execute

from bus import Invalid
from bus.contract.validation import accept
from bus.database.engine import Database
from bus.http.documents.openapi import openapi
from bus.runtime.settings_reader import SettingsReader
from catalog import contract
from catalog.contract import CreateProduct, GetProduct, UpdateProduct
from catalog.domain.money import PLACES_OF, from_column, highest, to_column
from catalog.handlers import catalog
from catalog.handlers.service import CatalogSettings


def _use(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "settings", CatalogSettings(currency=code))


def _lamp(price: str) -> CreateProduct:
    return accept({"name": "Lamp", "price": Decimal(price), "quantity": 1}, CreateProduct)


# (currency, the highest price, the smallest step)
CURRENCIES = [
    ("", "9999999999.99", "0.01"),
    ("EUR", "9999999999.99", "0.01"),
    ("JPY", "999999999999", "1"),
    ("KWD", "999999999.999", "0.001"),
    ("CLF", "99999999.9999", "0.0001"),
]


@pytest.mark.parametrize(("code", "most", "step"), CURRENCIES)
def test_prices_have_the_places_of_the_currency(
    either_database: Database, monkeypatch: pytest.MonkeyPatch, code: str, most: str, step: str
) -> None:
    _use(code, monkeypatch)
    prices = [most, step, "7", "0"]
    replies = execute(catalog, either_database, *map(_lamp, prices))
    assert [status for status, _ in replies] == [201] * 4
    execute(catalog, either_database, UpdateProduct(product_id=4, price=Decimal(step)))
    found = execute(catalog, either_database, *(GetProduct(product_id=each) for each in range(1, 5)))
    assert [Decimal(str(body["price"])) for _, body in found] == [Decimal(each) for each in (most, step, "7", step)]
    for wrong in (Decimal(most) + Decimal(step), Decimal(step) / 10, Decimal("-1")):
        with pytest.raises(Invalid) as refused:
            _lamp(str(wrong))
        assert [(each.pointer, each.code) for each in refused.value.problem.errors] == [("/price", "out-of-range")]


@pytest.mark.parametrize("code", sorted(PLACES_OF))
def test_what_the_table_has_of_a_price_is_the_price(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    _use(code, monkeypatch)
    smallest = Decimal(1).scaleb(-PLACES_OF[code])
    for price in (Decimal(0), smallest, Decimal(12), highest() - smallest, highest()):
        stored = to_column(price)
        assert str(stored).partition(".")[2].isdigit()
        assert from_column(stored) == price
        assert from_column(stored).as_tuple().exponent == -PLACES_OF[code]


def test_the_documents_have_the_places_of_the_currency(monkeypatch: pytest.MonkeyPatch) -> None:
    _use("KWD", monkeypatch)
    route: Any = openapi("catalog", contract)["paths"]["/products"]["post"]
    price = route["requestBody"]["content"]["application/json"]["schema"]["properties"]["price"]
    assert (price["multipleOf"], price["maximum"]) == (Decimal("0.001"), Decimal("999999999.999"))


def test_a_currency_that_does_not_exist_is_named_at_the_start() -> None:
    reader = SettingsReader({"CATALOG_CURRENCY": "EURO"})
    reader.declared("CATALOG", CatalogSettings())
    assert reader.errors == ["CATALOG_CURRENCY: expected the code of a currency (ISO 4217) such as EUR, not EURO."]
    assert len(PLACES_OF) > 150
