"""The examination: everything the doctor looks at, one after the other."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bus.client.client import Client
from bus.messaging.topology import CONSUMED_KINDS
from bus.messaging.transport import TransportFailure
from bus.runtime.doctor.broker import broker_findings, depth_findings
from bus.runtime.doctor.databases import database_findings
from bus.runtime.doctor.finding import Finding, unknown, wrong
from bus.runtime.doctor.ports import metrics_port_finding, port_finding
from bus.runtime.doctor.workers import worker_findings
from bus.runtime.settings import Settings
from bus.service.application import Application

if TYPE_CHECKING:
    from bus.messaging.rabbitmq import Inspection

_OF_THE_BROKER = ("broker", "topology", "permissions", "workers")
# What can be left out. Clocks are those of databases and workers that answer.
CHECKS = ("ports", "database", *_OF_THE_BROKER, "clocks")


def examine(applications: Sequence[Application], settings: Settings, skip: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at the ports, databases, broker and workers of these services; changes nothing of theirs.

    Each finding is given as soon as it is known. Every look ends by itself, within seconds.
    """
    return (finding for finding in _looks(applications, settings, skip) if finding.check not in skip)


def _looks(applications: Sequence[Application], settings: Settings, skip: Sequence[str]) -> Iterator[Finding]:
    for each in applications if "ports" not in skip else ():
        yield from _ports(each.name, settings)
    for each in applications if "database" not in skip else ():
        yield from database_findings(each, settings.services[each.name].database_url)
    if settings.bus_url.startswith("memory://"):
        yield unknown(
            "broker", "the embedded one is inside `bus run`, out of sight from here: BUS_URL names no RabbitMQ"
        )
    elif not {*_OF_THE_BROKER} <= {*skip}:
        yield from _broker(applications, settings)


def _ports(service: str, settings: Settings) -> Iterator[Finding]:
    ours = settings.services[service]
    yield port_finding(service, settings.bind, ours.port)
    if ours.metrics_port is not None:
        yield metrics_port_finding(service, settings.bind, ours.metrics_port)


def _broker(applications: Sequence[Application], settings: Settings) -> Iterator[Finding]:
    from bus.messaging.rabbitmq import Inspection  # as in `bus.connect`: each way needs only its own library

    told: set[str] = set()
    try:
        with Inspection(settings.bus_url) as inspection:
            for finding in _through(inspection, applications, settings):
                told.add(finding.check)
                yield finding
    except TransportFailure as failure:
        yield wrong("broker", f"{failure} Is it running, and is BUS_URL right?")
        yield from (unknown(check, "the broker cannot be asked") for check in _OF_THE_BROKER[1:] if check not in told)


def _through(inspection: "Inspection", applications: Sequence[Application], settings: Settings) -> Iterator[Finding]:
    queues = [queue for each in applications for queue in each.service.queues(settings.limits)]
    yield from broker_findings(inspection, queues)
    # Before the workers are asked: what nobody answers waits in a queue for a moment.
    depths = list(depth_findings(inspection, [queue for queue in queues if queue.kind in CONSUMED_KINDS]))
    with Client(settings.bus_url, name="doctor") as client:
        for each in applications:
            yield from worker_findings(client, each.name)
    yield from depths
