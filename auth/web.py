"""The thin front end of auth."""

from flask import Blueprint, Flask, Response

from auth import contract
from auth.contract import Register
from bus.client import Client
from bus.flask import front_end, relay

routes = Blueprint("auth", __name__)


def create_app(client: Client) -> Flask:
    """The front end as a WSGI application."""
    return front_end("auth", contract, routes, client)


@routes.post("/register")
def register() -> Response:
    return relay(Register)
