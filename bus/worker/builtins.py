"""Built-in operations: what a worker answers to a ping, an outcome query, and a request for the sealing key."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import select

from bus.contract.builtin import CommandOutcome, Pong, outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.identity import ANONYMOUS, service_caller
from bus.database.inbox import outcome_of
from bus.dead_letters.store import resolution_of
from bus.security.key_store import given_out
from bus.service.handler import Handler
from bus.service.service import Service
from bus.service.work import Work

# How often the body of a dead letter may be edited, each time under another message id, until its outcome is found.
MAX_EDITS = 10


def builtin_handlers(service: Service, commands_wait: Callable[[], str] = lambda: "") -> dict[str, Handler]:
    """The handlers of the built-in operations, by the names of their queues.

    `commands_wait` says why no command can be carried out now; empty when they can.
    """

    def pong(_ping: Any, work: Work) -> Pong:
        work.connection.execute(select(1))
        return Pong(
            service=service.name,
            database=work.connection.dialect.name,
            time=datetime.now(UTC),
            commands_wait=commands_wait() or msgspec.UNSET,
        )

    functions: dict[Any, Callable[[Any, Work], Any]] = {
        ping_of(service.name): pong,
        outcome_query_of(service.name): partial(_outcome, service.name),
        sealing_key_query_of(service.name): lambda _query, work: given_out(work.connection, service.name),
    }
    return {
        operation.operation_name: Handler(service.name, operation, function)
        for operation, function in functions.items()
        if operation in service.builtin_operations
    }


def _outcome(service: str, query: Any, work: Work) -> CommandOutcome:
    """Follows a command through its dead letters, as far as it was edited and sent again."""
    sent_as = query.message_id
    for _ in range(MAX_EDITS):
        # An operation that needs no account was sent without one, and what the service sends is its own.
        callers = dict.fromkeys((work.caller.id, ANONYMOUS.id, service_caller(service).id))
        found = next(filter(None, (outcome_of(work.connection, caller, sent_as) for caller in callers)), None)
        if found is not None:
            reply = msgspec.Raw(found.body or b"null")  # an answer with the status 204 has no body
            return CommandOutcome(id=query.message_id, state="done", status=found.status, reply=reply)
        resolution = resolution_of(work.connection, sent_as)
        if resolution is not None and resolution.state != "replayed":
            is_discarded = resolution.state == "discarded"
            return CommandOutcome(id=query.message_id, state="dead", reason=resolution.reason, discarded=is_discarded)
        if resolution is None or resolution.replayed_as == sent_as:
            break
        sent_as = resolution.replayed_as
    return CommandOutcome(id=query.message_id, state="pending")
