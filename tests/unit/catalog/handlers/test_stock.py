"""Stock: pieces come and go in one step, and never more go than are available."""

from decimal import Decimal

from support.executing import execute

from bus.database.engine import Database
from catalog.contract import ChangeStock, CreateProduct, ReserveStock
from catalog.handlers import catalog


def _change(product_id: int, change: int) -> ChangeStock:
    return ChangeStock(product_id=product_id, change=change, reason="counted")


def test_changes_of_one_batch_follow_each_other_and_never_take_what_is_reserved(either_database: Database) -> None:
    database = either_database
    execute(catalog, database, CreateProduct(name="Lamp", price=Decimal("9.9"), quantity=5))
    execute(catalog, database, ReserveStock(product_id=1, quantity=2))
    changes = [_change(*each) for each in ((1, -3), (1, -1), (1, 10), (1, -10), (9, 1), (1, 2**31 - 2))]
    replies = execute(catalog, database, *changes)
    assert [status for status, _ in replies] == [200, 409, 200, 200, 404, 409]
    counts = [(body["product"]["quantity"], body["product"]["available"]) for status, body in replies if status == 200]
    assert counts == [(2, 0), (12, 10), (2, 0)]
    assert (replies[1][1]["code"], replies[1][1]["available"]) == ("catalog.insufficient_stock", 0)
    assert replies[5][1]["code"] == "catalog.stock_too_large"
    assert replies[3][1]["product"]["version"] == 5
