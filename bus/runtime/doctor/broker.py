"""Checks of the broker: its version, queues, exchanges, bindings and policies, our permissions, how full queues are."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bus.contract.operations import service_of
from bus.messaging.topology import EVENTS_EXCHANGE, REQUEST_KINDS, REQUESTS_EXCHANGE, RETRIED, UNROUTABLE, Queue
from bus.runtime.doctor.findings import Finding, ok, unknown, wrong
from bus.service.handler import Handler

if TYPE_CHECKING:
    from bus.messaging.rabbitmq import Inspection

# RabbitMQ's default exchange has no name; commands and replies are published to it.
DEFAULT_EXCHANGE = ""
OLDEST_VERSION = (3, 10)
# A queue above this share of its bound is reported.
NEARLY_FULL = 0.8


def broker_findings(inspection: "Inspection", queues: Sequence[Queue]) -> Iterator[Finding]:
    """Check the broker itself, its queues and exchanges, and our permissions. Raises TransportFailure."""
    yield _version(inspection.broker)
    there = [queue for queue in queues if inspection.counts(queue.name) is not None]
    declared = {queue.name: inspection.refusal_to_declare(queue) for queue in there}
    refused = {name: words for name, words in declared.items() if _is_permission(words)}
    missing = [queue for queue in queues if queue not in there]
    yield from _topology(missing, {name: words for name, words in declared.items() if words and name not in refused})
    yield from _policies(inspection, queues)
    yield from _permissions(inspection, there, refused)


def depth_findings(inspection: "Inspection", queues: Sequence[Queue]) -> Iterator[Finding]:
    """Check that workers consume these queues, and that the queues are not too full. Raises TransportFailure."""
    looked = ((queue, inspection.counts(queue.name)) for queue in queues)
    there = [(queue, seen) for queue, seen in looked if seen is not None]  # the others are reported as missing
    for service in sorted({queue.service for queue in queues}):
        left = {queue.name: seen.messages for queue, seen in there if queue.service == service and not seen.consumers}
        if left:
            detail = f"no worker consumes {', '.join(left)}; {sum(left.values())} messages wait there. "
            yield wrong("workers", f"{detail}Start `bus worker {service}`.", service)
    for queue, seen in there:
        if queue.bound and seen.messages > queue.bound * NEARLY_FULL:
            detail = f"{queue.name} is nearly full: {seen.messages} of {queue.bound} messages. Start more workers."
            yield wrong("workers", detail, queue.service)


def call_findings(inspection: "Inspection", service: str, handlers: Iterable[Handler]) -> Iterator[Finding]:
    """Check that the services which the handlers of this one call, or send to, are there. Raises TransportFailure."""
    uses = dict.fromkeys((each.verb, called) for each in handlers for called in each.calls)
    for used in sorted({(verb, service_of(operation)) for verb, operation in uses}):
        verb, called = used
        names = [operation.operation_name for verb, operation in uses if (verb, service_of(operation)) == used]
        looked = {name: inspection.counts(name) for name in names}
        away = ", ".join(name for name, seen in looked.items() if seen is None or not seen.consumers)
        if away:
            detail = f"its handlers {verb} {away}, which no worker carries out. Start `bus worker {called}`."
            yield wrong("workers", detail, service)
        else:
            yield ok("workers", f"its handlers {verb} {', '.join(names)}: a worker is there", service)


def _version(broker: str) -> Finding:
    name, _, version = broker.partition(" ")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if name != "RabbitMQ" or numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        return wrong("broker", f"{broker} is not supported. Use RabbitMQ {oldest} or later.")
    return ok("broker", broker)


def _topology(missing: Sequence[Queue], otherwise: dict[str, str]) -> Iterator[Finding]:
    for service in sorted({queue.service for queue in missing}):
        names = ", ".join(queue.name for queue in missing if queue.service == service)
        detail = f"missing: {names}. The worker creates them when it starts: `bus worker {service}`."
        yield wrong("topology", detail, service)
    for name, words in otherwise.items():
        detail = f"{name} is declared differently: {words}. Empty and delete it, then restart its worker."
        yield wrong("topology", detail, name.partition(".")[0])
    if not missing and not otherwise:
        yield ok("topology", "all queues are as declared")


def _policies(inspection: "Inspection", queues: Sequence[Queue]) -> Iterator[Finding]:
    from bus.messaging.rabbitmq import ManagementUnavailable  # loads pika, as the inspection did

    try:
        found = inspection.hidden_differences(queues)
    except ManagementUnavailable as unavailable:
        detail = f"bindings and policies are not seen: {unavailable}"
        yield unknown("policies", f"{detail}. A worker declares missing bindings again.")
        return
    for fault in found:
        yield wrong("policies", fault, fault.split()[0].partition(".")[0] if fault[0].islower() else None)
    if not found:
        yield ok("policies", "all bindings are there, and no policy drops messages")


def _permissions(inspection: "Inspection", there: Sequence[Queue], refused: dict[str, str]) -> Iterator[Finding]:
    faults = [*refused.values(), *_refusals(inspection, there)]
    for fault in filter(None, faults):
        yield wrong("permissions", f"{fault}. Grant a worker all permissions for its queues and exchanges.")
    if not any(faults):
        yield ok("permissions", "this user may declare, read and write")


def _refusals(inspection: "Inspection", there: Sequence[Queue]) -> Iterator[str]:
    for queue in there:
        seen = inspection.counts(queue.name)
        # Reading from a queue that is not empty would deliver messages, and the quarantine counts deliveries.
        if queue.kind in REQUEST_KINDS and seen is not None and not seen.messages:
            yield inspection.refusal_to_read(queue.name)
    for exchange in _exchanges(there):
        yield inspection.refusal_to_write(exchange)
    yield inspection.refusal_of_replies()


def _exchanges(queues: Sequence[Queue]) -> list[str]:
    """The exchanges that the processes of these services publish to, directly or through the broker."""
    services = sorted({queue.service for queue in queues})
    own = [f"{service}{end}" for service in services for end in (RETRIED, UNROUTABLE)]
    waiting = [queue.name for queue in queues if queue.kind == "retry"]
    shared = [REQUESTS_EXCHANGE, EVENTS_EXCHANGE] if queues else []
    return [DEFAULT_EXCHANGE, *shared, *own, *waiting]


def _is_permission(words: str) -> bool:
    return words.startswith("ACCESS_REFUSED")
