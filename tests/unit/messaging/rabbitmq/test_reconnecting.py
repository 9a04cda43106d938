"""Reconnecting: which refusals of the broker are for good."""

import pytest
from pika.exceptions import ConnectionClosedByBroker, ProbableAccessDeniedError

from bus.messaging.rabbitmq.reconnecting import why_permanent

LIMIT = "NOT_ALLOWED - access to vhost 'x' refused for user 'u': connection limit (1) is reached"
DOWN = "NOT_ALLOWED - access to vhost 'x' refused for user 'u': vhost 'x' is down"
MISSING = "NOT_ALLOWED - vhost x not found"


@pytest.mark.parametrize("words", [LIMIT, DOWN])
def test_a_limit_or_a_virtual_host_that_starts_is_tried_again(words: str) -> None:
    closed = ConnectionClosedByBroker(530, words)
    assert why_permanent(closed) == ""
    assert why_permanent(ProbableAccessDeniedError(repr(closed))) == ""


def test_a_virtual_host_that_does_not_exist_is_not() -> None:
    closed = ConnectionClosedByBroker(530, MISSING)
    assert why_permanent(closed) == f"RabbitMQ refuses the connection: {MISSING}"
    assert "refuses this user name" in why_permanent(ProbableAccessDeniedError(repr(closed)))
