"""Lists: how long a read takes in a catalog of a thousand products and in one of a million. `python -m bench.lists`.

The handlers are called without a broker, so that the time is that of the database and of making the answer.
"""

import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import click

from bench.many_products import insert_many
from bus import Query
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.testing.servers.postgres import find_database
from bus.worker.execution import answer_queries
from catalog.contract import GetProduct, ListProducts, Sort
from catalog.handlers import catalog

TIMES = 25
SORTS: tuple[Any, ...] = get_args(Sort)
FIRST_PAGE = "first page"
# What we aim at: of the time with the fewest products, and of the first page with the most.
FLAT, FACTOR = 1.2, 3.0
FLAT_READS = ("get", FIRST_PAGE)


@click.command()
@click.argument("counts", type=click.IntRange(1000), nargs=-1)
def main(counts: tuple[int, ...]) -> None:
    """Measure reads with these COUNTS of products, 1000, 100000 and 1000000 if none are given, on both databases."""
    counts = counts or (1000, 100_000, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="bus-bench-") as folder, find_database("process") as server:
        for kind in ("sqlite", "postgresql"):
            measured = []
            for count in counts:
                url = f"sqlite:///{folder}/{count}.db" if kind == "sqlite" else server.fresh_database()
                measured.append(_measured(Database(url), count))
            click.echo(_table(kind, counts, measured))


def _queries(count: int) -> Mapping[str, Query]:  # type: ignore[type-arg]  # of either reply
    half, last = (datetime.fromtimestamp(1_700_000_000 + count - each, UTC) for each in (count // 2, 50))
    return {
        "get": GetProduct(product_id=count // 2),
        FIRST_PAGE: ListProducts(),
        "q: a word of all": ListProducts(q="prod"),
        "q: a word of 1 in 100": ListProducts(q="colour55"),
        "q: a word of one": ListProducts(q=f"s{count // 2}"),
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
        "q of 1 in 100, sort=price": ListProducts(q="colour55", sort="price"),
        "tag, sort=price": ListProducts(tag="sale", sort="price"),
    }


def _measured(database: Database, count: int) -> Mapping[str, float]:
    """The milliseconds of each read: the least of many, because the machine has other things to do too."""
    migrate(database, "catalog.migrations")
    with database.transaction() as transaction:
        insert_many(transaction.connection, count)
    figures = {}
    for name, query in _queries(count).items():
        figures[name] = 1000 * min(_seconds(database, query) for _ in range(TIMES))
    database.close()
    return figures


def _seconds(database: Database, query: Query) -> float:  # type: ignore[type-arg]
    started = time.perf_counter()
    (reply,) = answer_queries([Call(type(query), query, None)], catalog.handlers, database)
    taken = time.perf_counter() - started
    if not isinstance(reply, EncodedReply) or reply.status != 200:
        raise click.ClickException(f"{query} failed: {reply}")
    return taken


def _table(kind: str, counts: tuple[int, ...], measured: list[Mapping[str, float]]) -> str:
    lines = [f"{kind + ', ms':28}" + "".join(f"{count:>10}" for count in counts) + "  to fewest  to first page"]
    first = measured[-1][FIRST_PAGE]
    for name in measured[0]:
        times = [each[name] for each in measured]
        growth, factor = times[-1] / times[0], times[-1] / first
        met = growth <= FLAT if name in FLAT_READS else factor <= FACTOR
        figures = "".join(f"{each:10.2f}" for each in times)
        lines.append(f"{name:28}{figures}{growth:11.2f}{factor:15.2f}  {'met' if met else 'not met'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
