"""Service accounts on the embedded system: of orders beside a closed catalog, and of programs with roles of auth."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from orders.contract import CancelOrder, LineToOrder, PlaceOrder
from orders.main import application as orders
from sqlalchemy import select
from support.auth_over_http import address_of, bearer, code_of, json_of, tokens_of

from auth.contract import IssueServiceToken
from auth.main import application as auth
from auth.storage import service_accounts
from auth.tables import activity
from bus import Refused
from bus.database.engine import Database
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


def test_a_service_with_the_role_admin_administrates_and_introspects(
    http: FlaskClient, database: Database, name: str
) -> None:
    """Its id is no number, and it has no session. What it did has no `by_id`, as that is an account of a person."""
    admin = bearer(_token_of(http, database, f"nightly-{name}", ["admin"]))
    persons = tokens_of(http, name)
    user_id = persons["user"]["id"]
    imported = http.post("/users:import", json={"users": [_user(f"new-{name}")]}, headers=admin)
    assert json_of(imported)["results"][0]["status"] == 201
    assert json_of(http.post("/introspect", json={"token": persons["access_token"]}, headers=admin))["active"]
    roles = http.put(f"/users/{user_id}/roles", json={"roles": ["catalog:write"]}, headers=admin)
    assert json_of(roles)["roles"] == ["catalog:write"]
    for action in ("disable", "enable"):
        assert http.post(f"/users/{user_id}/{action}", json={}, headers=admin).status_code == 200
    done = select(activity.c.what).where(activity.c.user_id == user_id, activity.c.by_id.is_(None))
    with database.reading() as transaction:
        whats = list(transaction.connection.execute(done.order_by(activity.c.id)).scalars())
    assert whats[-3:] == ["roles_changed", "disabled", "enabled"]


def test_a_service_without_that_role_learns_of_its_own_token_alone_and_a_deleted_one_of_none(
    http: FlaskClient, database: Database, name: str
) -> None:
    own = _token_of(http, database, f"reports-{name}", [])
    asked = [own["access_token"], tokens_of(http, name)["access_token"]]
    found = [json_of(http.post("/introspect", json={"token": each}, headers=bearer(own))) for each in asked]
    assert [each["active"] for each in found] == [True, False]
    with database.transaction() as transaction:
        service_accounts.remove(transaction.connection, f"reports-{name}")
    answer = http.post("/introspect", json={"token": own["access_token"]}, headers=bearer(own))
    assert code_of(answer) == (401, "auth.session_over")


def _user(name: str) -> dict[str, str]:
    return {"username": name, "email": address_of(name)}


def _token_of(http: FlaskClient, database: Database, name: str, roles: list[str]) -> dict[str, Any]:
    with database.transaction() as transaction:
        secret = service_accounts.create(transaction.connection, name, roles)
    return json_of(http.post("/service-token", json={"client_id": name, "client_secret": secret}))
