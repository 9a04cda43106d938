"""The worker: everything that runs for one service in one process, on one transport."""

import threading
import time
from collections.abc import Iterable
from functools import partial

import structlog
from msgspec import structs

from bus.database.engine import Database
from bus.messaging.handler_context import longest_running
from bus.messaging.message import Delivery
from bus.messaging.topology import CONSUMED_KINDS, DEFAULT_LIMITS, Limits, Queue
from bus.messaging.transport import Transport, TransportOptions, is_connected
from bus.security.key_store import prepare_key, read_keys
from bus.security.unsealer import Unsealer
from bus.service.service import Service
from bus.telemetry.metrics import CONNECTED, Metrics, WorkerMetrics
from bus.telemetry.spans import Spans
from bus.worker.background.gauges import DatabaseGauges
from bus.worker.background.outbox_relay import OutboxRelay
from bus.worker.background.retention import Retention
from bus.worker.background.watchdog import Watchdog
from bus.worker.dead_letters import DeadLetterConsumer
from bus.worker.dispatcher import Dispatcher
from bus.worker.events import EventConsumer
from bus.worker.quarantine import Quarantine
from bus.worker.requests import RequestConsumer
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import BatchHandler, ConsumerThreads

# A batch is what has already arrived, up to this many: enough to share one commit, few enough that
# the first does not wait for the last.
MAX_BATCH = 64
# Messages on hand for each queue: a batch in work and the next ones.
PREFETCH = 2 * MAX_BATCH
# Events come back in their order when a worker dies with no more of them in hand: of larger numbers
# RabbitMQ 3.10 forgets the order (Erlang keeps maps of up to 32 keys sorted).
EVENTS_PREFETCH = 32
CLOSE_SECONDS = 5.0
# The broker's word that nothing more comes takes a few milliseconds; without a broker it never comes.
CANCEL_SECONDS = 2.0

CONSUMING = "Whether messages come when there are any."
DROPPED = "Replies that found no queue."

log = structlog.get_logger("bus.worker")


class HandlerHung(Exception):
    """A handler takes longer than the limit, and nothing but the end of the process ends it. Its author's fault.

    The message comes again, and becomes a dead letter when that helps nothing.
    """


