"""Services: which function handles which operation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Select

from bus.contract.builtin import outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.events import Event
from bus.contract.fields import holds_secrets, holds_secrets_inside
from bus.contract.identity import takes_secrets
from bus.contract.operations import Operation, Reply, service_of
from bus.contract.operator.operations import operator_operations
from bus.contract.refusals import Refusal, Refused
from bus.contract.settings import Settings
from bus.database.past_events import PastEvents, ReadsPast
from bus.messaging.topology import DEFAULT_LIMITS, Limits, Queue, queues_of
from bus.security.seal import SEALED
from bus.service.handler import (
    CALLING_THREADS,
    Handler,
    PeriodicHandler,
    check_calls,
    check_parameters,
    check_signature,
)
from bus.service.job import Job
from bus.service.sending import OnRefused, check_sends, sending_handler
from bus.service.work import Work

R = TypeVar("R", bound=Reply)
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., Any])


class Service:
    """A named set of handlers, which one kind of worker process runs.

    `sends` are the commands, of other services or its own, that its handlers send with `work.send`.

    `settings` is the class of its own settings. The attribute of this name has their defaults, or what the environment
    says, once a worker runs; `data_dir` is the folder for files (DATA_DIR), which need not exist yet.
    `client_secret` is that of its service account (NAME_CLIENT_SECRET), for what it does in its own name; empty without
    one.

    `handlers` has the registered handlers by the names of their operations, `listeners` those of events, `periodic` the
    functions that are run again and again, by their own names. `past` has the source of events that are older than the
    outbox.
    """

    def __init__(
        self, name: str, *, settings: type[Settings] = Settings, sends: Sequence[type[Operation[Any]]] = ()
    ) -> None:
        ping_of(name)  # raises TypeError for a name that makes no queue names
        check_sends(name, sends)
        self.name = name
        self.settings = settings()
        self.data_dir = Path("data")
        self.client_secret = ""
        self.takes_secrets = False
        self.handlers: dict[str, Handler] = {}
        self.listeners: dict[str, Handler] = {}
        self.periodic: dict[str, PeriodicHandler] = {}
        self.past: PastEvents | None = None
        self.sends, self._on_refused = tuple(sends), dict[str, OnRefused]()
        if sends:
            handler = sending_handler(name, sends, self._on_refused)
            self.handlers[handler.operation.operation_name] = handler

    @property
    def builtin_operations(self) -> list[type[Operation[Any]]]:
        """The operations that every service has; those that take secrets give out a sealing key too."""
        own: list[type[Operation[Any]]] = [ping_of(self.name), outcome_query_of(self.name)]
        sealing = [sealing_key_query_of(self.name)] if self.takes_secrets else []
        return [*own, *sealing, *operator_operations(self.name).values()]

    @property
    def operations(self) -> dict[str, type[Operation[Any]]]:
        """All operations by name, the built-in ones first."""
        handled: dict[str, Any] = {name: handler.operation for name, handler in self.handlers.items()}
        return {operation.operation_name: operation for operation in self.builtin_operations} | handled

    @property
    def threads(self) -> int:
        """How many threads its handlers have of their own, together."""
        return sum(handler.threads for handler in self.handlers.values())

    @property
    def calls(self) -> dict[str, tuple[type[Operation[Any]], ...]]:
        """What its handlers may call, by the names of their operations. What it sends, `SERVICE.send` calls."""
        return {name: handler.calls for name, handler in self.handlers.items() if handler.calls}

    def handles(
        self, operation: type[Operation[R]], *, calls: Sequence[type[Operation[Any]]] = (), threads: int = 0
    ) -> Callable[[Callable[[Any, Work], R]], Callable[[Any, Work], R]]:
        """Register a function of (request, work) that returns the reply or raises a Refusal.

        All requests that have arrived share one transaction. Give a handler `threads` if it computes for long: each
        request has a transaction of its own then, and so many are carried out at the same time. A handler that calls
        operations of other services (`work.call`) declares them as `calls`; it has threads too, 8 unless given.

        Raises TypeError for a function with another signature, and for `calls` that it cannot make.
        """
        check_calls(self.name, operation, calls)
        threads = threads or (CALLING_THREADS if calls else 0)
        return self._registering(operation, takes_many=False, calls=tuple(calls), threads=threads)

    def handles_many(
        self, operation: type[Operation[R]]
    ) -> Callable[[Callable[[Any, Work], Sequence[R | Refusal]]], Callable[[Any, Work], Sequence[R | Refusal]]]:
        """Register a function of (list of requests, work), for where one statement can serve many.

        It returns a reply or a Refusal for each, in order; a refused request must have left nothing behind.
        """
        return self._registering(operation, takes_many=True)

    def on(self, event: type[E]) -> Callable[[Callable[[E, Work], None]], Callable[[E, Work], None]]:
        """Register a function of (event, work) for an event of any service.

        Each event has its effect once, and the events of one entity come in their order. An event whose function fails
        holds up the later ones while it is retried; then it is a dead letter.
        """

        def register(function: Callable[[E, Work], None]) -> Callable[[E, Work], None]:
            check_parameters(function, event)
            if event.operation_name in self.listeners:
                raise TypeError(f"{event.operation_name} has a listener already")
            self.listeners[event.operation_name] = Handler(self.name, event, function, sends=self.sends)
            return function

        return register

    def on_refused(
        self, command: type[Operation[R]]
    ) -> Callable[[Callable[[Any, Refusal | Refused, Work], None]], Callable[[Any, Refusal | Refused, Work], None]]:
        """Register a function of (command, refusal, work) for a command that was sent and that its service refused.

        It has one effect for each refused command, as a handler does. Without such a function a refused command
        becomes a dead letter of this service.

        Raises TypeError for a command that the service does not send, and for a function with another signature.
        """

        def register(
            function: Callable[[Any, Refusal | Refused, Work], None],
        ) -> Callable[[Any, Refusal | Refused, Work], None]:
            check_parameters(function, command, Refusal | Refused)
            name = command.operation_name
            if command not in self.sends or name in self._on_refused:
                raise TypeError(f"{name}: it has such a function already, or is not among the `sends` of {self.name}")
            self._on_refused[name] = function
            return function

        return register

    def every(
        self, seconds: float, *, when: Select[Any] | None = None
    ) -> Callable[[Callable[[Work], None]], Callable[[Work], None]]:
        """Register a function of (work) that is run every `seconds`, in a transaction that the worker commits.

        However many workers there are, one of them runs it. `when` is a statement that finds a row while there is
        something to do: it is read first, and without a row the function is not run and nothing is written. A function
        that fails is logged and run again after `seconds`. Do a limited number of things in one run: it has to
        end within HANDLER_SECONDS, and while `when` finds more, the next run follows at once.
        """

        def register(function: Callable[[Work], None]) -> Callable[[Work], None]:
            check_parameters(function)
            self._add_periodic(function, seconds, when, takes_job=False)
            return function

        return register

    def job(
        self, seconds: float, *, when: Select[Any] | None = None
    ) -> Callable[[Callable[[Job], None]], Callable[[Job], None]]:
        """Register a function of (job) that is run every `seconds` outside of a transaction, and opens its own.

        For what waits for another server, such as one for mail: a transaction would hold its rows meanwhile. Each
        worker runs it, so take a row in one transaction, with a time until which the others leave it alone, do the
        work, and mark the row in a second transaction. A worker that dies in between has another worker do it again.
        `when`, failures and the limit of HANDLER_SECONDS are those of `every`.
        """

        def register(function: Callable[[Job], None]) -> Callable[[Job], None]:
            check_parameters(function, last="Job")
            self._add_periodic(function, seconds, when, takes_job=True)
            return function

        return register

    def past_events(self, *events: type[Event]) -> Callable[[ReadsPast], ReadsPast]:
        """Register a function of (connection, since, after, most) that gives past events of these classes, for replays.

        Without it a replay reaches as far back as the outbox, KEEP_DAYS. The function is the only source of these
        events then, and reads them from tables of the service: the next ones with a position greater than `after`, made
        at `since` or later, at most `most`, in the order of their positions. Each is equal to the one that listeners
        got, with the message id that `work.emit` returned; the position is a whole number from 1, such as the number of
        a row, and grows in the order in which they were emitted. The connection is for reads, each statement by itself.

        Raises TypeError for events of another service, for none, and for a second function.
        """

        def register(function: ReadsPast) -> ReadsPast:
            if self.past is not None or not events:
                raise TypeError(f"{self.name}: past events come from one function, for at least one class of events")
            for event in events:
                if service_of(event) != self.name:
                    raise TypeError(f"{event.operation_name} does not belong to the service {self.name}")
            self.past = PastEvents(frozenset(event.operation_name for event in events), function)
            return function

        return register

    def queues(self, limits: Limits = DEFAULT_LIMITS) -> list[Queue]:
        """All its queues: of its operations, of the events it listens to, for retries and dead letters."""
        return queues_of(self.operations.values(), limits, self.listeners)

    def _add_periodic(
        self, function: Callable[[Any], None], seconds: float, when: Select[Any] | None, *, takes_job: bool
    ) -> None:
        name = f"{self.name}.{function.__name__}"
        if seconds <= 0 or name in self.periodic:
            raise TypeError(f"{name}: it needs a name of its own, and more than 0 seconds")
        self.periodic[name] = PeriodicHandler(self.name, name, function, seconds, when, self.sends, takes_job)

    def _registering(
        self,
        operation: type[Operation[Any]],
        *,
        takes_many: bool,
        calls: tuple[type[Operation[Any]], ...] = (),
        threads: int = 0,
    ) -> Callable[[F], F]:
        if service_of(operation) != self.name:
            raise TypeError(f"{operation.operation_name} does not belong to the service {self.name}")

        def register(function: F) -> F:
            check_signature(function, operation, takes_many=takes_many)
            if holds_secrets(operation):
                _check_secrets(operation)
            self.takes_secrets = self.takes_secrets or takes_secrets(operation)
            if operation.operation_name in self.operations:
                raise TypeError(f"{operation.operation_name} has a handler already")
            handler = Handler(self.name, operation, function, takes_many, calls, threads, self.sends)
            self.handlers[operation.operation_name] = handler
            return function

        return register


def _check_secrets(operation: type[Operation[Any]]) -> None:
    """Raises TypeError for secret fields that could not be sealed."""
    if holds_secrets_inside(operation):
        raise TypeError(f"{operation.operation_name}: only fields of its own can be secret, for they are sealed")
    if SEALED in operation.__struct_fields__:
        raise TypeError(f"{operation.operation_name}: a field cannot be called {SEALED!r} beside secret ones")
