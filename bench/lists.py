"""Lists: what a read costs in catalogs of few and of many products, on both databases.

Handlers are called without a broker, so that the cost is that of the database and of making the answer. It is CPU time:
then what else the machine does hardly counts. `python -m bench.lists 1000 1000000` measures lists alone.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any, get_args

import click

from bench.cpu import exact_cpu_seconds
from bench.figures import ListCost
from bench.many_products import insert_many
from bench.names import FIRST_PAGE, GET
from bench.report import text_of_lists
from bus import Query
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.progress import report
from bus.worker.handler_runs import answer_queries
from catalog.contract import GetProduct, ListProducts, Sort
from catalog.handlers import catalog

TIMES = 15
SORTS: tuple[Any, ...] = get_args(Sort)


@click.command()
@click.argument("counts", type=click.IntRange(1000), nargs=-1)
def main(counts: tuple[int, ...]) -> None:
    """Measure reads with these COUNTS of products, 1000, 100000 and 1000000 if none are given, on both databases."""
    with tempfile.TemporaryDirectory(prefix="bus-bench-") as folder, find_database("process") as server:
        click.echo(text_of_lists(lists(server, Path(folder), counts or (1000, 100_000, 1_000_000))))


def lists(server: PostgresServer, folder: Path, counts: Sequence[int]) -> list[ListCost]:
    """Measure each read with each number of products."""
    costs = []
    for kind in ("sqlite", "postgresql"):
        for count in counts:
            report(f"lists of {count} products on {kind}")
            url = f"sqlite:///{folder}/lists-{count}.db" if kind == "sqlite" else server.fresh_database()
            costs += [ListCost(kind, count, name, cost) for name, cost in _measured(Database(url), count).items()]
    return costs


def _queries(count: int) -> Mapping[str, Query]:  # type: ignore[type-arg]  # of either reply
    half, last = (datetime.fromtimestamp(1_700_000_000 + count - each, UTC) for each in (count // 2, 50))
    return {
        GET: GetProduct(product_id=count // 2),
        FIRST_PAGE: ListProducts(),
        "q: a word of all": ListProducts(q="prod"),
        "q: a word of 1 in 100": ListProducts(q="colour55"),
        "q: a word of one": ListProducts(q=f"s{count // 2}"),
        "q: two words": ListProducts(q="prod colour55"),
        "tag of 1 in 50": ListProducts(tag="sale"),
        "sku": ListProducts(sku=f"S-{count // 2}"),
        "min_price, half": ListProducts(min_price=Decimal(5000)),
        "max_price, 1 in 1000": ListProducts(max_price=Decimal("9.99")),
        "in_stock, 9 in 10": ListProducts(in_stock=True),
        "not in_stock, 1 in 10": ListProducts(in_stock=False),
        "updated_since, half": ListProducts(updated_since=half),
        "updated_since, last 50": ListProducts(updated_since=last),
        **{f"sort={sort}": ListProducts(sort=sort) for sort in SORTS},
        "q of all, sort=price": ListProducts(q="prod", sort="price"),
        "q of 1 in 10, sort=price": ListProducts(q="colour5", sort="price"),
        "q of 1 in 100, sort=price": ListProducts(q="colour55", sort="price"),
        "q of 1 in 1000, sort=price": ListProducts(q="colour555", sort="price"),
        "two words, sort=price": ListProducts(q="prod colour55", sort="price"),
        "tag, sort=price": ListProducts(tag="sale", sort="price"),
        "q of 1 in 10 and tag, sort=price": ListProducts(q="colour5", tag="sale", sort="price"),
        "not in_stock, sort=price": ListProducts(in_stock=False, sort="price"),
        "max_price, 1 in 100, sort=name": ListProducts(max_price=Decimal("99.99"), sort="name"),
    }


def _measured(database: Database, count: int) -> Mapping[str, float]:
    """The milliseconds of each read: the median of some, after a first one that fills caches."""
    migrate(database, "catalog.migrations")
    with database.transaction() as transaction:
        insert_many(transaction.connection, count)
    costs = {}
    for name, query in _queries(count).items():
        _cost(database, query)
        costs[name] = median(_cost(database, query) for _ in range(TIMES))
    database.close()
    return costs


def _cpu_of_connection(database: Database) -> Callable[[], float]:
    """What this thread has used so far, and the process of PostgreSQL that serves its only connection."""
    if database.kind == "sqlite":
        return time.thread_time
    with database.reading() as transaction:
        pid = transaction.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    return lambda: time.thread_time() + exact_cpu_seconds(pid)


def _cost(database: Database, query: Query) -> float:  # type: ignore[type-arg]
    used = _cpu_of_connection(database)  # each time, because a connection may be replaced
    before = used()
    (reply,) = answer_queries([Call(type(query), query, None)], catalog.handlers, database)
    cost = 1000 * (used() - before)
    if not isinstance(reply, EncodedReply) or reply.status != 200:
        raise click.ClickException(f"{query} failed: {reply}")
    return cost


if __name__ == "__main__":
    main()
