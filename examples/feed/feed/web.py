"""The thin front end of feed: its routes stand in the contract."""

from bus import Client
from bus.http import front_end
from flask import Flask

from feed import contract


def create_app(client: Client) -> Flask:
    """The front end as a WSGI application."""
    return front_end("feed", contract, client)
