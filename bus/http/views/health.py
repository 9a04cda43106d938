"""Health: whether a front end works, and whether its service answers."""

import msgspec
from flask import Response

from bus.contract.builtin import Pong, ping_of
from bus.contract.problems import Unavailable
from bus.http.context import client
from bus.http.relaying import json_response, relayed

# A service that does not answer within this time is not ready.
READY_SECONDS = 1.0


def live() -> Response:
    """200 until this process gives up its connection to the broker; then only a restart tries again."""
    if failure := client().failure:
        raise Unavailable("broker-away", str(failure))
    return json_response(200, {"status": "live"})


def ready(name: str) -> Response:
    """200 when a message went to the queue, a worker and the database, and back, and commands can be carried out."""
    reply = client().exchange(ping_of(name), b"{}", timeout=READY_SECONDS)
    response = relayed(reply)
    if response.status_code == 200 and (why := msgspec.json.decode(reply.body, type=Pong).commands_wait):
        raise Unavailable("database-away", why)
    return response