class Worker:
    """Runs one service's handlers on one transport. Start it, and stop it once."""

    def __init__(
        self,
        service: Service,
        transport: Transport,
        database: Database,
        limits: Limits = DEFAULT_LIMITS,
        *,
        require_sealed: bool = False,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self._service, self._transport, self._database, self._limits = service, transport, database, limits
        self._stopping = threading.Event()
        self._queues = service.queues(limits)
        self._spans = spans
        self._relay = OutboxRelay(service.name, transport, database, spans)
        self._retention = Retention(service.name, database, limits.keep_days)
        counted = None if metrics is None else WorkerMetrics(metrics, service.name)
        dispatcher = Dispatcher(service.name, transport, limits, self._stopping, MessageTelemetry(counted, spans))
        unsealer = Unsealer(partial(read_keys, database), required=require_sealed)
        requests = RequestConsumer(service, database, dispatcher, self._relay.wake, unsealer)
        listening = EventConsumer(service, database, dispatcher, self._relay.wake, limits, self._stopping)
        taking_in = DeadLetterConsumer(service, database, dispatcher, self._stopping, counted)
        handlers_by_queue: dict[str, BatchHandler] = {
            each.name: requests.handle_batch for each in self._of("command", "query")
        }
        name, together = service.name, service.threads == 1
        # Threads of their own for what must not wait for a handler: whether we live, and how things went.
        self._lanes = {
            "requests": ConsumerThreads(
                name, requests.handle_batch, threads=service.threads, batch=MAX_BATCH if together else 1
            ),
            "pulse": ConsumerThreads(f"{name}-pulse", requests.handle_batch, batch=MAX_BATCH),
            "events": ConsumerThreads(f"{name}-events", listening.handle_batch, batch=MAX_BATCH),
            "dead": ConsumerThreads(f"{name}-dead", taking_in.handle_batch, batch=MAX_BATCH),
            "quarantine": ConsumerThreads(
                f"{name}-quarantine", Quarantine(handlers_by_queue, service.operations, dispatcher).handle_batch
            ),
        }
        self._lane_of = {queue.name: self._lanes[self._lane_for(queue)] for queue in self._consumed()}
        self._watchdog = Watchdog(name, transport, counted.restarted if counted else lambda: None)
        self._gauges = None if metrics is None else self._show(metrics)

    @property
    def failure(self) -> Exception | None:
        """Why this worker cannot go on: a thread that ended, or a handler that hangs."""
        failures = [lane.failure for lane in self._lanes.values()] + [
            self._relay.failure,
            self._hung(),
            self._watchdog.failure,
        ]
        return next((failure for failure in failures if failure is not None), None)

    @property
    def why_not_live(self) -> str:
        """Why another start of this process would be better; empty when it would not."""
        return str(self.failure or self._watchdog.why_silent)

    @property
    def why_not_ready(self) -> str:
        """Why no message is worked off now; empty when they are."""
        if self._watchdog.why_silent:
            return self._watchdog.why_silent
        if not is_connected(self._transport):
            return "There is no connection to the broker."
        return "" if self._database.answers() else "The database cannot be reached."

    def start(self) -> None:
        """Connect and begin to consume; returns at once."""
        if self._service.takes_secrets:
            prepare_key(self._database)
        threads = self._service.threads
        options = TransportOptions(
            declares=self._queues,
            consumes=self._consumed(),
            prefetch=PREFETCH if threads == 1 else 2 * threads,
            prefetches={
                **{queue.name: 1 for queue in self._of("quarantine")},
                **{queue.name: EVENTS_PREFETCH for queue in self._of("events")},
            },
            on_delivery=self._put if self._spans is None else self._decide_and_put,
        )
        self._transport.open(options)
        for lane in self._lanes.values():
            lane.start()
        self._relay.start()
        self._retention.start()
        self._watchdog.start()
        if self._gauges is not None:
            self._gauges.start()

    def stop(self, seconds: float) -> None:
        """Take nothing more, finish what is in hand, and close; takes at most about `seconds`."""
        deadline = time.monotonic() + seconds
        self._stopping.set()
        nothing_comes = threading.Event()
        self._transport.stop_consuming(nothing_comes.set)
        nothing_comes.wait(min(CANCEL_SECONDS, seconds))
        for lane in self._lanes.values():
            lane.finish()
        for lane in self._lanes.values():
            lane.join(deadline)
        self._relay.stop(max(0.0, deadline - time.monotonic()))
        for each in (self._watchdog, self._retention, self._gauges):
            if each is not None:
                each.stop(max(0.0, deadline - time.monotonic()))
        self._transport.close(CLOSE_SECONDS)

    def _put(self, delivery: Delivery) -> None:
        self._lane_of[delivery.message.queue].put(delivery)

    def _decide_and_put(self, delivery: Delivery) -> None:
        if self._spans is not None:
            delivery = structs.replace(delivery, trace=self._spans.decided(delivery.trace))
        self._put(delivery)

    def _show(self, metrics: Metrics) -> DatabaseGauges:
        """Have the metrics show what is known here."""
        connection, transport = ("connection", f"{self._service.name}-worker"), self._transport
        metrics.gauge("broker_connected", CONNECTED, connection, lambda: is_connected(transport))
        consuming, watchdog = ("service", self._service.name), self._watchdog
        metrics.gauge("consuming", CONSUMING, consuming, lambda: is_connected(transport) and not watchdog.why_silent)
        metrics.counter("dropped_replies", DROPPED, connection, lambda: transport.dropped_replies)
        return DatabaseGauges(self._service.name, self._database, metrics)

    def _consumed(self) -> list[Queue]:
        return list(self._of(*CONSUMED_KINDS))

    def _of(self, *kinds: str) -> Iterable[Queue]:
        return (queue for queue in self._queues if queue.kind in kinds)

    def _lane_for(self, queue: Queue) -> str:
        if queue.name in self._service.builtin_operations:
            return "pulse"
        return queue.kind if queue.kind in self._lanes else "requests"

    def _hung(self) -> HandlerHung | None:
        found = longest_running(ident for lane in self._lanes.values() for ident in lane.idents)
        if found is None or time.monotonic() - found.since < self._limits.handler_seconds:
            return None
        return HandlerHung(f"The handler of {found.operation} takes longer than {self._limits.handler_seconds:g} s.")
