"""The HTTP front end of orders; its routes are declared in the contract."""

from bus import Client
from bus.http import front_end
from flask import Flask

from orders import contract


def create_app(client: Client) -> Flask:
    """Make the WSGI application; it calls the workers through this client."""
    return front_end("orders", contract, client)
