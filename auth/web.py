"""The HTTP front end of auth; its routes are declared in the contract."""

from flask import Flask

from auth import contract
from bus import Client
from bus.http import front_end


def create_app(client: Client) -> Flask:
    """Make the WSGI application; it calls the workers through this client."""
    return front_end("auth", contract, client)
