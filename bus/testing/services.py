"""Services in the test's process: on the embedded broker and SQLite, or on RabbitMQ and PostgreSQL."""

import copy
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, TypeVar

from bus.client.client import Client
from bus.client.event_stream import EventStream, event_stream
from bus.client.retrying import RetryingClient
from bus.contract.codec import encode
from bus.contract.events import Event, events_in
from bus.contract.operations import Query
from bus.contract.validation import decode_event
from bus.database.outbox import published
from bus.messaging.connect import transport_for
from bus.messaging.message import Message, check_message_id
from bus.messaging.publishing import not_taken, publish_all
from bus.messaging.trace_context import begin
from bus.messaging.transport import PublishOutcome
from bus.service.application import Application
from bus.service.handler import Handler
from bus.service.service import Service
from bus.testing.databases import migrated
from bus.testing.fakes import Fakes, fake_services
from bus.testing.observed_transport import Deliveries, ObservedTransport
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

E = TypeVar("E", bound=Event)

# A handler that hangs must not hang its test; others end in milliseconds.
STOP_SECONDS = 10.0
START_SECONDS = 60.0
WAIT_SECONDS = 30.0

_NO_FAKES: Fakes = MappingProxyType({})


@dataclass(frozen=True)
class Servers:
    """A broker, and a function that makes an empty database and returns its URL. The fixture `servers` is one."""

    broker_url: str
    new_database: Callable[[], str]


class HandlerInterrupted(Exception):
    """Raised behind a handler after `fail_before_commit`, so that its transaction is rolled back."""


class RunningServices(RetryingClient):
    """A client of the services that a test runs, which can also make happen what goes wrong in real life."""

    def __init__(
        self,
        bus_url: str,
        deliveries: Deliveries,
        interrupts: "_Interrupts",
        events: "_Events",
        listeners: Mapping[str, int],
    ) -> None:
        self._deliveries, self._interrupts, self._events = deliveries, interrupts, events
        self._listeners = listeners
        super().__init__(bus_url, name="test")

    def redeliver(self, message_id: str, *, seconds: float = WAIT_SECONDS) -> None:
        """Have a message delivered once more, a command or an event, and wait until it is handled again.

        Raises ValueError for a message that never came, and TimeoutError after `seconds`.
        """
        self._deliveries.repeat(message_id, seconds)

    def fail_after_commit(self) -> None:
        """Let the next request fail after its commit: its reply is lost, and its message is delivered again."""
        self._deliveries.lose_next_answer()

    def fail_before_commit(self) -> None:
        """Let the next command or event fail after its handler ran: what that did is undone, and it runs again."""
        self._interrupts.next_fails = True

    def emit(self, event: Event, *, message_id: str | None = None, seconds: float = WAIT_SECONDS) -> str:
        """Publish an event as its own service does after a commit, and wait until the listeners have handled it.

        Returns its message id. An event with the same id again has no second effect, as with `redeliver`.

        Raises ValueError for an event that no service of this test listens to, Invalid for a malformed message id,
        Unavailable when the broker does not accept the event, and TimeoutError after `seconds`.
        """
        name = event.operation_name
        if name not in self._listeners:
            raise ValueError(f"No service that runs in this test listens to {name}.")
        message_id = uuid.uuid4().hex if message_id is None else message_id
        check_message_id(message_id)
        handled_before = self._deliveries.times_handled(message_id)
        message = published(name, encode(event), message_id, begin())
        self._transport.wait_until_ready(START_SECONDS)
        (outcome,) = publish_all(self._transport, [message], seconds)
        if outcome is not PublishOutcome.CONFIRMED:
            raise not_taken(name, outcome)
        handled = handled_before + self._listeners[name]
        wait_until(lambda: self._deliveries.times_handled(message_id) >= handled, seconds, f"{name} is handled")
        return message_id

    def wait_for(
        self, event: type[E], where: Callable[[E], bool] = lambda _event: True, *, seconds: float = WAIT_SECONDS
    ) -> E:
        """Wait for an event of this class that no earlier call has returned, and for which `where` is true.

        Raises TimeoutError after `seconds`, and ValueError for an event of a service that does not run here.
        """
        return self._events.wait_for(event, where, seconds)


