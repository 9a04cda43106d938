"""Bulk statements: one statement for many rows, on PostgreSQL and SQLite alike.

On PostgreSQL the SQL is constant, with all rows as one JSON text, or all keys as one array: another number of rows
needs no new compilation or preparation.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    ClauseElement,
    Column,
    ColumnElement,
    Connection,
    Row,
    Table,
    bindparam,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bus.columns import Encrypted, columns_read


def insert_all(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    returning: Column[Any] | Sequence[Column[Any]] | None = None,
    unique: Column[Any] | None = None,
) -> Sequence[Any]:
    """Insert many rows with one statement; returns the `returning` column in the order of the rows.

    The column returned must be an ascending key that the database generates. Of several columns, rows are returned, and
    the first is that key. A column that is not given, and whose `default` is an SQL expression, such as a clock, gets
    that. With `unique`, rows whose value in that column is in the table already are skipped, and nothing is returned.
    Raises ValueError for rows with different columns, and TypeError for encrypted ones.
    """
    if returning is not None and not isinstance(returning, Sequence):
        return [key for (key,) in insert_all(connection, table, rows, (returning,), unique)]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("the rows have different columns")
    _check_types(table, tuple(rows[0]))
    if connection.dialect.name == "postgresql":
        statement = _insert_from_json(table, tuple(rows[0]), None if returning is None else tuple(returning), unique)
        result = connection.execute(statement, {"rows": msgspec.json.encode(rows).decode()})
        return sorted(result.all()) if returning is not None else ()
    if unique is not None:
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(index_elements=[unique]), list(rows))
        return ()
    if returning is None:
        connection.execute(insert(table), list(rows))
        return ()
    statement_many = insert(table).returning(*returning, sort_by_parameter_order=True)
    return connection.execute(statement_many, list(rows)).all()


def find_all(connection: Connection, table: Table, key: Column[Any], values: Sequence[Any]) -> Sequence[Row[Any]]:
    """The rows whose `key` is one of the values, in any order."""
    if connection.dialect.name == "postgresql":
        return connection.execute(_select_by_array(table, key), {"keys": list(values)}).all()
    return connection.execute(select(*columns_read(table)).where(key.in_(values))).all()


def lock_all(
    connection: Connection, table: Table, key: Column[Any], values: Iterable[Any], *beside: ColumnElement[Any]
) -> Sequence[Row[Any]]:
    """The rows whose `key` is one of the values, in the order of their keys, and locked until the transaction ends.

    All who lock rows in this order wait for each other, and never each for the other (a deadlock). `beside` are
    expressions to read with each row, such as a labelled clock; make them once, because statements are cached by them.
    """
    keys = sorted(set(values))
    if connection.dialect.name == "postgresql":
        return connection.execute(_lock_by_array(table, key, beside), {"keys": keys}).all()
    # SQLite has one lock for all, and the transaction holds it already.
    return connection.execute(select(*columns_read(table), *beside).where(key.in_(keys)).order_by(key)).all()


def update_each(connection: Connection, table: Table, key: Column[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Set new values in many rows with one statement. Each mapping has the row's `key` and the columns to change.

    Raises ValueError for mappings with different columns, and TypeError for encrypted ones.
    """
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError("the rows have different columns")
    names = tuple(rows[0])
    _check_types(table, names)
    if connection.dialect.name == "postgresql":
        connection.execute(_update_from_json(table, names, key), {"rows": msgspec.json.encode(rows).decode()})
        return
    changes = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names if name != key.name}
    statement = update(table).where(key == bindparam("the_key", type_=key.type)).values(changes)
    given = [{"the_key" if name == key.name else f"new_{name}": value for name, value in row.items()} for row in rows]
    connection.execute(statement, given)


def update_all(
    connection: Connection, table: Table, key: Column[Any], values: Sequence[Any], changes: Mapping[str, Any]
) -> None:
    """Set the same new values in all rows whose `key` is one of the values."""
    statement = update(table).values(**changes)
    if connection.dialect.name == "postgresql":
        connection.execute(statement.where(_is_in_array(key)), {"keys": list(values)})
    else:
        connection.execute(statement.where(key.in_(values)))


@cache
def _check_types(table: Table, names: tuple[str, ...]) -> None:
    """Raises TypeError for a column whose values would go into the JSON as they are, and not encrypted."""
    for name in names:
        if isinstance(table.c[name].type, Encrypted):
            raise TypeError(f"{table.name}.{name} is encrypted: write such rows with SQLAlchemy's insert and update")


@cache
def _insert_from_json(
    table: Table, names: tuple[str, ...], returning: tuple[Column[Any], ...] | None, unique: Column[Any] | None
) -> Any:
    computed = _computed_values(table, names)
    values = ", ".join([*(_given_value(table.c[name]) for name in names), *computed.values()])
    sql = (
        f"INSERT INTO {table.name} ({', '.join([*names, *computed])}) SELECT {values} "  # noqa: S608  # names from our own tables
        f"FROM ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS ({_given_columns(table, names)})) "
        f'WITH ORDINALITY AS given({", ".join(names)}, "#") ORDER BY "#"'  # no column of ours has this name
    )
    if unique is not None:
        sql = f"{sql} ON CONFLICT ({unique.name}) DO NOTHING"
    return text(sql if returning is None else f"{sql} RETURNING {', '.join(each.name for each in returning)}")


@cache
def _update_from_json(table: Table, names: tuple[str, ...], key: Column[Any]) -> Any:
    changes = ", ".join(f"{name} = {_given_value(table.c[name])}" for name in names if name != key.name)
    return text(
        f"UPDATE {table.name} SET {changes} "  # noqa: S608  # names from our own tables
        f"FROM json_to_recordset(CAST(:rows AS json)) AS given({_given_columns(table, names)}) "
        f"WHERE {table.name}.{key.name} = given.{key.name}"
    )


def _given_columns(table: Table, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {'text' if _is_binary(table.c[name]) else _type_of(table.c[name])}" for name in names)


def _given_value(column: Column[Any]) -> str:
    return f"decode(given.{column.name}, 'base64')" if _is_binary(column) else f"given.{column.name}"


@cache
def _lock_by_array(table: Table, key: Column[Any], beside: tuple[ColumnElement[Any], ...]) -> Any:
    return _select_by_array(table, key).add_columns(*beside).order_by(key).with_for_update()


@cache
def _select_by_array(table: Table, key: Column[Any]) -> Any:
    return select(*columns_read(table)).where(_is_in_array(key))


def _computed_values(table: Table, given: Iterable[str]) -> dict[str, str]:
    """The SQL of the default of each column that is not given, where that is SQL."""
    defaults = {each.name: getattr(each.default, "arg", None) for each in table.c if each.name not in given}
    return {name: _in_sql(sql) for name, sql in defaults.items() if isinstance(sql, ClauseElement)}


def _is_in_array(key: Column[Any]) -> Any:
    return text(f"{key.name} = ANY(CAST(:keys AS {_type_of(key)}[]))")


def _is_binary(column: Column[Any]) -> bool:
    """Whether it holds bytes, which are base64 text in JSON."""
    return _type_of(column) == "BYTEA"


def _in_sql(expression: ClauseElement) -> str:
    return str(expression.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


def _type_of(column: Column[Any]) -> str:
    return column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
