"""The broker that a command uses, and what services answer there, in words. Imports no service."""

import click

from bus.contract.problems import Problem
from bus.messaging.connect import check_reachable
from bus.runtime.settings import Settings


def broker_of(settings: Settings) -> str:
    """The URL of the broker, if other processes can reach it. Raises click.UsageError for the embedded one."""
    if settings.is_embedded:
        raise click.UsageError("The embedded broker can only be used inside `bus run`. Set BUS_URL to an amqp:// URL.")
    return settings.bus_url


def reachable_broker_of(settings: Settings) -> str:
    """As `broker_of`, for commands that a person waits for. Raises BrokerUnreachable at once if nothing listens."""
    url = broker_of(settings)
    check_reachable(url)
    return url


def in_words(problem: Problem) -> str:
    """A problem document as text for the terminal, one line for each wrong field."""
    faults = [f"{fault.pointer[1:]}: {fault.detail}" for fault in problem.errors]
    return "\n".join(faults) or f"{problem.title}. {problem.detail}"
