"""Services: which function handles which operation."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

import msgspec
from sqlalchemy import select

from bus.call import Call
from bus.database import Transaction
from bus.inbox import outcome_of
from bus.operation import Operation, Query, Reply, service_of
from bus.outcome import CommandOutcome, outcome_query_of
from bus.ping import Pong, ping_of
from bus.refusal import Refusal
from bus.work import Work

R = TypeVar("R", bound=Reply)

One = Callable[[Any, Work], R]
Many = Callable[[Any, Work], Sequence[R | Refusal]]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Handler:
    """The function behind an operation; `takes_many` when it wants a list of requests."""

    operation: type[Operation[Any]]
    function: Callable[[Any, Work], Any]
    takes_many: bool

    def run(self, calls: Sequence[Call], transaction: Transaction) -> list[Reply | Refusal]:
        """Carry out calls of one caller. Raises what the function raises, Refusal among it."""
        work = Work(transaction, calls[0].caller)
        if not self.takes_many:
            return [self._checked(self.function(call.request, work)) for call in calls]
        replies = [self._checked(reply) for reply in self.function([call.request for call in calls], work)]
        if len(replies) != len(calls):
            raise TypeError(f"{self.function.__name__} gave {len(replies)} replies to {len(calls)} requests")
        return replies

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
        self.handlers: dict[str, Handler] = {}
        for operation, function in ((ping_of(name), self._pong), (outcome_query_of(name), _outcome)):
            self.handlers[operation.operation_name] = Handler(operation, function, takes_many=False)

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

    def _pong(self, _ping: Query[Pong], work: Work) -> Pong:
        work.connection.execute(select(1))
        return Pong(service=self.name, database=work.connection.dialect.name)

    def _registering(self, operation: type[Operation[Any]], *, takes_many: bool) -> Callable[[F], F]:
        if service_of(operation) != self.name:
            raise TypeError(f"{operation.operation_name} does not belong to the service {self.name}")

        def register(function: F) -> F:
            _check_signature(function, operation, takes_many)
            if operation.operation_name in self.handlers:
                raise TypeError(f"{operation.operation_name} has a handler already")
            self.handlers[operation.operation_name] = Handler(operation, function, takes_many)
            return function

        return register


def _outcome(query: Any, work: Work) -> CommandOutcome:
    found = outcome_of(work.connection, work.caller, query.message_id)
    if found is None:
        return CommandOutcome(id=query.message_id, state="pending")
    return CommandOutcome(id=query.message_id, state="done", status=found.status, reply=msgspec.Raw(found.body))


def _check_signature(function: Callable[..., Any], operation: type[Operation[Any]], takes_many: bool) -> None:
    """What a type checker would say, for those who run none."""
    hints = get_type_hints(function)
    result = hints.pop("return", None)
    wanted = list[operation] if takes_many else operation  # type: ignore[valid-type]
    if len(inspect.signature(function).parameters) != 2 or next(iter(hints.values()), None) != wanted:
        raise TypeError(f"{function.__name__}: annotate its parameters as ({wanted}, Work)")
    if not takes_many and result is not operation.reply_type:
        raise TypeError(f"{function.__name__} must return {operation.reply_type.__name__}, not {result}")
