"""The clock: the database's, which decides what is old, over, or still held, for all workers of a service alike."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from bus.columns import UtcDateTime

_statement = select(func.clock_timestamp(type_=UtcDateTime))


def now(connection: Connection) -> datetime:
    """The time of the database's clock, in UTC.

    Ask it, and not this machine, for every age and every end of something in a table: a worker whose clock is wrong
    would delete what others need. SQLite has no clock but this machine's.
    """
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    moment: datetime = connection.execute(_statement).scalar_one()
    return moment
