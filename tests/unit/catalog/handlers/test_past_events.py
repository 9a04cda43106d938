"""Past events: a replay of all of them rebuilds the catalog, row by row, also when the outbox is long empty."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, json, structs
from sqlalchemy import Column, MetaData, Table, Text, delete, insert, select, update
from support.event_replays import replayed as sent_again

from bus import Service, Work
from bus.columns import Id
from bus.contract.codec import encode
from bus.contract.events import events_in
from bus.contract.operations import Operation
from bus.contract.operator.events import EventFilter
from bus.contract.validation import decode_event
from bus.database.engine import Database
from bus.database.event_replays import counted
from bus.database.migrate import migrate
from bus.database.tables import inbox, outbox
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.worker.background.scheduled import ScheduledTask
from bus.worker.execution import Executor
from catalog import contract
from catalog.contract import (
    ChangeStock,
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    PatchProduct,
    Product,
    ProductChanged,
    ProductRemoved,
    ProductRestored,
    ReleaseReservation,
    ReservationLine,
    ReserveLines,
    ReserveStock,
    RestoreProduct,
    StockChanged,
    UpdateProduct,
)
from catalog.handlers import catalog
from catalog.handlers.service import CatalogSettings
from catalog.storage.product_rows import is_live, product_of
from catalog.tables import history, product, reservation, reservation_line

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A listener that keeps a copy of the catalog, as its author would write it from the documents.

tables = MetaData()
copied = Table("copies", tables, Column("id", Id, primary_key=True), Column("body", Text, nullable=False))
copier = Service("copier")


@copier.on(ProductChanged)
def copy_changed(event: ProductChanged, work: Work) -> None:
    _put(event, work)


@copier.on(ProductRestored)
def copy_restored(event: ProductRestored, work: Work) -> None:
    _put(event, work)


@copier.on(ProductRemoved)
def copy_removed(event: ProductRemoved, work: Work) -> None:
    work.connection.execute(delete(copied).where(copied.c.id == event.id))


@copier.on(StockChanged)
def copy_stock(event: StockChanged, work: Work) -> None:
    body = work.connection.execute(select(copied.c.body).where(copied.c.id == event.id)).scalar_one()
    counts = {name: getattr(event, name) for name in ("quantity", "available", "version", "updated_at")}
    now = structs.replace(json.decode(body, type=Product), **counts)
    work.connection.execute(update(copied).where(copied.c.id == event.id).values(body=encode(now).decode()))


def _put(event: ProductChanged | ProductRestored, work: Work) -> None:
    work.connection.execute(delete(copied).where(copied.c.id == event.id))
    work.connection.execute(insert(copied).values(id=event.id, body=encode(event).decode()))


class Copy:
    """The listener's database. It takes events as a worker does: each id once."""

    def __init__(self, folder: Path) -> None:
        self._database = Database(f"sqlite:///{folder}/copy.db")
        migrate(self._database, None)
        with self._database.transaction() as transaction:
            tables.create_all(transaction.connection)

    def close(self) -> None:
        self._database.close()

    def clear(self) -> None:
        with self._database.transaction() as transaction:
            for table in (copied, inbox):
                transaction.connection.execute(delete(table))

    def take(self, messages: Sequence[Message]) -> None:
        known = {each.operation.operation_name: each.operation for each in copier.listeners.values()}
        calls = []
        for message in messages:
            operation: Any = known[str(message.type)]
            calls.append(Call(operation, decode_event(message.body, operation), message.message_id, kind="event"))
        for start in range(0, len(calls), 100):
            replies = Executor(copier.listeners, self._database).execute_in_order(calls[start : start + 100])
            assert [getattr(each, "status", each) for each in replies] == [204] * len(calls[start : start + 100])

    def products(self) -> list[Product]:
        with self._database.reading() as transaction:
            bodies = transaction.connection.execute(select(copied.c.body).order_by(copied.c.id)).scalars().all()
        return [json.decode(body, type=Product) for body in bodies]


