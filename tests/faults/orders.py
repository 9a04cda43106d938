"""F37 and F38: a service that calls another one, and either of them dies or is away.

Orders of one and of two lines are placed. However that went, there has to be one order for each that was accepted, and
what is left in the catalog together with what was ordered has to be what was there.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from time import sleep

from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.waiting import wait_until
from catalog.contract import CreateProduct
from faults.census import dead_letters, rows_of
from faults.load import UNAVAILABLE, Load
from faults.member import Member
from faults.scale import Scale
from faults.system import Servers, System, made_of
from faults.tally import Tally

PRODUCTS, PIECES = 3, 1_000_000
# An order from its reservation to its last acknowledgement: in each place one of the two workers dies, and after so
# many further passes again. The catalog and the relays write many rows at once, and so pass more rarely. The catalog
# calls nobody.
PLACES = (
    *(("orders", place) for place in ("worker.before-commit:30", "worker.after-commit:30", "worker.before-ack:30")),
    *(("orders", place) for place in ("relay.before-mark:5", "client.after-confirm:30")),
    *(("catalog", place) for place in ("worker.before-commit:10", "worker.after-commit:10", "worker.before-ack:30")),
    ("catalog", "relay.before-mark:5"),
)
# Where workers die all the time, most orders meet one that is away, and would wait for minutes.
SHORT_PAUSES = "1,2,4"
# While the other service is away, an order and what it sends wait for 5 s, then 30 s, then 120 s: for 155 s together,
# if it is away for a minute. In that time it may die again.
QUIET_SECONDS = 300.0
HELD = "SELECT id FROM reservations WHERE state = 'held'"
CREATE_SECONDS = 30.0


def workers_die(servers: Servers, scale: Scale) -> Tally:
    """In full each worker dies at each place of an order's way; in short both die at one of theirs."""
    tally = Tally()
    deaths = scale.of(
        [{service: place} for service, place in PLACES],
        [{"orders": "worker.before-commit:20", "catalog": "worker.after-commit:20"}],
    )
    for places in deaths:
        with _running(servers, SHORT_PAUSES, places) as shop:
            load = _load(shop.system, scale.of(80, 40))
            load.run()
            died = {service: shop.workers[service].deaths for service in places}
            tally.must(all(died.values()), f"not every worker died: {died} at {places}")
            tally.note(f"{died}: deaths at {places}")
            _count(tally, shop, load)
    return tally


def catalog_away(servers: Servers, scale: Scale) -> Tally:
    """All accepted orders are done when the catalog is back, and none is a dead letter."""
    tally = Tally()
    with _running(servers, scale.of("5,30,120", SHORT_PAUSES), {}) as shop:
        load = _load(shop.system, scale.of(2_000, 40), per_second=20).start()
        wait_until(lambda: len(load.answers) > 0, QUIET_SECONDS, "the first order is placed")
        shop.workers["catalog"].terminate()
        sleep(scale.of(60.0, 3.0))
        shop.system.add_worker(RETRY_SECONDS=shop.retry_seconds)
        load.finish()
        tally.must(len(load.accepted) > 0, "no order was accepted while the catalog was away")
        tally.note(f"{len(load.accepted)} orders were accepted and done later")
        _count(tally, shop, load)
    return tally


@dataclass(frozen=True)
class _Shop:
    """A worker of the catalog and one of orders, by their names, and a front end of orders."""

    system: System
    orders_url: str
    retry_seconds: str
    workers: dict[str, Member]


@contextmanager
def _running(servers: Servers, retry_seconds: str, armed: dict[str, str]) -> Iterator[_Shop]:
    """A shop whose workers have the failpoints that are armed by their names."""
    with made_of(servers) as system:
        orders_url = servers.database.fresh_database()
        for url, history in ((system.database_url, "catalog.migrations"), (orders_url, "orders.migrations")):
            database = Database(url)
            migrate(database, history)
            database.close()
        system.install("orders", "orders.main:application")
        settings = {"RETRY_SECONDS": retry_seconds}
        failpoints = {service: {"BUS_FAILPOINT": place} for service, place in armed.items()}
        of_orders = {"ORDERS_DATABASE_URL": orders_url, **settings, **failpoints.get("orders", {})}
        workers = {
            "catalog": system.add_worker(**settings, **failpoints.get("catalog", {})),
            "orders": system.add_worker_of("orders", **of_orders),
        }
        system.add_front_of("orders")
        system.wait_until_ready()
        with Client(system.bus_url, name="faults") as client:
            for number in range(PRODUCTS):
                product = CreateProduct(name=f"product {number}", price=Decimal("9.90"), quantity=PIECES)
                client.call(product, message_id=f"product-{number}", timeout=CREATE_SECONDS)
        yield _Shop(system, orders_url, retry_seconds, workers)


def _load(system: System, orders: int, per_second: float | None = None) -> Load:
    return Load(
        system.urls,
        orders,
        prefix="order",
        path="/orders",
        body=_order_named,
        allows=frozenset({UNAVAILABLE}),
        per_second=per_second,
        give_up_seconds=QUIET_SECONDS,
    )


def _order_named(name: str) -> dict[str, list[dict[str, int]]]:
    number = int(name.rpartition(" ")[2])
    first, second = 1 + number % PRODUCTS, 1 + (number + 1) % PRODUCTS
    lines = [{"product_id": first, "quantity": 1 + number % 5}]
    return {"lines": [*lines, {"product_id": second, "quantity": 2}] if number % 2 else lines}


def _count(tally: Tally, shop: _Shop, load: Load) -> None:
    """Add what became of a load that has ended: each answer is an order, and there is no other."""
    catalog_url, orders_url = shop.system.database_url, shop.orders_url
    wait_until(lambda: not rows_of(catalog_url, HELD), QUIET_SECONDS, "what orders have reserved is taken")
    orders = Counter(order_id for (order_id,) in rows_of(orders_url, "SELECT id FROM orders"))
    answers = Counter(load.answers.values())
    tally.attempted += len(load.attempted)
    tally.acknowledged += len(load.accepted | load.answers.keys())
    tally.ok += len(orders & answers)
    tally.lost += (answers - orders).total()
    tally.duplicated += (orders - answers).total()
    tally.unexpected += len(load.unexpected)
    for sentence in load.unexpected[:5]:
        tally.note(f"unexpected: {sentence}")
    tally.note(", ".join(f"{times} x {answer}" for answer, times in sorted(load.statuses().items())))
    asked = Counter[int]()
    for name in load.answers:
        asked.update({line["product_id"]: line["quantity"] for line in _order_named(name)["lines"]})
    ordered = dict(rows_of(orders_url, "SELECT product_id, sum(quantity) FROM order_lines GROUP BY product_id"))
    left = dict(rows_of(catalog_url, "SELECT id, quantity FROM products"))
    tally.must(ordered == asked, f"ordered {ordered}, and asked for {dict(asked)}")
    expected = {number: PIECES - ordered.get(number, 0) for number in left}
    tally.must(left == expected, f"the catalog has {left}, and {expected} are left by the orders")
    for name, url in (("catalog", catalog_url), ("orders", orders_url)):
        letters = [*dead_letters(url), *shop.system.queues.message_ids(f"{name}.dead")]
        tally.unexpected += len(letters)
        if letters:
            tally.note(f"dead letters of {name}: {', '.join(letters[:5])}")
