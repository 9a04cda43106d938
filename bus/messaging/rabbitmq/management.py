"""The management API of a broker: what AMQP does not show, the bindings and the policies of our queues."""

import base64
import http.client
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from bus.messaging.broker_url import BrokerUrl
from bus.messaging.declarations import bindings_of
from bus.messaging.topology import Queue

# Where RabbitMQ's plugin listens unless it is configured otherwise, for each scheme of the broker's URL.
PORTS = {"amqp": 15672, "amqps": 15671}
ANSWER_SECONDS = 5.0
# A policy with one of these has the broker drop, or move elsewhere, what it has confirmed.
_DROPPING = ("message-ttl", "expires", "delivery-limit", "dead-letter-exchange", "dead-letter-routing-key")
_BOUNDS = ("max-length", "max-length-bytes")
_REFUSE = "reject-publish"


class ManagementUnavailable(Exception):
    """The API is not there, or does not let this user in. The message says which, and what to do."""


class _Queue(msgspec.Struct):
    name: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    policy: str | None = None
    operator_policy: str | None = None
    effective_policy_definition: dict[str, Any] | list[Any] | None = None


class _Binding(msgspec.Struct):
    source: str
    destination: str
    routing_key: str


def hidden_differences(broker: BrokerUrl, queues: Sequence[Queue]) -> list[str]:
    """Bindings that are missing, and policies that could lose messages: one sentence for each.

    Raises ManagementUnavailable.
    """
    bound = {(each.destination, each.source, each.routing_key) for each in _ask(broker, "bindings", list[_Binding])}
    there = {queue.name: queue for queue in _ask(broker, "queues", list[_Queue])}
    found = [
        f"The binding of {each.queue} to {each.exchange} with the key {each.key!r} is missing."
        for queue in queues
        if queue.name in there
        for each in bindings_of(queue)
        if (each.queue, each.exchange, each.key) not in bound
    ]
    return found + [fault for queue in queues if queue.name in there for fault in _policy_faults(there[queue.name])]


def _policy_faults(queue: _Queue) -> Iterator[str]:
    shown = queue.effective_policy_definition
    definition = shown if isinstance(shown, dict) else {}  # an empty one comes as a list
    names = " and ".join(filter(None, (queue.policy, queue.operator_policy)))
    refuses = (queue.arguments.get("x-overflow") or definition.get("overflow")) == _REFUSE
    for key in (*_DROPPING, *(() if refuses else _BOUNDS)):
        if key in definition:
            given = f"{queue.name} has the policy {names} with {key} {definition[key]!r}"
            yield f"{given}: it may drop what was confirmed. Change its pattern."


def _ask(broker: BrokerUrl, what: str, kind: type[Any]) -> Any:
    host, port, context = broker.host, PORTS[broker.scheme], broker.tls_context()
    connection = (
        http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
        if context is None
        else http.client.HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)
    )
    user = base64.b64encode(f"{broker.user}:{broker.password}".encode()).decode()
    where = f"the management API at {host}:{port}"
    try:
        connection.request(
            "GET", f"/api/{what}/{quote(broker.vhost, safe='')}", headers={"Authorization": f"Basic {user}"}
        )
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ManagementUnavailable(f"{where} cannot be reached: {reason}") from None
    finally:
        connection.close()
    if answer.status in (401, 403):
        raise ManagementUnavailable(f"{where} does not let this user in. Give it the tag `monitoring`")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        raise ManagementUnavailable(f"{where} answers {answer.status}, and nothing that it would say") from None