@contextmanager
def running(
    *applications: Application, fakes: Fakes = _NO_FAKES, servers: Servers | None = None
) -> Iterator[RunningServices]:
    """Run the workers of these services until the block ends; yields a client that calls them.

    Without `servers` they run on an embedded broker, each with an SQLite database. Files that they write (`data_dir`)
    are in a folder that is removed at the end. `fakes` answer for services that do
    not run here: a function of the request for each operation, which returns its reply or raises a Refusal. Test a
    front end with this client and Flask's own test client: `create_app(client).test_client()`. A call that fails
    because the machine is too slow is repeated.

    Raises ValueError when a service calls or sends what neither a fake nor a service here carries out.
    """
    _check_calls(applications, fakes)
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="errand-test-"))
        bus_url = servers.broker_url if servers else f"memory://{uuid.uuid4().hex}"

        def run(service: Service, migrations: str | None, deliveries: Deliveries) -> None:
            database_url = servers.new_database() if servers else f"sqlite:///{folder}/{service.name}.db"
            stack.enter_context(_working(service, migrations, database_url, bus_url, deliveries))

        events = stack.enter_context(
            _watching(bus_url, [each for app in applications for each in events_in(app.contract)])
        )
        for service in fake_services(fakes):
            run(service, None, Deliveries())
        deliveries, interrupts = Deliveries(), _Interrupts()
        for application in applications:
            stack.enter_context(_writing_to(Path(folder), application.service))
            run(interrupts.of(application.service), application.migrations, deliveries)
        listeners = Counter(name for each in applications for name in each.service.listeners)
        yield stack.enter_context(RunningServices(bus_url, deliveries, interrupts, events, listeners))


def _check_calls(applications: Sequence[Application], fakes: Fakes) -> None:
    """Its caller would wait for a minute, and then learn nothing of the service that is missing."""
    here = {each.operation_name for each in fakes}.union(*(each.service.operations for each in applications))
    handlers = [handler for each in applications for handler in each.service.handlers.values()]
    missing = dict.fromkeys(
        f"{handler.service} {handler.verb}s {called.operation_name}, which has neither a service nor a fake here."
        for handler in handlers
        for called in handler.calls
        if called.operation_name not in here
    )
    if missing:
        raise ValueError("\n".join(missing))


@contextmanager
def _writing_to(folder: Path, service: Service) -> Iterator[None]:
    before, service.data_dir = service.data_dir, folder
    try:
        yield
    finally:
        service.data_dir = before


@contextmanager
def _working(
    service: Service, migrations: str | None, database_url: str, bus_url: str, deliveries: Deliveries
) -> Iterator[None]:
    database = migrated(database_url, migrations)
    try:
        transport: Any = ObservedTransport(transport_for(bus_url, service.name), deliveries)
        connect = partial(Client, bus_url, name=f"{service.name}-calls")
        worker = Worker(service, transport, database, connect=connect)
        worker.start()
        try:
            transport.wait_until_ready(START_SECONDS)
            yield
        finally:
            worker.stop(STOP_SECONDS)
    finally:
        database.close()


class _Interrupts:
    """Lets a handler fail after it ran."""

    def __init__(self) -> None:
        self.next_fails = False

    def of(self, service: Service) -> Service:
        """The service with handlers that can be interrupted. Queries stay: they are not run again."""
        service = copy.copy(service)
        service.handlers = {name: self._interruptible(handler) for name, handler in service.handlers.items()}
        service.listeners = {name: self._interruptible(handler) for name, handler in service.listeners.items()}
        return service

    def _interruptible(self, handler: Handler) -> Handler:
        if issubclass(handler.operation, Query):
            return handler

        def run(request: Any, work: Any) -> Any:
            reply = handler.function(request, work)
            if self.next_fails:
                self.next_fails = False
                raise HandlerInterrupted("The test lets this handler fail.")
            return reply

        return replace(handler, function=run)


class _Events:
    """The events that were published since the services started."""

    def __init__(self, watched: Sequence[type[Event]], stream: EventStream | None) -> None:
        self._watched, self._messages = watched, list[Message]()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._collect, args=(stream,), name="test-events", daemon=True)
        if stream is not None:
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def wait_for(self, event: type[E], where: Callable[[E], bool], seconds: float) -> E:
        if event not in self._watched:
            raise ValueError(f"{event.operation_name} is not an event of a service that runs in this test.")
        found: list[E] = []

        def is_found() -> bool:
            for message in list(self._messages):
                if message.type == event.operation_name and where(decoded := decode_event(message.body, event)):
                    self._messages.remove(message)
                    found.append(decoded)
                    return True
            return False

        wait_until(is_found, seconds, event.operation_name)
        return found[0]

    def _collect(self, stream: EventStream) -> None:
        for message, _ in stream.events(self._stopping.is_set):
            self._messages.append(message)


@contextmanager
def _watching(bus_url: str, events: Sequence[type[Event]]) -> Iterator[_Events]:
    with ExitStack() as stack:
        names = [event.operation_name for event in events]
        watched = _Events(events, stack.enter_context(event_stream(bus_url, *names)) if names else None)
        stack.callback(watched.close)
        yield watched
