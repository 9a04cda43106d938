"""Two small services for tests of nested calls: `shop` takes orders, and `store` reserves what they need.

`store` refuses more than 5 pieces. `Desk` runs both on one broker, each with an SQLite database, and each of their
workers can be stopped and started again.
"""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from bus.client.client import Client
from bus.contract.operations import Command, Query, Reply
from bus.contract.refusals import Refusal
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits
from bus.service.service import Service
from bus.service.work import Work
from bus.worker.worker import Worker

STOP_SECONDS = 30.0
MOST = 5

metadata = MetaData()
reservation = Table(
    "held_things",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("thing", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
)
placed = Table(
    "placed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("thing", Text, nullable=False),
    Column("reservation_id", Integer, nullable=False),
)


class SoldOut(Refusal, code="store.sold_out", status=409):
    """There are not so many."""


class Reserved(Reply):
    id: int


class Reserve(Command[Reserved], name="store.reserve", status=201, refuses=[SoldOut]):
    """Reserve some pieces of a thing."""

    thing: str
    quantity: int


class Seen(Reply):
    """What a handler of `store` was given."""

    quantity: int
    depth: int
    authorization: str
    trace_id: str


class Look(Query[Seen], name="store.look"):
    """How many pieces of a thing are reserved."""

    thing: str


class Placed(Reply):
    id: int
    reservation_id: int


class PlaceOrder(Command[Placed], name="shop.place_order", status=201, refuses=[SoldOut]):
    """Order some pieces of a thing."""

    thing: str
    quantity: int


class Note(Command[Placed], name="shop.note"):
    """Needs no other service."""

    thing: str


class GetOffer(Query[Seen], name="shop.get_offer"):
    """Asks the store."""

    thing: str


class Circle(Command[Placed], name="shop.circle"):
    """Calls `store.circle`, which calls this."""


class CircleOn(Command[Placed], name="store.circle"):
    """Calls `shop.circle`, which calls this."""


def make_store() -> Service:
    """The service that is called."""
    store = Service("store")

    @store.handles(Reserve)
    def reserve(command: Reserve, work: Work) -> Reserved:
        if command.quantity > MOST:
            raise SoldOut
        values = {"thing": command.thing, "quantity": command.quantity}
        row_id = work.connection.execute(insert(reservation).values(values).returning(reservation.c.id)).scalar_one()
        return Reserved(id=row_id)

    @store.handles(Look)
    def look(query: Look, work: Work) -> Seen:
        call = work._calls[0]
        quantities = work.connection.execute(select(reservation.c.quantity).where(reservation.c.thing == query.thing))
        trace_id = call.trace.trace_id if call.trace else ""
        total = sum(quantities.scalars())
        return Seen(quantity=total, depth=call.depth, authorization=call.authorization, trace_id=trace_id)

    @store.handles(CircleOn, calls=[Circle])
    def circle_on(_command: CircleOn, work: Work) -> Placed:
        return work.call(Circle())

    return store


def make_shop(
    quantity_of: Callable[[PlaceOrder], int] = lambda command: command.quantity,
    after_call: Callable[[PlaceOrder, Work], None] = lambda _command, _work: None,
) -> Service:
    """The service that calls. `quantity_of` says how many to reserve for an order; `after_call` may raise."""
    shop = Service("shop")

    @shop.handles(PlaceOrder, calls=[Reserve])
    def place_order(command: PlaceOrder, work: Work) -> Placed:
        reserved = work.call(Reserve(thing=command.thing, quantity=quantity_of(command)))
        after_call(command, work)
        return _place(command.thing, reserved.id, work)

    @shop.handles(Note)
    def note(command: Note, work: Work) -> Placed:
        return _place(command.thing, 0, work)

    @shop.handles(GetOffer, calls=[Look])
    def get_offer(query: GetOffer, work: Work) -> Seen:
        return work.call(Look(thing=query.thing))

    @shop.handles(Circle, calls=[CircleOn])
    def circle(_command: Circle, work: Work) -> Placed:
        return work.call(CircleOn())

    return shop


def _place(thing: str, reservation_id: int, work: Work) -> Placed:
    values = {"thing": thing, "reservation_id": reservation_id}
    row_id = work.connection.execute(insert(placed).values(values).returning(placed.c.id)).scalar_one()
    return Placed(id=row_id, reservation_id=reservation_id)


class Desk:
    """Both services on the broker at `url`."""

    def __init__(self, url: str, folder: Path, limits: Limits, shop: Service | None = None) -> None:
        self._url, self._limits = url, limits
        self._services = {"shop": shop or make_shop(), "store": make_store()}
        self._workers: dict[str, Worker] = {}
        self.databases = {name: Database(f"sqlite:///{folder}/{name}.db") for name in self._services}
        for database in self.databases.values():
            migrate(database, "catalog.migrations")
            with database.transaction() as transaction:
                metadata.create_all(transaction.connection)
        self.client = Client(url, name="desk")

    def __enter__(self) -> Self:
        for name in self._services:
            self.start(name)
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self._workers]:
            self.stop(name)
        self.client.close()
        for database in self.databases.values():
            database.close()

    def start(self, name: str) -> None:
        """Start the worker of a service."""
        connect = partial(Client, self._url, name=f"{name}-calls")
        transport = transport_for(self._url, name)
        worker = Worker(self._services[name], transport, self.databases[name], self._limits, connect=connect)
        worker.start()
        assert transport.wait_until_ready(STOP_SECONDS)
        self._workers[name] = worker

    def stop(self, name: str) -> None:
        """Stop it in order."""
        self._workers.pop(name).stop(STOP_SECONDS)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The rows of a table of either service, in order."""
        database = self.databases["store" if table is reservation else "shop"]
        with database.reading() as transaction:
            rows = transaction.connection.execute(select(table).order_by(table.c.id)).all()
        return [{name: value for name, value in row._asdict().items() if name != "id"} for row in rows]


class Once:
    """A function that raises an error when it is first called, and does nothing after that."""

    def __init__(self, error: BaseException) -> None:
        self._error: BaseException | None = error
        self._lock = threading.Lock()
        self.times = 0

    def __call__(self, *_: object) -> None:
        with self._lock:
            self.times += 1
            error, self._error = self._error, None
        if error is not None:
            raise error