@pytest.fixture
def copy(tmp_path: Path) -> Any:
    made = Copy(tmp_path)
    yield made
    made.close()


def _products(database: Database) -> list[Product]:
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(product).order_by(product.c.id)).all()
    return [product_of(row) for row in rows if is_live(row)]


def _replayed(database: Database, since: datetime = EPOCH, **chosen: Any) -> list[Message]:
    return sent_again(database, EventFilter(since=since, **chosen), catalog.past, most=7)


def _count(database: Database) -> int:
    with database.reading() as transaction:
        return counted(transaction.connection, EventFilter(since=EPOCH), catalog.past).total


def _in_outbox(database: Database) -> list[tuple[str, str, bytes]]:
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(outbox).order_by(outbox.c.id)).all()
    return [(row.event_id, row.name, bytes(row.body)) for row in rows]


def _empty_outbox(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(delete(outbox))


def _clear(database: Database) -> None:
    with database.transaction() as transaction:
        for table in (reservation_line, reservation, history, product, outbox, inbox):
            transaction.connection.execute(delete(table))


def _do(database: Database, *commands: Operation[Any]) -> list[int]:
    replies = Executor(catalog.handlers, database).execute([Call(type(each), each, None) for each in commands])
    return [getattr(each, "status", 500) for each in replies]


def _run(database: Database, name: str) -> None:
    ScheduledTask(catalog.periodic[f"catalog.{name}"], database, lambda: None).run_once()


def _expire(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(update(reservation).values(expires_ms=0))
    _run(database, "expire_reservations")


def _lamp(**fields: Any) -> CreateProduct:
    return CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=5, **fields)


# The ids of the products and reservations that a command means are places among those that there are.
PLACES = st.integers(0, 5)
SKUS = st.sampled_from(["A", "B", "C", None, UNSET])
PRICES = st.decimals(0, 1000, places=2)
PIECES = st.integers(1, 4)
STEPS = st.one_of(
    st.builds(
        CreateProduct,
        name=st.text("äbc ", min_size=1, max_size=3).map(lambda text: f"x{text}"),
        price=PRICES,
        quantity=st.integers(0, 20),
        sku=SKUS,
        tags=st.sampled_from([UNSET, ["a"], ["b", "a"]]),
        description=st.sampled_from([UNSET, "Bright.\nVery."]),
        attributes=st.sampled_from([UNSET, {"watts": 7.5, "is_new": True}]),
    ),
    st.builds(UpdateProduct, product_id=PLACES, price=PRICES, quantity=st.integers(0, 20), sku=SKUS),
    st.builds(PatchProduct, product_id=PLACES, attributes=st.sampled_from([UNSET, None, {"watts": None, "a": "b"}])),
    st.builds(ChangeStock, product_id=PLACES, change=st.integers(-5, 9), reason=st.sampled_from(["sold", "counted"])),
    st.builds(ReserveStock, product_id=PLACES, quantity=PIECES),
    st.builds(
        ReserveLines,
        lines=st.lists(st.builds(ReservationLine, product_id=PLACES, quantity=PIECES), min_size=1, max_size=3),
    ),
    st.builds(CommitReservation, reservation_id=PLACES),
    st.builds(ReleaseReservation, reservation_id=PLACES),
    st.builds(DeleteProduct, product_id=PLACES),
    st.builds(RestoreProduct, product_id=PLACES),
    st.sampled_from(["expire", "purge", "empty the outbox"]),
)


def _meant(step: Any, products: Sequence[int], reservations: Sequence[int]) -> Any:
    """The command with ids that exist, as long as there are any."""

    def at(place: int, ids: Sequence[int]) -> int:
        return ids[place % len(ids)] if ids else place

    if isinstance(step, (CommitReservation, ReleaseReservation)):
        return structs.replace(step, reservation_id=at(step.reservation_id, reservations))
    if isinstance(step, ReserveLines):
        lines = [structs.replace(each, product_id=at(each.product_id, products)) for each in step.lines]
        return structs.replace(step, lines=lines)
    return step if isinstance(step, CreateProduct) else structs.replace(step, product_id=at(step.product_id, products))


def _ids(database: Database, table: Table) -> list[int]:
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(table.c.id).order_by(table.c.id)).scalars())


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(STEPS, min_size=1, max_size=6), min_size=1, max_size=8))
def test_a_replay_of_all_events_rebuilds_the_catalog(
    either_database: Database, copy: Copy, batches: list[list[Any]]
) -> None:
    database, emitted = either_database, dict[str, tuple[str, bytes]]()
    _clear(database)
    copy.clear()
    catalog.settings = CatalogSettings(keep_deleted_days=0)
    try:
        for batch in batches:
            products, reservations = _ids(database, product), _ids(database, reservation)
            commands = [_meant(each, products, reservations) for each in batch if not isinstance(each, str)]
            if commands:
                assert 500 not in _do(database, *commands)
            for each in batch:
                if each == "expire":
                    _expire(database)
                elif each == "purge":
                    _run(database, "purge_products")
                emitted |= {id_: (name, body) for id_, name, body in _in_outbox(database)}
                if each == "empty the outbox":
                    _empty_outbox(database)
    finally:
        catalog.settings = CatalogSettings()
    _empty_outbox(database)
    replayed = _replayed(database)
    assert _count(database) == len(replayed)
    for message in replayed:
        assert emitted[str(message.message_id)] == (message.type, message.body), "the same id, and the same bytes"
    copy.take(replayed)
    assert copy.products() == _products(database)
    copy.take(replayed)
    assert copy.products() == _products(database), "a second replay has no effect"


