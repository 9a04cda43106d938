"""The thin front end of the catalog: its routes stand in the contract."""

from flask import Flask

from bus import Client
from bus.http import front_end
from catalog import contract


def create_app(client: Client) -> Flask:
    """The front end as a WSGI application."""
    return front_end("catalog", contract, client)
