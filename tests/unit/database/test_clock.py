"""The clock of the database inside of statements."""

from datetime import UTC, datetime

from sqlalchemy import select

from bus.database import sql_now
from bus.database.engine import Database


def test_it_goes_on_from_one_run_of_a_statement_to_the_next() -> None:
    """SQLite has no clock but ours, and SQLAlchemy keeps the text of a statement that it has compiled once."""
    database = Database("sqlite://")
    statement, moments = select(sql_now(), sql_now()), [datetime.now(UTC)]
    with database.transaction() as transaction:
        for _ in range(3):
            moments += transaction.connection.execute(statement).one()
            passed = select(sql_now() > moments[-1], sql_now() < moments[-1])
            assert transaction.connection.execute(passed).one() == (True, False)
    database.close()
    assert moments == sorted(moments)
    assert len({*moments[::2]}) == 4