def test_a_replay_gives_the_events_of_the_outbox_once(either_database: Database, copy: Copy) -> None:
    _do(either_database, _lamp(), _lamp(), UpdateProduct(product_id=1, quantity=3), DeleteProduct(product_id=2))
    kept = _in_outbox(either_database)
    replayed = _replayed(either_database)
    assert [(each.message_id, each.type, each.body) for each in replayed] == kept
    copy.take([Message(queue="", message_id=id_, type=name, body=body) for id_, name, body in kept])
    copy.take(replayed)
    assert [each.quantity for each in copy.products()] == [3]


def test_a_listener_that_missed_the_removal_of_a_purged_product_gets_it(
    either_database: Database, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "settings", CatalogSettings(keep_deleted_days=0))
    _do(either_database, _lamp(), _lamp())
    copy.take(_replayed(either_database))
    _do(either_database, DeleteProduct(product_id=1))
    _run(either_database, "purge_products")
    _empty_outbox(either_database)
    copy.take(_replayed(either_database))
    assert copy.products() == _products(either_database)
    assert [each.id for each in copy.products()] == [2]


def test_a_replay_takes_only_events_of_its_time_and_name(either_database: Database) -> None:
    _do(either_database, _lamp(), ChangeStock(product_id=1, change=1, reason="found"))
    with either_database.transaction() as transaction:
        (first, _) = transaction.connection.execute(select(history.c.updated_ms).order_by(history.c.id)).scalars()
        changes = {"updated_ms": first - 60_000}
        transaction.connection.execute(update(history).where(history.c.version == 1).values(changes))
    between = EPOCH + timedelta(milliseconds=first - 30_000)
    assert [each.type for each in _replayed(either_database, between)] == ["catalog.stock_changed"]
    assert [each.type for each in _replayed(either_database, until=between)] == ["catalog.product_changed"]
    assert [each.type for each in _replayed(either_database, name="catalog.stock_changed")] == ["catalog.stock_changed"]
    assert _replayed(either_database, name="catalog.product_removed") == []


def test_all_events_of_the_contract_are_in_the_history() -> None:
    assert catalog.past is not None
    assert catalog.past.names == {each.operation_name for each in events_in(contract)}
