"""The thin front end of auth: its routes stand in the contract."""

from flask import Flask

from auth import contract
from bus import Client
from bus.http import front_end


def create_app(client: Client) -> Flask:
    """The front end as a WSGI application."""
    return front_end("auth", contract, client)
