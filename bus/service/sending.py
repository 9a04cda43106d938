"""Sent commands: what handlers send with `work.send`, delivered once their transaction is committed.

A sent command goes through the outbox to a queue of its own service, `SERVICE.send`. The handler of that queue asks the
other service and waits for the reply, as any handler that calls others. So retries, the wait for a service that is
away, dead letters and outcomes are those of every command.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bus.contract.builtin import Send, Sent, send_of
from bus.contract.codec import encode, read_json
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation
from bus.contract.refusals import Refusal, Refused
from bus.service.handler import CALLING_THREADS, Handler
from bus.service.work import Work

OnRefused = Callable[[Any, Any, Work], None]


def sending_handler(
    service: str, sends: Sequence[type[Operation[Any]]], on_refused: Mapping[str, OnRefused]
) -> Handler:
    """The handler of the queue of sent commands. `on_refused` has functions by the names of refused operations."""
    operations = {operation.operation_name: operation for operation in sends}

    def deliver(sent: Send, work: Work) -> Sent:
        if sent.operation not in operations:
            raise TypeError(f"{service} does not send {sent.operation}: Service(…, sends=[…]) says what it sends")
        operation = operations[sent.operation]
        command = read_json(sent.body.encode(), operation)
        try:
            reply = work.call(command, as_service=True)
        except (Refusal, Refused) as refusal:
            function = on_refused.get(sent.operation)
            if function is None or refusal.problem.status >= 500:
                raise
            function(command, refusal, work)
            return Sent(
                operation=sent.operation, status=refusal.problem.status, body=msgspec.Raw(encode(refusal.problem))
            )
        return Sent(operation=sent.operation, status=operation.success_status, body=msgspec.Raw(encode(reply)))

    return Handler(service, send_of(service), deliver, calls=tuple(sends), threads=CALLING_THREADS, sends=tuple(sends))


def check_sends(service: str, sends: Sequence[Any]) -> None:
    """Raises TypeError for what a service cannot send."""
    for sent in sends:
        if not (isinstance(sent, type) and issubclass(sent, Operation) and sent.operation_name):
            raise TypeError(f"{service} sends {sent!r}, which is no operation: give the class from its contract")
        if not sent.is_durable:
            raise TypeError(f"{service} sends {sent.operation_name}, a {sent.operation_kind}: only commands are kept")
        if holds_secrets(sent):
            raise TypeError(f"{service} sends {sent.operation_name}, which has secret fields: it is stored readable")
