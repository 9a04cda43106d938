"""Health: whether a front end lives, and whether its service answers."""

from flask import Response

from bus.contract.builtin import ping_of
from bus.contract.problems import Unavailable
from bus.http.context import client
from bus.http.relaying import json_response, relayed

# A readiness check that takes longer is a no.
READY_SECONDS = 1.0


def live() -> Response:
    """Live means that another start of this process would be no better."""
    if failure := client().failure:
        raise Unavailable("broker-away", str(failure))
    return json_response(200, {"status": "live"})


def ready(name: str) -> Response:
    """Ready means that a message went through the queue and the database and back."""
    return relayed(client().exchange(ping_of(name), b"{}", timeout=READY_SECONDS))
