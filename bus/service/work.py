"""Work: what a handler is given besides the request."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation, service_of
from bus.database.engine import PendingEvent, Transaction
from bus.messaging.call import Call
from bus.messaging.trace_context import Trace


class Work:
    """The open transaction and the caller. Handlers never commit: the worker does, after them."""

    def __init__(self, transaction: Transaction, caller: str, service: str, calls: Sequence[Call] = ()) -> None:
        self._transaction = transaction
        self._service = service
        self._calls = calls
        self.caller = caller

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, in a transaction that opens with its first use.

        What takes long and needs no database comes before that.
        """
        return self._transaction.connection

    def emit(self, event: Event, request: Operation[Any] | None = None) -> None:
        """Tell whoever listens, if and once this transaction is committed. Events about one thing keep their order.

        A handler that was given many requests says which of them the event came of, for it belongs to its trace.

        Raises TypeError for another service's event, and for one with secrets: events are kept as they are.
        """
        if holds_secrets(type(event)):
            raise TypeError(f"{type(event).operation_name} has secret fields: an event tells no secrets")
        if service_of(type(event)) != self._service:
            raise TypeError(f"{type(event).operation_name} is not for the service {self._service} to tell")
        self._transaction.events.append(PendingEvent(event, self._trace_of(request)))

    def _trace_of(self, request: Operation[Any] | None) -> Trace | None:
        if len(self._calls) == 1:
            return self._calls[0].trace
        return None if request is None else self._traces.get(id(request))

    @cached_property
    def _traces(self) -> dict[int, Trace | None]:
        return {id(call.request): call.trace for call in self._calls}
