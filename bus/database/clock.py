"""The clock: the database's, which decides what is old, over, or still held, for all workers of a service alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from bus.columns import UtcDateTime


class sql_now(FunctionElement[datetime]):  # noqa: N801  # an SQL function
    """The same as `now` inside of a statement, such as the `when` of a job, which has no connection yet."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(sql_now, "postgresql")
def _on_postgresql(*_: object, **__: object) -> str:
    # A subquery is computed once. A condition with the function alone is checked row by row, without an index.
    return "(SELECT clock_timestamp())"


@compiles(sql_now, "sqlite")
def _on_sqlite(_: object, compiler: SQLCompiler, **options: Any) -> str:
    moment = bindparam(None, callable_=lambda: datetime.now(UTC), type_=UtcDateTime(), unique=True)
    return str(compiler.process(moment, **options))


_statement = select(sql_now())


def now(connection: Connection) -> datetime:
    """The time of the database's clock, in UTC.

    Ask it, and not this machine, for every age and every end of something in a table: a worker whose clock is wrong
    would delete what others need. SQLite has no clock but this machine's.
    """
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(_statement).scalar_one()
    return moment
