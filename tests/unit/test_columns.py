"""Column types: the same values in and out on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, func, insert, select
from sqlalchemy.exc import StatementError

from bus.columns import Encrypted, Id, Money, UtcDateTime
from bus.database import Database, insert_all, update_each

pytest_plugins = ["bus.testing.fixtures"]

entry = Table(
    "entries",
    MetaData(),
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("euros", Money),
    Column("dinars", Money(places=3)),
    Column("yen", Money(places=0, digits=15)),
    Column("at", UtcDateTime),
    Column("secret", Encrypted),
    sqlite_autoincrement=True,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    is_file = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/entries.db" if is_file else request.getfixturevalue("database_url"))
    with database.transaction() as transaction:
        entry.create(transaction.connection)
        yield transaction.connection
    database.close()


def test_amounts_are_exact_and_have_the_places_of_their_column(connection: Connection) -> None:
    amounts = {"euros": Decimal("9999999999.9"), "dinars": Decimal("0.001"), "yen": Decimal("123456789012345")}
    connection.execute(insert(entry), [amounts, {**amounts, "euros": Decimal("0.01")}])
    rows = connection.execute(select(entry.c.euros, entry.c.dinars, entry.c.yen)).all()
    assert list(map(str, rows[0])) == ["9999999999.90", "0.001", "123456789012345"]
    assert connection.execute(select(func.sum(entry.c.euros))).scalar_one() == Decimal("9999999999.91")
    assert connection.execute(select(entry.c.id).where(entry.c.euros < Decimal(1))).scalars().all() == [2]


@pytest.mark.parametrize("amount", [Decimal("0.001"), Decimal("1e-9")])
def test_an_amount_is_never_rounded_on_its_way_in(connection: Connection, amount: Decimal) -> None:
    with pytest.raises(StatementError, match="more than 2 digits after the decimal point: round it first"):
        connection.execute(insert(entry), {"euros": amount})


def test_moments_are_in_utc(connection: Connection) -> None:
    noon = datetime(2030, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    connection.execute(insert(entry), {"at": noon})
    found = connection.execute(select(entry.c.at)).scalar_one()
    assert found == noon
    assert found.tzinfo == UTC
    assert connection.execute(select(func.count()).where(entry.c.at < noon)).scalar_one() == 0
    with pytest.raises(StatementError, match="has no time zone"):
        connection.execute(insert(entry), {"at": datetime(2030, 7, 1)})  # that is the point


def test_nothing_stays_nothing(connection: Connection) -> None:
    connection.execute(insert(entry), {"euros": None, "at": None})
    assert connection.execute(select(entry)).one() == (1, None, None, None, None, None)


def test_a_migration_can_have_them_as_they_are_written() -> None:
    assert repr(Money()) == "Money(places=2, digits=12)"
    assert repr(UtcDateTime()) == "UtcDateTime()"


def test_an_encrypted_text_is_stored_differently_each_time_and_never_as_it_is(connection: Connection) -> None:
    texts = ["geheim 🐴", "geheim 🐴", "", None]
    for text in texts:
        connection.execute(insert(entry).values(secret=text))
    assert connection.execute(select(entry.c.secret).order_by(entry.c.id)).scalars().all() == texts
    stored = connection.exec_driver_sql("SELECT secret FROM entries ORDER BY id").scalars().all()
    assert len(set(stored)) == 4
    assert "geheim" not in str(stored)
    assert connection.execute(select(func.count()).where(entry.c.secret.is_(None))).scalar() == 1


def test_an_encrypted_text_is_not_compared_in_sql_nor_written_with_many_rows(connection: Connection) -> None:
    for compare in (lambda: entry.c.secret == "geheim", lambda: entry.c.secret.in_(["geheim"]), entry.c.secret.desc):
        with pytest.raises(TypeError, match="cannot be compared"):
            compare()
    with pytest.raises(TypeError, match=r"entries\.secret is encrypted"):
        insert_all(connection, entry, [{"secret": "geheim"}])
    with pytest.raises(TypeError, match=r"entries\.secret is encrypted"):
        update_each(connection, entry, entry.c.id, [{"id": 1, "secret": "geheim"}])
