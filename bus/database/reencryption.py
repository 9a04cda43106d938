"""Encrypting again: each secret in a database is read with whatever key it has, and written with the first one."""

from typing import Any

from sqlalchemy import Table, bindparam, select, tuple_, update

from bus.columns import Encrypted
from bus.database.engine import Database

# In one transaction. It holds their rows, so that no worker changes one between our reading and writing it.
ROWS = 200


def reencrypt(database: Database, tables: list[Table]) -> int:
    """Encrypt all secrets in these tables with the first key; returns how many rows have been written.

    Workers may run meanwhile, if they have both keys. Raises DatabaseKeyError for what no key decrypts, and
    DatabaseUnavailable; then do it again.
    """
    return sum(_reencrypt(database, table) for table in tables if _secrets_of(table))


def _reencrypt(database: Database, table: Table) -> int:
    key, secrets = list(table.primary_key), _secrets_of(table)
    first_page: Any = select(*key, *secrets).order_by(*key).limit(ROWS).with_for_update()
    names = [f"{column.name}_read" for column in (*key, *secrets)]
    found = [column == bindparam(f"{column.name}_read") for column in key]
    write = update(table).where(*found).values({column: bindparam(f"{column.name}_read") for column in secrets})
    page, done = first_page, 0
    while True:
        with database.transaction() as transaction:
            rows = transaction.connection.execute(page).all()
            if rows:
                transaction.connection.execute(write, [dict(zip(names, row, strict=True)) for row in rows])
        done += len(rows)
        if len(rows) < ROWS:
            return done
        last = (bindparam(None, value, type_=column.type) for column, value in zip(key, rows[-1], strict=False))
        page = first_page.where(tuple_(*key) > tuple_(*last))


def _secrets_of(table: Table) -> list[Any]:
    return [column for column in table.c if isinstance(column.type, Encrypted)]
