"""A service whose handlers fail: the beginning of a product's name says how.

It keeps its products in the tables of the catalog, so that one census counts for both.
"""

import os
import sys
import time
from signal import SIGKILL

from flask import Flask
from sqlalchemy import insert

from bus.client.client import Client
from bus.contract.operations import Command, Reply
from bus.http import front_end
from bus.service.application import Application
from bus.service.service import Service
from bus.service.work import Work
from catalog.contract import Name, Price, Quantity
from catalog.tables import product

# Longer than a front end waits for an answer.
SLOW_SECONDS = 6.0
# As good as for ever: longer than any row.
HANGING_SECONDS = 3600.0


class Made(Reply):
    """A product was made."""

    id: int


class Make(Command[Made], name="faulty.make", http="POST /products", status=201):
    """Make a product, by the catalog's route. A name that begins with "slow", "hang" or "kill" does that first."""

    name: Name
    price: Price
    quantity: Quantity


service = Service("faulty")


@service.handles(Make)
def make(command: Make, work: Work) -> Made:
    """Behave as the name says."""
    _behave(command.name)
    row = {"name": command.name, "price": command.price, "quantity": command.quantity, "version": 1}
    return Made(id=work.connection.execute(insert(product).values(row).returning(product.c.id)).scalar_one())


def create_app(client: Client) -> Flask:
    """The front end."""
    return front_end("faulty", sys.modules[__name__], client)


application = Application(
    service=service, contract=sys.modules[__name__], web=create_app, migrations="catalog.migrations", port=5009
)


def _behave(name: str) -> None:
    if name.startswith("slow"):
        time.sleep(SLOW_SECONDS)
    elif name.startswith("hang"):
        time.sleep(HANGING_SECONDS)
    elif name.startswith("kill"):
        os.kill(os.getpid(), SIGKILL)
