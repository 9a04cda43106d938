"""Commands straight to a queue, with pika alone, as a program of somebody else would send them."""

import json
from collections.abc import Iterable

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError, UnroutableError

from bus.messaging.connect import transport_for
from bus.messaging.topology import DEFAULT_LIMITS, Limits, queues_of
from bus.messaging.transport import TransportOptions
from faults import faulty
from faults.load import key_of, product_named
from faults.queues import channel

OPEN_SECONDS = 60.0


def declare_faulty(url: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Declare the queues of the faulty service, as its worker would, before there is one."""
    transport = transport_for(url, "declares")
    transport.open(TransportOptions(declares=queues_of(faulty.service.operations.values(), limits)))
    assert transport.wait_until_ready(OPEN_SECONDS), "the queues are declared"
    transport.close(OPEN_SECONDS)


def publish(opened: BlockingChannel, queue: str, name: str, reply_to: str | None = None) -> None:
    """Publish the command that creates a product; its message id is the name's key."""
    key = key_of(name)
    properties = pika.BasicProperties(
        message_id=key, correlation_id=key, reply_to=reply_to, content_type="application/json", delivery_mode=2
    )
    opened.basic_publish("", queue, json.dumps(product_named(name)).encode(), properties, mandatory=True)


def send(url: str, queue: str, names: Iterable[str]) -> list[str]:
    """Publish a command for each name and wait for its confirm; the names that were confirmed."""
    confirmed = []
    with channel(url) as opened:
        opened.confirm_delivery()
        for name in names:
            try:
                publish(opened, queue, name)
            except (NackError, UnroutableError):
                continue
            confirmed.append(name)
    return confirmed
