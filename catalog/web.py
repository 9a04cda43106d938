"""The HTTP front end of the catalog; its routes are declared in the contract."""

from flask import Flask

from bus import Client
from bus.http import front_end
from catalog import contract


def create_app(client: Client) -> Flask:
    """Make the WSGI application; it calls the workers through this client."""
    return front_end("catalog", contract, client)
