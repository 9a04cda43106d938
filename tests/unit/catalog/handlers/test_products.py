"""Products: many changes of one product in one batch."""

import json
from decimal import Decimal
from typing import Any

from sqlalchemy import event, select
from sqlalchemy.engine import Engine
from support.executing import execute

from bus.contract.operations import Command
from bus.database.engine import Database
from bus.database.tables import outbox
from catalog.contract import CreateProduct, UpdateProduct
from catalog.handlers import catalog


def _execute(database: Database, *commands: Command[Any]) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *commands)


def test_changes_of_one_product_in_a_batch_follow_each_other_and_are_one_update(database: Database) -> None:
    _execute(database, CreateProduct(name="Lamp", price=Decimal("9.9"), quantity=3))
    updates: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        updates.extend([statement] if statement.startswith("UPDATE") else [])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        replies = _execute(
            database,
            UpdateProduct(product_id=1, quantity=2),
            UpdateProduct(product_id=9, quantity=1),
            UpdateProduct(product_id=1, price=Decimal("8")),
            UpdateProduct(product_id=1),
            UpdateProduct(product_id=1, name="Lantern"),
        )
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [status for status, _ in replies] == [200, 404, 200, 200, 200]
    seen = [body["product"] for status, body in replies if status == 200]
    assert [(each["version"], each["quantity"], each["price"], each["name"]) for each in seen] == [
        (2, 2, 9.9, "Lamp"),
        (3, 2, 8.0, "Lamp"),
        (3, 2, 8.0, "Lamp"),
        (4, 2, 8.0, "Lantern"),
    ]
    assert len(updates) == 1
    with database.reading() as transaction:
        bodies = transaction.connection.execute(select(outbox.c.body).order_by(outbox.c.id)).scalars().all()
    assert [json.loads(body)["version"] for body in bodies] == [1, 2, 3, 4]
