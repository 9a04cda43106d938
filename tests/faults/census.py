"""The census: what is in the database, counted with SQL of our own and nothing of the code under test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, text

_PRODUCTS = text("SELECT name, count(*), min(id) FROM products GROUP BY name")
_DEAD = text("SELECT message_id FROM dead_letters")
_UNSENT = text(
    "SELECT count(*) FROM outbox WHERE sent_at IS NULL AND made_at <= now() - make_interval(secs => :seconds)"
)


class Census:
    """The products by their names, at one moment."""

    def __init__(self, database_url: str) -> None:
        with _connected(database_url) as connection:
            rows = connection.execute(_PRODUCTS).all()
        self._times: dict[str, int] = {name: times for name, times, _ in rows}
        self._ids: dict[str, int] = {name: first for name, _, first in rows}

    def __len__(self) -> int:
        """The number of products, those that are there twice among them."""
        return sum(self._times.values())

    def times(self, name: str) -> int:
        """How many products have this name."""
        return self._times.get(name, 0)

    def id_of(self, name: str) -> int | None:
        """The id of the product of this name, if there is one."""
        return self._ids.get(name)


def dead_letters(database_url: str) -> list[str]:
    """The message ids of the dead letters that a worker has put into its database; empty for one without."""
    with _connected(database_url) as connection:
        return [message_id or "" for message_id in connection.execute(_DEAD).scalars()]


def rows_of(database_url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows that a statement finds."""
    with _connected(database_url) as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def unsent_events(database_url: str, older_than: float) -> int:
    """How many events of a PostgreSQL were made so many seconds ago, and not marked as sent."""
    with _connected(database_url) as connection:
        return connection.execute(_UNSENT, {"seconds": older_than}).scalar_one()


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
