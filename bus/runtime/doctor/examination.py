"""Runs all checks of the doctor, one after the other."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bus.client.client import Client
from bus.contract.problems import ProblemError
from bus.messaging.topology import CONSUMED_KINDS
from bus.messaging.transport import TransportFailure
from bus.runtime.doctor.broker import broker_findings, call_findings, depth_findings
from bus.runtime.doctor.databases import database_findings
from bus.runtime.doctor.findings import ANSWER_SECONDS, Finding, clock_finding, ok, unknown, wrong
from bus.runtime.doctor.ports import metrics_port_finding, port_finding
from bus.runtime.settings import Settings
from bus.service.application import Application

if TYPE_CHECKING:
    from bus.messaging.rabbitmq import Inspection

_OF_THE_BROKER = ("broker", "topology", "policies", "permissions", "workers")
# What can be skipped. The clocks are those of databases and of workers that answer.
CHECKS = ("ports", "database", *_OF_THE_BROKER, "clocks")


def examine(applications: Sequence[Application], settings: Settings, skip: Sequence[str] = ()) -> Iterator[Finding]:
    """Check the ports, databases, broker and workers of these services; changes nothing.

    Yields each finding as soon as it is known. Every check ends within seconds.
    """
    return (finding for finding in _examine(applications, settings, skip) if finding.check not in skip)


def _or_defect(check: str, service: str | None, findings: Iterator[Finding]) -> Iterator[Finding]:
    """These findings. An error that nobody thought of must not hide what the other checks find.

    Its text is left out: it may have a password in it.
    """
    try:
        yield from findings
    except Exception as error:
        yield wrong(check, f"the check itself has a defect: {type(error).__name__}. Please report it.", service)


def _examine(applications: Sequence[Application], settings: Settings, skip: Sequence[str]) -> Iterator[Finding]:
    for each in applications if "ports" not in skip else ():
        yield from _or_defect("ports", each.name, _ports(each.name, settings))
    for each in applications if "database" not in skip else ():
        found = database_findings(each, settings.services[each.name].database_url, settings.database_keys(each.name))
        yield from _or_defect("database", each.name, found)
    if settings.is_embedded:
        detail = (
            "BUS_URL names no RabbitMQ: only `bus run` can work, with a broker inside it, which cannot be checked. "
            "`bus web`, `bus worker` and `bus call` need an amqp:// URL."
        )
        yield unknown("broker", detail)
    elif not {*_OF_THE_BROKER} <= {*skip}:
        yield from _or_defect("broker", None, _broker(applications, settings))


def _ports(service: str, settings: Settings) -> Iterator[Finding]:
    ours = settings.services[service]
    yield port_finding(service, settings.bind, ours.port)
    if ours.metrics_port is not None:
        yield metrics_port_finding(service, settings.bind, ours.metrics_port)


def _broker(applications: Sequence[Application], settings: Settings) -> Iterator[Finding]:
    from bus.messaging.rabbitmq import Inspection  # loads pika, which the embedded broker does not need

    checked: set[str] = set()
    try:
        with Inspection(settings.bus_url) as inspection:
            for finding in _through(inspection, applications, settings):
                checked.add(finding.check)
                yield finding
    except TransportFailure as failure:
        yield wrong("broker", f"{failure} Check that it is running and that BUS_URL is right.")
        unchecked = (check for check in _OF_THE_BROKER[1:] if check not in checked)
        yield from (unknown(check, "the broker cannot be reached") for check in unchecked)


def _through(inspection: "Inspection", applications: Sequence[Application], settings: Settings) -> Iterator[Finding]:
    queues = [queue for each in applications for queue in each.service.queues(settings.limits)]
    yield from broker_findings(inspection, queues)
    # Before the pings: a ping that no worker answers stays in its queue for a moment.
    depths = list(depth_findings(inspection, [queue for queue in queues if queue.kind in CONSUMED_KINDS]))
    with Client(settings.bus_url, name="doctor") as client:
        for each in applications:
            yield from _worker_findings(client, each.name)
    for each in applications:
        yield from call_findings(inspection, each.name, each.service.handlers.values())
    yield from depths


def _worker_findings(client: Client, service: str) -> list[Finding]:
    """Whether a worker of the service answers a ping through its queue and its database, and its clock."""
    before = datetime.now(UTC)
    try:
        pong = client.ping(service, timeout=ANSWER_SECONDS)
    except ProblemError as problem:
        return [wrong("workers", f"no answer: {problem}", service)]
    clock = clock_finding("worker", service, pong.time, before, datetime.now(UTC))
    return [ok("workers", f"a worker answers; its database is {pong.database}", service), clock]
