"""The ping: the one operation every service has. Its answer went through the queue and the database."""

import types
from datetime import datetime
from functools import cache
from typing import Annotated

from msgspec import Meta

from bus.contract.operations import Query, Reply


class Pong(Reply):
    """`database` is the kind of database that answered, `time` the worker's clock, in UTC."""

    service: Annotated[str, Meta(examples=["catalog"])]
    database: Annotated[str, Meta(examples=["postgresql"])]
    time: datetime


@cache
def ping_of(service: str) -> type[Query[Pong]]:
    """The ping of a service: a query named `SERVICE.ping`, without fields."""
    body = {"__doc__": "Whether a worker of this service answers, and its database."}
    declared: type[Query[Pong]] = types.new_class(
        "Ping", (Query[Pong],), {"name": f"{service}.ping"}, lambda namespace: namespace.update(body)
    )
    return declared


def is_ping(queue: str) -> bool:
    """Whether a queue is that of a service's pings."""
    return queue.endswith(".ping")
