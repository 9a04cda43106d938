"""Services: which function handles which operation."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, get_type_hints

import msgspec
from sqlalchemy import select

from bus.contract.builtin import CommandOutcome, Pong, SealingKey, outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.events import EVENT_HANDLED, Event, EventHandled
from bus.contract.fields import holds_secrets, holds_secrets_inside
from bus.contract.operations import Operation, Query, Reply, service_of
from bus.contract.refusals import Refusal
from bus.database.engine import Transaction
from bus.database.inbox import outcome_of
from bus.dead_letters.store import resolution_of
from bus.messaging.call import EVENTS, Call, timed
from bus.messaging.handler_context import current_handler
from bus.messaging.topology import DEFAULT_LIMITS, Limits, Queue, queues_of
from bus.security.key_store import given_out
from bus.security.seal import SEALED
from bus.service.work import Work

# How often a dead letter's body may be mended, each time under another message id, until its outcome is found.
MAX_EDITS = 10

R = TypeVar("R", bound=Reply)
E = TypeVar("E", bound=Event)

One = Callable[[Any, Work], R]
Many = Callable[[Any, Work], Sequence[R | Refusal]]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handler:
    """The function of a service behind an operation, or for an event; `takes_many` when it wants a list."""

    service: str
    operation: type[Operation[Any]] | type[Event]
    function: Callable[[Any, Work], Any]
    takes_many: bool

    def run(self, calls: Sequence[Call], transaction: Transaction) -> list[Reply | Refusal]:
        """Carry out calls of one caller. Raises what the function raises, Refusal among it."""
        if not self.takes_many:
            return [self._one(call, transaction) for call in calls]
        work = Work(transaction, calls[0].caller, self.service, calls)
        until, trace = min(call.until for call in calls), calls[0].trace if len(calls) == 1 else None
        with current_handler(self.operation.operation_name, until, trace), timed([call.timing for call in calls]):
            replies = [self._checked(reply) for reply in self.function([call.request for call in calls], work)]
        if len(replies) != len(calls):
            raise TypeError(f"{self.function.__name__} gave {len(replies)} replies to {len(calls)} requests")
        return replies

    def _one(self, call: Call, transaction: Transaction) -> Reply | Refusal:
        work = Work(transaction, call.caller, self.service, [call])
        with current_handler(self.operation.operation_name, call.until, call.trace), timed([call.timing]):
            return self._checked(self.function(call.request, work))

    def _checked(self, reply: Any) -> Reply | Refusal:
        if not isinstance(reply, (self.operation.reply_type, Refusal)):
            expected = self.operation.reply_type.__name__
            raise TypeError(f"{self.function.__name__} returned {type(reply).__name__}, not {expected}")
        return reply


class Service:
    """A named set of handlers, which one kind of worker process runs.

    With one thread (the default) a worker carries out all requests that have arrived in one
    transaction. Take several `threads` where handlers compute for long: then each request has a
    transaction of its own.
    """

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self.name = name
        self.threads = threads
        self.operations: dict[str, type[Operation[Any]]] = {}
        self.handlers: dict[str, Handler] = {}
        self.listeners: dict[str, Handler] = {}
        for operation, function in ((ping_of(name), self._pong), (outcome_query_of(name), _outcome)):
            self._add(operation, function, takes_many=False)
        # The operations that every service has; they tell of it, and wait for no handler.
        self.builtin_operations = frozenset(self.operations)

    def handles(self, operation: type[Operation[R]]) -> Callable[[Callable[[Any, Work], R]], Callable[[Any, Work], R]]:
        """Register a function of (request, work) that returns the reply or raises a Refusal."""
        return self._registering(operation, takes_many=False)

    def handles_many(
        self, operation: type[Operation[R]]
    ) -> Callable[[Callable[[Any, Work], Sequence[R | Refusal]]], Callable[[Any, Work], Sequence[R | Refusal]]]:
        """Register a function of (list of requests, work), for where one statement can serve many.

        It returns a reply or a Refusal for each, in order; a refused request must have left nothing
        behind.
        """
        return self._registering(operation, takes_many=True)

    def _take_secrets(self, operation: type[Operation[Any]]) -> None:
        """Give out the key that they are to be sealed to."""
        if holds_secrets_inside(operation):
            raise TypeError(f"{operation.operation_name}: only fields of its own can be secret, for they are sealed")
        if SEALED in operation.__struct_fields__:
            raise TypeError(f"{operation.operation_name}: a field cannot be called {SEALED!r} beside secret ones")
        query = sealing_key_query_of(self.name)
        self._add(query, _sealing_key, takes_many=False)
        self.builtin_operations |= {query.operation_name}

    @property
    def takes_secrets(self) -> bool:
        """Whether an operation has secret fields, so that this service has sealing keys."""
        return sealing_key_query_of(self.name).operation_name in self.handlers

    def on(self, event: type[E]) -> Callable[[Callable[[E, Work], None]], Callable[[E, Work], None]]:
        """Register a function of (event, work) that takes note of an event, of any service.

        Each event has its effect once, and those of one thing come in their order. An event whose
        function fails holds up the later ones while it is tried again; then it is a dead letter.
        """

        def register(function: Callable[[E, Work], None]) -> Callable[[E, Work], None]:
            _check_parameters(function, event)
            if event.operation_name in self.listeners:
                raise TypeError(f"{event.operation_name} has a listener already")
            self.listeners[event.operation_name] = Handler(self.name, event, _noting(function), takes_many=False)
            return function

        return register

    def queues(self, limits: Limits = DEFAULT_LIMITS) -> list[Queue]:
        """All its queues, with what it listens to."""
        return queues_of(self.operations.values(), limits, self.listeners)

    def handler_of(self, call: Call) -> Handler:
        """The handler of a request, or the listener of an event."""
        return (self.listeners if call.caller == EVENTS else self.handlers)[call.operation.operation_name]

    def _add(self, operation: type[Operation[Any]], function: Callable[[Any, Work], Any], takes_many: bool) -> None:
        self.operations[operation.operation_name] = operation
        self.handlers[operation.operation_name] = Handler(self.name, operation, function, takes_many)

    def _pong(self, _ping: Query[Pong], work: Work) -> Pong:
        work.connection.execute(select(1))
        return Pong(service=self.name, database=work.connection.dialect.name, time=datetime.now(UTC))

    def _registering(self, operation: type[Operation[Any]], *, takes_many: bool) -> Callable[[F], F]:
        if service_of(operation) != self.name:
            raise TypeError(f"{operation.operation_name} does not belong to the service {self.name}")

        def register(function: F) -> F:
            _check_signature(function, operation, takes_many)
            if holds_secrets(operation):
                self._take_secrets(operation)
            if operation.operation_name in self.handlers:
                raise TypeError(f"{operation.operation_name} has a handler already")
            self._add(operation, function, takes_many)
            return function

        return register


def _outcome(query: Any, work: Work) -> CommandOutcome:
    sent_as = query.message_id
    for _ in range(MAX_EDITS):
        found = outcome_of(work.connection, work.caller, sent_as)
        if found is not None:
            return CommandOutcome(id=query.message_id, state="done", status=found.status, reply=msgspec.Raw(found.body))
        fate = resolution_of(work.connection, sent_as)
        if fate is not None and fate.state != "replayed":
            is_discarded = fate.state == "discarded"
            return CommandOutcome(id=query.message_id, state="dead", reason=fate.reason, discarded=is_discarded)
        if fate is None or fate.replayed_as == sent_as:
            break
        sent_as = fate.replayed_as
    return CommandOutcome(id=query.message_id, state="pending")


def _sealing_key(_query: Any, work: Work) -> SealingKey:
    return given_out(work.connection)


def _noting(function: Callable[[Any, Work], None]) -> Callable[[Any, Work], EventHandled]:
    def note(event: Any, work: Work) -> EventHandled:
        function(event, work)
        return EVENT_HANDLED

    return note


def _check_signature(function: Callable[..., Any], operation: type[Operation[Any]], takes_many: bool) -> None:
    """What a type checker would say, for those who run none."""
    _check_parameters(function, list[operation] if takes_many else operation)  # type: ignore[valid-type]
    result = get_type_hints(function).get("return")
    if not takes_many and result is not operation.reply_type:
        raise TypeError(f"{function.__name__} must return {operation.reply_type.__name__}, not {result}")


def _check_parameters(function: Callable[..., Any], wanted: Any) -> None:
    hints = get_type_hints(function)
    hints.pop("return", None)
    if len(inspect.signature(function).parameters) != 2 or next(iter(hints.values()), None) != wanted:
        raise TypeError(f"{function.__name__}: annotate its parameters as ({wanted}, Work)")
