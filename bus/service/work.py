"""Work: what a handler is given besides the request."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.identity import Caller
from bus.contract.operations import Operation, service_of
from bus.database.engine import PendingEvent, Transaction
from bus.messaging.call import Call
from bus.messaging.trace_context import Trace


class Work:
    """The open transaction and the caller. Handlers never commit: the worker does, after them.

    `caller` is known where the operation needs it (`needs=` in the contract); elsewhere it is anonymous.
    """

    def __init__(self, transaction: Transaction, caller: Caller, service: str, calls: Sequence[Call] = ()) -> None:
        self._transaction = transaction
        self._service = service
        self._calls = calls
        self.caller = caller

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, in a transaction that begins with its first use.

        Do what takes long and needs no database before that. Raises DatabaseUnavailable, which is the worker's to
        handle.
        """
        return self._transaction.connection

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for reads only, outside of the transaction and without a lock.

        For a handler that has to read before it computes for long: close it before, and check what it relies on again
        in the transaction.
        """
        return self._transaction.reading()

    def emit(self, event: Event, request: Operation[Any] | None = None) -> None:
        """Send an event to its listeners once this transaction is committed. Events of one entity keep their order.

        A handler of many requests names the `request` that the event came of, so that it belongs to its trace.

        Raises TypeError for another service's event, and for one with secret fields: events are stored as they are.
        """
        if holds_secrets(type(event)):
            raise TypeError(f"{type(event).operation_name} has secret fields, and events are stored and sent readable")
        if service_of(type(event)) != self._service:
            raise TypeError(f"{type(event).operation_name} belongs to another service than {self._service}")
        trace = self._calls[0].trace if len(self._calls) == 1 else self._traces.get(id(request))
        self._transaction.events.append(PendingEvent(event, trace))

    @cached_property
    def _traces(self) -> dict[int, Trace | None]:
        return {id(call.request): call.trace for call in self._calls}
