"""The ping: the one operation every service has. Its answer went through the queue and the database."""

import types
from functools import cache

from bus.operation import Query, Reply


class Pong(Reply):
    """`database` is the kind of database that answered."""

    service: str
    database: str


@cache
def ping_of(service: str) -> type[Query[Pong]]:
    """The ping of a service: a query named `SERVICE.ping`, without fields."""
    body = {"__doc__": "Whether a worker of this service answers, and its database."}
    declared: type[Query[Pong]] = types.new_class(
        "Ping", (Query[Pong],), {"name": f"{service}.ping"}, lambda namespace: namespace.update(body)
    )
    return declared
