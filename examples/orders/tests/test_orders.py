"""Orders beside the catalog, in the process of their test: what is ordered is taken from the stock once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from bus import Invalid, Refusal
from bus.testing import RunningServices, Servers, running, wait_until
from catalog.contract import (
    ChangeStock,
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    GetProduct,
    InsufficientStock,
    Product,
    ProductNotFound,
    Reservation,
    ReservationEnded,
    ReservationExpired,
    ReserveLines,
    StockUpdated,
)
from catalog.main import application as catalog
from msgspec import structs

from orders.contract import (
    CancelOrder,
    GetOrder,
    LineToOrder,
    ListOrders,
    OrderCancelled,
    OrderNotFound,
    OrderPlaced,
    PlaceOrder,
)
from orders.main import application
from orders.web import create_app

pytest_plugins = ["bus.testing.fixtures"]

CLIENTS = 100
PIECES = 10


@pytest.fixture
def system() -> Iterator[RunningServices]:
    with running(catalog, application) as system:
        yield system


def test_an_order_has_the_names_and_prices_of_its_products(system: RunningServices) -> None:
    lamp, desk = _product(system, "Lamp", "9.90", 5), _product(system, "Desk", "120", 5)
    placed = system.call(_order((lamp, 2), (desk, 1)))
    assert [(line.product_id, line.name, line.unit_price, line.quantity) for line in placed.lines] == [
        (lamp, "Lamp", Decimal("9.90"), 2),
        (desk, "Desk", Decimal("120.00"), 1),
    ]
    assert (placed.total, placed.status) == (Decimal("139.80"), "placed")
    assert system.call(GetOrder(order_id=placed.id)) == placed
    assert system.wait_for(OrderPlaced).lines == placed.lines
    _wait_for_stock(system, lamp, 3)


def test_orders_are_placed_and_read_over_http(system: RunningServices) -> None:
    lamp = _product(system, "Lamp", "9.90", 5)
    http = create_app(system).test_client()
    created: Any = http.post("/orders", json={"lines": [{"product_id": lamp, "quantity": 2}]})
    assert (created.status_code, created.json["total"]) == (201, 19.8)
    assert http.get(created.headers["Location"]).json == created.json
    for _ in range(2):
        http.post("/orders", json={"lines": [{"product_id": lamp, "quantity": 1}]})
    first: Any = http.get("/orders?limit=2").json
    second: Any = http.get(first["next"]).json
    assert [order["id"] for page in (first, second) for order in page["orders"]] == [1, 2, 3]
    assert second["next"] is None
    twice: Any = http.post("/orders", json={"lines": [{"product_id": lamp, "quantity": 1}] * 2})
    assert (twice.status_code, twice.json["errors"][0]["pointer"]) == (422, "/lines/1/product_id")


def test_what_cannot_be_delivered_is_refused_and_takes_nothing(system: RunningServices) -> None:
    lamp, desk = _product(system, "Lamp", "9.90", 5), _product(system, "Desk", "120", 1)
    with pytest.raises(InsufficientStock):
        system.call(_order((lamp, 1), (desk, 2)))
    with pytest.raises(ProductNotFound):
        system.call(_order((lamp, 1), (4711, 1)))
    with pytest.raises(OrderNotFound):
        system.call(GetOrder(order_id=1))
    with pytest.raises(Invalid):
        system.call(_order())
    assert _stock(system, lamp) == (5, 5)
    assert system.call(ListOrders()).orders == []


def test_whatever_goes_wrong_an_order_is_written_once_and_takes_its_pieces_once(system: RunningServices) -> None:
    lamp = _product(system, "Lamp", "9.90", 9)
    system.fail_before_commit()  # the handler runs again, after the pieces were reserved
    placed = system.call(_order((lamp, 2)), message_id="order-1")
    system.redeliver("order-1")
    assert system.call(_order((lamp, 2)), message_id="order-1") == placed
    assert system.call(ListOrders()).orders == [placed]
    _wait_for_stock(system, lamp, 7)


def test_a_cancelled_order_gives_its_pieces_back_once(system: RunningServices) -> None:
    lamp, desk = _product(system, "Lamp", "9.90", 9), _product(system, "Desk", "120", 1)
    placed = system.call(_order((lamp, 2), (desk, 1)))
    system.call(DeleteProduct(product_id=desk))
    system.fail_before_commit()  # the handler runs again
    cancelled = system.call(CancelOrder(order_id=placed.id), message_id="cancel-1")
    assert cancelled == structs.replace(placed, status="cancelled")
    system.redeliver("cancel-1")
    assert system.call(CancelOrder(order_id=placed.id)) == cancelled == system.call(GetOrder(order_id=placed.id))
    _wait_for_stock(system, lamp, 9)
    assert system.wait_for(OrderCancelled).version == 2
    with pytest.raises(OrderNotFound):
        system.call(CancelOrder(order_id=4711))


def test_an_order_whose_pieces_were_held_too_short_is_cancelled() -> None:
    with running(application, fakes=_fakes([], refuses=ReservationExpired())) as system:
        placed = system.call(_order((1, 2)))
        assert system.wait_for(OrderCancelled).lines == placed.lines
        assert system.call(GetOrder(order_id=placed.id)).status == "cancelled"


def test_a_hundred_clients_on_ten_pieces_get_ten(backend: Servers | None) -> None:
    with running(catalog, application, servers=backend) as system:
        lamp = _product(system, "Lamp", "9.90", PIECES)

        def place(_: int) -> bool:
            try:
                system.call(_order((lamp, 1)), timeout=30)
            except InsufficientStock:
                return False
            return True

        with ThreadPoolExecutor(CLIENTS) as clients:
            assert sum(clients.map(place, range(CLIENTS))) == PIECES
        _wait_for_stock(system, lamp, 0)
        assert len(system.call(ListOrders(limit=500)).orders) == PIECES


def test_the_catalog_is_asked_the_same_in_each_run() -> None:
    asked: list[ReserveLines] = []
    with running(application, fakes=_fakes(asked)) as system:
        system.fail_before_commit()
        assert system.call(_order((1, 2))).total == Decimal("19.80")
    assert all(command == asked[0] for command in asked)


def _fakes(asked: list[ReserveLines], refuses: Refusal | None = None) -> dict[Any, Any]:
    """Fakes of the catalog. `asked` gets what it is asked to reserve; `refuses` is its answer to a commit, if any."""

    def product(query: GetProduct) -> Product:
        return Product(id=query.product_id, name="Lamp", price=Decimal("9.90"), quantity=3, available=3, version=1)

    def reserve(command: ReserveLines) -> Reservation:
        asked.append(command)
        return Reservation(id=7, lines=[], expires_at=datetime.now(UTC), state="held")

    def commit(command: CommitReservation) -> ReservationEnded:
        if refuses is not None:
            raise refuses
        ended = Reservation(id=command.reservation_id, lines=[], expires_at=datetime.now(UTC), state="committed")
        return ReservationEnded(reservation=ended, message="")

    def change(command: ChangeStock) -> StockUpdated:
        return StockUpdated(product=product(GetProduct(product_id=command.product_id)))

    return {GetProduct: product, ReserveLines: reserve, CommitReservation: commit, ChangeStock: change}


def _order(*lines: tuple[int, int]) -> PlaceOrder:
    return PlaceOrder(lines=[LineToOrder(product_id=product, quantity=quantity) for product, quantity in lines])


def _product(system: RunningServices, name: str, price: str, quantity: int) -> int:
    return system.call(CreateProduct(name=name, price=Decimal(price), quantity=quantity)).product.id


def _wait_for_stock(system: RunningServices, product_id: int, pieces: int) -> None:
    """Until so many pieces are there, and none of them is reserved."""
    wait_until(lambda: _stock(system, product_id) == (pieces, pieces), 30, f"there are {pieces} pieces")


def _stock(system: RunningServices, product_id: int) -> tuple[int, int]:
    """How many pieces there are, and how many of them are available."""
    product = system.call(GetProduct(product_id=product_id))
    return product.quantity, product.available
