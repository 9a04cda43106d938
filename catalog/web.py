"""The thin front end of the catalog."""

from flask import Blueprint, Flask, Response

from bus.client import Client
from bus.flask import front_end, relay
from catalog import contract
from catalog.contract import CreateProduct, DeleteProduct, GetProduct, ListProducts, UpdateProduct

routes = Blueprint("catalog", __name__)


def create_app(client: Client) -> Flask:
    """The front end as a WSGI application."""
    return front_end("catalog", contract, routes, client)


@routes.post("/products")
def create_product() -> Response:
    return relay(CreateProduct)


@routes.get("/products")
def list_products() -> Response:
    return relay(ListProducts)


@routes.get("/products/<int:product_id>")
def get_product(product_id: int) -> Response:
    return relay(GetProduct, product_id=product_id)


@routes.put("/products/<int:product_id>")
def update_product(product_id: int) -> Response:
    return relay(UpdateProduct, product_id=product_id)


@routes.delete("/products/<int:product_id>")
def delete_product(product_id: int) -> Response:
    return relay(DeleteProduct, product_id=product_id)
