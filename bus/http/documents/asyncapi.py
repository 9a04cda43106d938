"""AsyncAPI 3.0: the queues of a service with their replies, its events and its dead letters, and what it calls."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import msgspec

from bus.contract.events import Event
from bus.contract.installed import calls_of
from bus.contract.operations import Operation
from bus.contract.problems import Problem
from bus.http.documents.asyncapi_messages import dead_letter_message, event_message, reply_messages, request_message
from bus.http.documents.description import Described, words
from bus.http.documents.schemas import Schemas
from bus.http.documents.security import queue_security
from bus.messaging.message import JSON
from bus.messaging.topology import EVENTS_EXCHANGE, Queue, dead_letter_queue, queue_of

ASYNCAPI = "3.0.0"
# The version of the bindings for AMQP 0-9-1.
BINDING = "0.3.0"
# The delivery modes of AMQP: commands are kept on disk; queries and transient commands are not.
PERSISTENT, TRANSIENT = 2, 1

# In an operation that is a call of another service: the service's own operations whose handlers make it.
CALLED_BY = "x-called-by"

_REPLY_TO = "The property `reply_to`: a queue whose name marks it as a reply queue."


def asyncapi(
    name: str, contract: ModuleType, calls: Mapping[str, Sequence[type[Operation[Any]]]] | None = None
) -> dict[str, Any]:
    """The document of the queues and events of a service. `receive` means that the service receives the message.

    `calls` are what its handlers call of other services, by the names of their own operations (None: what those of
    the installed service call).
    """
    described = Described(name, contract)
    callers = _callers(calls_of(name) if calls is None else calls)
    requests = [*described.operations, *callers]
    outputs: list[type[msgspec.Struct]] = [Problem, *described.events]
    outputs += [operation.reply_type for operation in requests]
    schemas = Schemas(requests, outputs)
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for operation in described.operations:
        channels |= _channels_of(operation, schemas)
        operations[operation.operation_name] = _receiving(operation, list(reply_messages(operation, schemas)))
    for event in described.events:
        channels[event.operation_name] = _event_channel(event, schemas)
        operations[event.operation_name] = _sending(event.operation_name, words(event))
    for called, handlers in callers.items():
        channels |= _channels_of(called, schemas)
        operations[f"{called.operation_name}.call"] = _calling(called, list(reply_messages(called, schemas)), handlers)
    dead = dead_letter_queue(name)
    channels[dead.name] = _queue_channel(dead, {"letter": dead_letter_message()})
    operations[dead.name] = _sending(dead.name, {"summary": "Messages that could not be handled."})
    return {
        "asyncapi": ASYNCAPI,
        "info": _info(described),
        "defaultContentType": JSON,
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas.components},
    }


def _info(described: Described) -> dict[str, Any]:
    """The info object of AsyncAPI has no summary, so it becomes part of the description."""
    info = described.info()
    description = "\n\n".join(info.pop(name) for name in ("summary", "description") if name in info)
    return {**info, "description": description} if description else info


def _channels_of(operation: type[Operation[Any]], schemas: Schemas) -> dict[str, Any]:
    """The operation's queue, and the reply queue, whose name each caller chooses."""
    reply = {
        "address": None,
        "description": "The reply queue that the request names.",
        "messages": reply_messages(operation, schemas),
    }
    name = operation.operation_name
    return {
        name: _queue_channel(queue_of(operation), {"request": request_message(operation, schemas)}),
        f"{name}.reply": reply,
    }


def _queue_channel(queue: Queue, messages: dict[str, Any]) -> dict[str, Any]:
    declared = {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False}
    amqp = {"is": "queue", "queue": declared, "bindingVersion": BINDING}
    return {"address": queue.name, "messages": messages, "bindings": {"amqp": amqp}}


def _event_channel(event: type[Event], schemas: Schemas) -> dict[str, Any]:
    exchange = {"name": EVENTS_EXCHANGE, "type": "topic", "durable": True, "autoDelete": False}
    amqp = {"is": "routingKey", "exchange": exchange, "bindingVersion": BINDING}
    messages = {"event": event_message(event, schemas)}
    return {"address": event.operation_name, "messages": messages, "bindings": {"amqp": amqp}}


def _callers(calls: Mapping[str, Sequence[type[Operation[Any]]]]) -> dict[type[Operation[Any]], list[str]]:
    """The operations that are called, each with the names of those whose handlers call it."""
    callers: dict[type[Operation[Any]], list[str]] = {}
    for name, called in calls.items():
        for operation in called:
            callers.setdefault(operation, []).append(name)
    return callers


def _calling(operation: type[Operation[Any]], replies: list[str], callers: list[str]) -> dict[str, Any]:
    return {"action": "send", **_asking(operation, replies), CALLED_BY: callers}


def _receiving(operation: type[Operation[Any]], replies: list[str]) -> dict[str, Any]:
    return {"action": "receive", **_asking(operation, replies)}


def _asking(operation: type[Operation[Any]], replies: list[str]) -> dict[str, Any]:
    """A request and its replies, which look the same from both sides."""
    channel = operation.operation_name
    mode = PERSISTENT if operation.is_durable else TRANSIENT
    return {
        "channel": _channel(channel),
        **words(operation),
        # The delivery mode tells commands from the others.
        **({"tags": [{"name": "transient command"}]} if operation.operation_kind == "transient" else {}),
        **queue_security(operation),
        "messages": [_message(channel, "request")],
        "reply": {
            "address": {"location": "$message.header#/reply_to", "description": _REPLY_TO},
            "channel": _channel(f"{channel}.reply"),
            "messages": [_message(f"{channel}.reply", name) for name in replies],
        },
        "bindings": {"amqp": {"deliveryMode": mode, "mandatory": True, "ack": True, "bindingVersion": BINDING}},
    }


def _sending(channel: str, about: dict[str, Any]) -> dict[str, Any]:
    name = "letter" if channel.endswith(".dead") else "event"
    return {
        "action": "send",
        "channel": _channel(channel),
        **about,
        "messages": [_message(channel, name)],
        "bindings": {"amqp": {"deliveryMode": PERSISTENT, "bindingVersion": BINDING}},
    }


def _channel(name: str) -> dict[str, Any]:
    return {"$ref": f"#/channels/{name}"}


def _message(channel: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/channels/{channel}/messages/{name}"}
