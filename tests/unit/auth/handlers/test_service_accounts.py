"""Service accounts: orders beside a closed catalog, with its own account, on the embedded system."""

from decimal import Decimal
from pathlib import Path

import pytest
from orders.contract import CancelOrder, LineToOrder, PlaceOrder
from orders.main import application as orders

from auth.contract import IssueServiceToken
from auth.main import application as auth
from auth.storage import service_accounts
from bus import Refused
from bus.testing import Servers, running, wait_until
from bus.testing.databases import migrated
from catalog.contract import ChangeStock, CreateProduct, GetProduct
from catalog.handlers.service import CatalogSettings
from catalog.main import application as catalog

WAIT_SECONDS = 60.0


def test_at_a_closed_catalog_a_shop_orders_in_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its account may change the stock. Its customers have no account."""
    places = [f"sqlite:///{tmp_path}/{name}.db" for name in ("auth", "catalog", "orders")]
    accounts = migrated(places[0], "auth.migrations")
    with accounts.transaction() as transaction:
        secret = service_accounts.create(transaction.connection, "orders", ["catalog:write"])
    accounts.close()
    monkeypatch.setattr(catalog.service, "settings", CatalogSettings(open=False))
    monkeypatch.setattr(orders.service, "client_secret", secret)
    servers = Servers(f"memory://{tmp_path.name}", iter(places).__next__)
    with running(auth, catalog, orders, servers=servers) as system:

        def wait_for_stock(pieces: int) -> None:
            """Until so many pieces are there, and none of them is reserved."""
            wait_until(lambda: stock() == (pieces, pieces), WAIT_SECONDS, f"there are {pieces} pieces")

        def stock() -> tuple[int, int]:
            product = system.call(GetProduct(product_id=lamp))
            return product.quantity, product.available

        token = system.call(IssueServiceToken(client_id="orders", client_secret=secret)).access_token
        lamp = system.call(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=5), token=token).product.id
        with pytest.raises(Refused, match="access token"):
            system.call(ChangeStock(product_id=lamp, change=1, reason="found"))
        placed = system.call(PlaceOrder(lines=[LineToOrder(product_id=lamp, quantity=2)]))
        wait_for_stock(3)
        system.call(CancelOrder(order_id=placed.id))
        wait_for_stock(5)
