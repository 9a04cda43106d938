"""The worker: everything that runs for one service in one process, on one transport."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from bus.client.client import Client
from bus.contract.builtin import SealingKey
from bus.contract.identity import ANONYMOUS, JsonWebKeySet, key_set_query
from bus.contract.operations import Operation
from bus.contract.operator.state import GET_STATE
from bus.contract.problems import Unavailable
from bus.contract.settings import is_open
from bus.database.engine import Database
from bus.database.trouble import AWAY, DatabaseUnavailable
from bus.messaging.call import longest_running
from bus.messaging.message import MAX_BODY_BYTES
from bus.messaging.topology import CONSUMED_KINDS, DEFAULT_LIMITS, Limits, Queue, dead_letter_queue
from bus.messaging.transport import Transport, TransportOptions, is_connected
from bus.security.guard import Guard
from bus.security.key_store import given_out, prepare_key, read_keys
from bus.security.operators import Operators
from bus.security.service_keys import LetterKey
from bus.security.token_keys import TokenKeys
from bus.security.unsealer import Unsealer
from bus.service.handler import Handler
from bus.service.nested_calls import NestedCalls
from bus.service.service import Service
from bus.service.work import Work
from bus.telemetry.metrics import CONNECTED, Metrics
from bus.telemetry.spans import Spans
from bus.worker.admission import Admission
from bus.worker.background.gauges import DatabaseGauges
from bus.worker.background.heartbeat import Heartbeat
from bus.worker.background.outbox_relay import OutboxRelay
from bus.worker.background.periodic import PeriodicTask
from bus.worker.background.retention import Retention
from bus.worker.background.scheduled import ScheduledTask
from bus.worker.background.watchdog import Watchdog
from bus.worker.builtins import builtin_handlers
from bus.worker.dead_letters import DeadLetterConsumer
from bus.worker.dispatcher import Dispatcher
from bus.worker.events import EventConsumer
from bus.worker.failures import FailureRecord
from bus.worker.operator import OperatorHandlers
from bus.worker.quarantine import Quarantine
from bus.worker.requests import RequestConsumer
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import ConsumerThreads, DatabaseWaits, distributing

# A batch is what has already arrived, up to this many: enough to share one commit, few enough that the first does not
# wait for the last.
MAX_BATCH = 64
# Messages taken ahead from each queue: one batch being handled, and the next.
PREFETCH = 2 * MAX_BATCH
# Events come back in their order when a worker dies with no more of them than this: of larger numbers RabbitMQ 3.10
# forgets the order (Erlang keeps maps of up to 32 keys sorted).
EVENTS_PREFETCH = 32
CLOSE_SECONDS = 5.0
# A request waits for the keys of access tokens at most this long, in the rare case that they must be asked for.
TOKEN_KEYS_SECONDS = 2.0
# The broker confirms within milliseconds that nothing more comes; without a broker it never does.
CANCEL_SECONDS = 2.0

CONSUMING = "Whether messages come when there are any."
DROPPED = "Replies that found no queue."
REFUSED_SEALS = "Seals that did not belong to their message, or could not be opened."
QUEUED = "Dead letters in the broker's queue, not yet stored in the table."


log = structlog.get_logger("bus.worker")


class HandlerHung(Exception):
    """A handler takes longer than the limit, and only the end of the process ends it. Its author's fault.

    The message is delivered again, and becomes a dead letter when that does not help.
    """


class Worker:
    """Runs one service's handlers on one transport. Start it, and stop it once.

    `connect` makes the client with which its handlers call other services and it asks for the keys of access tokens;
    it is closed with the worker. `operator_token` is that of the installation; without one, operators are refused.
    """

    def __init__(
        self,
        service: Service,
        transport: Transport,
        database: Database,
        limits: Limits = DEFAULT_LIMITS,
        *,
        connect: Callable[[], Client] | None = None,
        require_sealed: bool = False,
        operator_token: str = "",
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._service, self._transport, self._database, self._limits = service, transport, database, limits
        self._connect = connect
        self._stopping = threading.Event()
        self._waits = DatabaseWaits(service.name, database, self._stopping)
        self._letter_key = LetterKey(database)
        self._queues = service.queues(limits)
        self._relay = OutboxRelay(service.name, transport, database, self._letter_key, spans)
        self._retention = Retention(service.name, database, limits.keep_days)
        on_restart = metrics.restarts[service.name,].inc if metrics else lambda: None
        self._watchdog = Watchdog(service.name, transport, on_restart)
        self._scheduled = [ScheduledTask(handler, database, self._relay.wake) for handler in service.periodic.values()]
        self._gauges = None if metrics is None else self._show(metrics)
        telemetry = MessageTelemetry(service.name, metrics, spans)
        self._heartbeat = Heartbeat(
            service.name, database, telemetry, self._why_idle, lambda: self._watchdog.unacknowledged
        )
        self._threads = self._consumer_threads(telemetry, metrics, require_sealed, Operators(operator_token))
        threads_of = {queue.name: self._threads[self._threads_for(queue)] for queue in self._consumed()}
        self._on_delivery = distributing(threads_of, spans)

    @property
    def failure(self) -> Exception | None:
        """Why this worker cannot go on: a thread or the transport that ended, or a handler that hangs."""
        failures: list[Exception | None] = [self._transport.failure, self._nested.failure]
        failures += [threads.failure for threads in self._threads.values()]
        failures += [*(task.failure for task in self._tasks()), self._hung()]
        return next((failure for failure in failures if failure is not None), None)

    @property
    def why_not_live(self) -> str:
        """Why a restart of this process would help; empty when it would not."""
        return str(self.failure or self._watchdog.why_silent)

    @property
    def why_not_ready(self) -> str:
        """Why no message is handled now; empty when messages are."""
        return self._why_idle() or ("" if self._database.answers() else AWAY)

    def _why_idle(self) -> str:
        if self._watchdog.why_silent:
            return self._watchdog.why_silent
        if not is_connected(self._transport):
            return "There is no connection to the broker."
        return self._waits.sentence

    def start(self) -> None:
        """Connect and begin to consume; returns at once."""
        with suppress(DatabaseUnavailable):  # it may be away when the key is needed
            self._letter_key.read()
        if self._service.takes_secrets:
            prepare_key(self._database)
        scoped = [name for name, each in self._service.operations.items() if each.required_scope]
        if scoped and is_open(self._service.settings):
            log.warning("open_to_everyone", service=self._service.name, operations=scoped)
        if self._service.calls or (self._connect and self._reads_tokens):
            self._nested.open()
        options = TransportOptions(
            declares=self._queues,
            consumes=list(self._consumed()),
            prefetch=PREFETCH,
            prefetches={
                **{name: 2 * handler.threads for name, handler in self._with_threads().items()},
                **{queue.name: 1 for queue in self._of("quarantine")},
                **{queue.name: EVENTS_PREFETCH for queue in self._of("events")},
            },
            body_bytes=MAX_BODY_BYTES + 1,  # which shows that a body is too long
            on_delivery=self._on_delivery,
        )
        self._transport.open(options)
        for consumer in self._threads.values():
            consumer.start()
        for task in self._tasks():
            task.start()

    def stop(self, seconds: float) -> None:
        """Take nothing more, finish what was taken, and close; takes at most about `seconds`."""
        deadline = time.monotonic() + seconds
        self._stopping.set()
        nothing_comes = threading.Event()
        self._transport.stop_consuming(nothing_comes.set)
        nothing_comes.wait(min(CANCEL_SECONDS, seconds))
        for consumer in self._threads.values():
            consumer.finish()
        for consumer in self._threads.values():
            consumer.join(deadline)
        for task in self._tasks():
            task.stop(max(0.0, deadline - time.monotonic()))
        self._nested.close()
        self._transport.close(CLOSE_SECONDS)

    def _consumer_threads(
        self, telemetry: MessageTelemetry, metrics: Metrics | None, require_sealed: bool, operators: Operators
    ) -> dict[str, ConsumerThreads]:
        """Threads of their own for what must not wait for the commands' turn, or for a lock that they need."""
        service, transport, database, on_events = self._service, self._transport, self._database, self._relay.wake
        name = service.name
        operations: dict[str, type[Operation[Any]]] = service.operations
        letter_key, waits, failures = self._letter_key, self._waits, FailureRecord(name, database)
        dispatcher = Dispatcher(name, transport, self._limits, self._stopping, telemetry, letter_key)
        unsealer = Unsealer(partial(read_keys, database), required=require_sealed)
        if metrics is not None:
            metrics.counter("refused_seals", REFUSED_SEALS, ("service", name), lambda: unsealer.refused)
        token_keys = TokenKeys(self._token_keys)
        guard = Guard(
            unsealer,
            token_keys,
            letter_key,
            self._sealing_key,
            operations.values(),
            is_open=is_open(service.settings),
            operators=operators,
        )
        self._reads_tokens = guard.reads_tokens
        self._nested = NestedCalls(self._connect, guard.token_of, name, service.client_secret)
        requests = RequestConsumer(
            {
                **service.handlers,
                **builtin_handlers(service, lambda: waits.sentence),
                **OperatorHandlers(service, database, transport, self._limits, lambda: waits.sentence).by_queue,
            },
            database,
            waits,
            transport,
            Admission(operations, unsealer, dispatcher, telemetry, guard),
            dispatcher,
            telemetry,
            failures,
            nested=self._nested,
            give_up=timedelta(hours=self._limits.give_up_hours),
            on_events=on_events,
        )
        events = EventConsumer(
            service,
            database,
            transport,
            dispatcher,
            telemetry,
            failures,
            self._limits,
            self._stopping,
            waits,
            on_events=on_events,
        )
        dead_letters = DeadLetterConsumer(service, database, transport, letter_key, self._stopping, waits, metrics)
        handlers_by_queue = dict.fromkeys(operations, requests.handle_batch)
        quarantine = Quarantine(handlers_by_queue, operations, transport, dispatcher, telemetry)
        own = {
            queue: ConsumerThreads(queue, requests.handle_batch, threads=handler.threads)
            for queue, handler in self._with_threads().items()
        }
        return {
            **own,
            "requests": ConsumerThreads(name, requests.handle_batch, batch=MAX_BATCH),
            "queries": ConsumerThreads(f"{name}-queries", requests.handle_batch, batch=MAX_BATCH),
            "operator": ConsumerThreads(f"{name}-operator", requests.handle_batch),
            "builtin": ConsumerThreads(f"{name}-builtin", requests.handle_batch, batch=MAX_BATCH),
            "events": ConsumerThreads(f"{name}-events", events.handle_batch, batch=MAX_BATCH),
            "dead": ConsumerThreads(f"{name}-dead", dead_letters.handle_batch, batch=MAX_BATCH),
            "quarantine": ConsumerThreads(f"{name}-quarantine", quarantine.handle_batch),
        }

    def _token_keys(self) -> JsonWebKeySet:
        """Ask for the keys of access tokens. Raises ProblemError, and DatabaseUnavailable where they are our own."""
        query = key_set_query()
        if (own := self._service.handlers.get(query.operation_name)) is not None:
            with self._database.reading() as transaction:
                keys: JsonWebKeySet = own.function(query(), Work(transaction, ANONYMOUS, self._service.name))
                return keys
        if self._connect is None:
            raise Unavailable("no-token-keys", "This worker was started without a client.")
        return self._nested.open().call(query(), timeout=TOKEN_KEYS_SECONDS)

    def _sealing_key(self) -> SealingKey:
        with self._database.reading() as transaction:
            return given_out(transaction.connection, self._service.name)

    def _tasks(self) -> list[PeriodicTask]:
        """What runs beside the messages; the relay first, for it still has events to send at the end."""
        tasks: list[PeriodicTask | None] = [
            self._relay,
            self._watchdog,
            self._retention,
            self._gauges,
            self._heartbeat,
            *self._scheduled,
        ]
        return [task for task in tasks if task is not None]

    def _with_threads(self) -> dict[str, Handler]:
        """The handlers that have threads of their own, by their queues."""
        return {name: handler for name, handler in self._service.handlers.items() if handler.threads}

    def _threads_for(self, queue: Queue) -> str:
        if queue.name in self._threads:
            return queue.name
        for operation in self._service.builtin_operations:
            if queue.name == operation.operation_name:  # a ping, or the state, must not wait for many dead letters
                is_long = operation.authentication == "operator" and not queue.name.endswith(GET_STATE)
                return "operator" if is_long else "builtin"
        if queue.kind == "query":
            return "queries"
        return queue.kind if queue.kind in self._threads else "requests"

    def _show(self, metrics: Metrics) -> DatabaseGauges:
        """Add what is known here to the metrics."""
        connection, transport = ("connection", f"{self._service.name}-worker"), self._transport
        metrics.gauge("broker_connected", CONNECTED, connection, lambda: is_connected(transport))
        consuming, watchdog = ("service", self._service.name), self._watchdog
        metrics.gauge("consuming", CONSUMING, consuming, lambda: is_connected(transport) and not watchdog.why_silent)
        dead = dead_letter_queue(self._service.name).name
        metrics.gauge("dead_letters_queued", QUEUED, consuming, lambda: watchdog.queued.get(dead, 0))
        metrics.counter("dropped_replies", DROPPED, connection, lambda: transport.dropped_replies)
        return DatabaseGauges(self._service.name, self._database, metrics)

    def _consumed(self) -> Iterable[Queue]:
        return self._of(*CONSUMED_KINDS)

    def _of(self, *kinds: str) -> Iterable[Queue]:
        return (queue for queue in self._queues if queue.kind in kinds)

    def _hung(self) -> HandlerHung | None:
        idents = [ident for threads in self._threads.values() for ident in threads.idents]
        found = longest_running([*idents, *(task.ident for task in self._scheduled)])
        if found is None or time.monotonic() - found.since < self._limits.handler_seconds:
            return None
        return HandlerHung(f"The handler of {found.operation} takes longer than {self._limits.handler_seconds:g} s.")
