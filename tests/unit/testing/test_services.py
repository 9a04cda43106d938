"""`bus.testing.running`: what authors test their services with, on the embedded broker and on real servers."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from feed.contract import ListEntries
from feed.main import application as feed
from orders.main import application as orders

from bus import Refused
from bus.testing import RunningServices, Servers, running
from catalog.contract import (
    CreateProduct,
    GetProduct,
    Product,
    ProductChanged,
    ProductCreated,
    ProductNotFound,
    ProductRemoved,
    StockChanged,
    UpdateProduct,
)
from catalog.main import application as catalog

pytest_plugins = ["bus.testing.fixtures"]

LAMP = CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3)


@pytest.fixture
def system(backend: Servers | None) -> Iterator[RunningServices]:
    with running(catalog, feed, servers=backend) as system:
        yield system


def test_services_run_and_fail_as_in_real_life(system: RunningServices) -> None:
    """One test, because the servers take longest."""
    first = system.call(LAMP, message_id="lamp-1")
    changed = system.wait_for(ProductChanged)
    assert (changed.id, changed.version) == (first.product.id, 1)

    # The same message again: the stored reply, and no second event.
    system.redeliver("lamp-1")
    assert system.call(LAMP, message_id="lamp-1") == first

    # Committed, but not answered: delivered again, answered from the inbox.
    system.fail_after_commit()
    second = system.call(LAMP, message_id="lamp-2")
    assert second.product.id != first.product.id
    assert system.wait_for(ProductChanged, lambda event: event.id > first.product.id).id == second.product.id

    # Undone, and run again.
    system.fail_before_commit()
    updated = system.call(UpdateProduct(product_id=first.product.id, quantity=2), message_id="lamp-3")
    assert updated.product.version == 2
    assert system.wait_for(ProductChanged, lambda event: event.version == 2).quantity == 2

    with pytest.raises(TimeoutError, match=r"catalog\.product_changed: not within 0 s"):
        system.wait_for(ProductChanged, seconds=0)
    assert [entry.version for entry in system.call(ListEntries()).entries] == [1, 1, 2]


def test_fakes_answer_for_services_that_do_not_run(backend: Servers | None) -> None:
    asked: list[int] = []

    def get_product(query: GetProduct) -> Product:
        asked.append(query.product_id)
        if query.product_id > 1:
            raise ProductNotFound
        return Product(id=query.product_id, name="Lamp", price=Decimal("9.90"), quantity=3, version=1, available=3)

    def create_product(command: CreateProduct) -> ProductCreated:
        return ProductCreated(product=get_product(GetProduct(product_id=1)))

    with running(fakes={GetProduct: get_product, CreateProduct: create_product}, servers=backend) as system:
        assert system.call(GetProduct(product_id=1)).name == "Lamp"
        with pytest.raises(ProductNotFound):
            system.call(GetProduct(product_id=2))
        assert system.call(LAMP, message_id="a") == system.call(LAMP, message_id="a")
    assert asked[:3] == [1, 2, 1]  # and perhaps once more: a duplicate may be carried out, and undone


def test_a_fake_that_fails_says_so_at_once() -> None:
    with running(fakes={GetProduct: lambda query: 1 / 0, CreateProduct: lambda command: command}) as system:
        with pytest.raises(Refused, match="The fake of GetProduct raised ZeroDivisionError: division by zero"):
            system.call(GetProduct(product_id=1))
        with pytest.raises(Refused, match="The fake of CreateProduct returned CreateProduct, not ProductCreated"):
            system.call(LAMP)


def test_a_service_that_needs_what_is_not_there_is_refused_at_once() -> None:
    with (
        pytest.raises(ValueError, match="has neither a service nor a fake") as refused,
        running(orders, fakes={GetProduct: lambda query: None}),
    ):
        pass
    assert str(refused.value).splitlines() == [
        "orders sends catalog.change_stock, which has neither a service nor a fake here.",
        "orders sends catalog.commit_reservation, which has neither a service nor a fake here.",
        "orders calls catalog.reserve_lines, which has neither a service nor a fake here.",
        "orders calls catalog.commit_reservation, which has neither a service nor a fake here.",
    ]


def test_a_listener_is_given_events_of_a_service_that_does_not_run(backend: Servers | None) -> None:
    event = ProductRemoved(id=7, version=2)
    with running(feed, servers=backend) as system:
        message_id = system.emit(event)
        system.redeliver(message_id)
        system.emit(event, message_id=message_id)
        system.fail_before_commit()
        system.emit(ProductRemoved(id=8, version=1))
        assert [(entry.id, entry.version) for entry in system.call(ListEntries()).entries] == [(7, 2), (8, 1)]
        with pytest.raises(ValueError, match=r"No service that runs in this test listens to catalog\.stock_changed"):
            system.emit(StockChanged(id=7, version=2, quantity=1, available=1, reason="sold"))


def test_what_never_came_cannot_come_again_and_what_does_not_run_sends_no_event() -> None:
    with running(fakes={GetProduct: lambda query: None}) as system:
        with pytest.raises(ValueError, match=r"No message with the id 'x' was delivered"):
            system.redeliver("x")
        with pytest.raises(ValueError, match=r"catalog.product_removed is not an event of a service that runs"):
            system.wait_for(ProductRemoved)
