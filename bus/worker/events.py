"""Events: what a worker does with the events that its service listens to, in their order, each once."""

import threading
from collections.abc import Sequence

import structlog

from bus.contract.events import Event
from bus.contract.problems import Invalid
from bus.contract.validation import decode_event
from bus.database.engine import Database
from bus.messaging.call import EVENTS, Call
from bus.messaging.message import Delivery, check_message
from bus.messaging.replies import EncodedReply
from bus.messaging.topology import DELIVERY_LIMIT, SUSPECT_DELIVERIES, Limits
from bus.messaging.transport import Transport
from bus.service.service import Service
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import Executor, OnEvents
from bus.worker.failures import FailureRecord
from bus.worker.handler_runs import HandlerFailed
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import Arrivals, DatabaseWaits, Stopped

# An event that was the first to be handled when this many workers died is what they died of. The events behind it were
# counted with it, and have as many deaths left until the broker gives them up.
KILLER_DEATHS = DELIVERY_LIMIT // 2

log = structlog.get_logger("bus.worker")


class EventConsumer:
    """Handles events in their order, each once.

    An event whose listener fails is tried again after the pauses of a retry, while later ones wait; then it is a dead
    letter. Events that a worker held when it died stay in their place too: they are handled one at a time, so that the
    one to blame is the first that comes back.
    """

    def __init__(
        self,
        service: Service,
        database: Database,
        transport: Transport,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
        failures: FailureRecord,
        limits: Limits,
        stopping: threading.Event,
        waits: DatabaseWaits,
        *,
        on_events: OnEvents,
    ) -> None:
        self._executor, self._waits = Executor(service.listeners, database, on_events=on_events), waits
        self._listeners = service.listeners
        self._transport, self._dispatcher, self._telemetry = transport, dispatcher, telemetry
        self._pauses, self._stopping, self._failures = limits.retry_seconds, stopping, failures
        self._session: int | None = None
        self._held: frozenset[str | None] = frozenset()

    def handle_batch(self, batch: Sequence[Delivery], _threads: Arrivals) -> None:
        """Raises Stopped, also when events come after the worker was told to stop: they go back unchanged."""
        if self._stopping.is_set():
            raise Stopped
        self._telemetry.record_batch(len(batch))
        is_killer = self._is_killer(batch[0])
        self._held = frozenset(delivery.message.message_id for delivery in batch)
        if is_killer:
            detail = f"{batch[0].deaths} workers died while they handled this event."
            self._dead_letter(batch[0], "worker-died", detail)
            self._transport.acknowledge([batch[0]])
            batch = batch[1:]
        one_at_a_time = any(delivery.deaths >= SUSPECT_DELIVERIES for delivery in batch)
        for part in [[delivery] for delivery in batch] if one_at_a_time else [batch]:
            admitted = ((delivery, self._admit(delivery)) for delivery in part)
            self._handle_all([(delivery, call) for delivery, call in admitted if call is not None])

    def _is_killer(self, delivery: Delivery) -> bool:
        """Only the first over a new connection can be: what came before it, the dead worker had finished.

        One that this worker has held is none: the broker takes back, and counts, what waits too long for a database.
        """
        is_first, self._session = delivery.session != self._session, delivery.session
        return is_first and delivery.deaths >= KILLER_DEATHS and delivery.message.message_id not in self._held

    def _admit(self, delivery: Delivery) -> Call | None:
        message = delivery.message
        listener = self._listeners.get(message.type or "")
        if listener is None:  # bound in an earlier version of the service
            self._telemetry.record("ignored", delivery, event_name=message.type)
        else:
            try:
                check_message(message)
                event: Event = decode_event(message.body, listener.operation)  # type: ignore[assignment]
                return Call(listener.operation, event, message.message_id, kind="event", trace=delivery.trace)
            except Invalid as refused:
                self._dead_letter(delivery, refused.problem.code, refused.problem.detail)
        self._transport.acknowledge([delivery])
        return None

    def _handle_all(self, events: list[tuple[Delivery, Call]]) -> None:
        attempt = 0
        while events:
            replies = self._execute([call for _, call in events])
            failed = replies.pop() if isinstance(replies[-1], HandlerFailed) else None
            for (delivery, call), reply in zip(events, replies, strict=False):
                name, status = delivery.message.type, getattr(reply, "status", 0)
                self._telemetry.record("handled", delivery, call, event_name=name, status=status)
            self._transport.acknowledge([delivery for delivery, _ in events[: len(replies)]])
            attempt = 0 if replies else attempt
            events = events[len(replies) :]
            if isinstance(failed, HandlerFailed):
                attempt += 1
                if self._is_given_up(*events[0], failed, attempt):
                    events, attempt = events[1:], 0

    def _execute(self, calls: list[Call]) -> list[EncodedReply | HandlerFailed]:
        return self._waits.until_done(lambda: self._executor.execute_in_order(calls), len(calls))

    def _is_given_up(self, delivery: Delivery, call: Call, failed: HandlerFailed, attempt: int) -> bool:
        """Pause before the next try, or make it a dead letter after the last."""
        name, trace_id = delivery.message.type, delivery.trace.trace_id
        log.error("listener_failed", event_name=name, attempt=attempt, trace_id=trace_id, exception=failed.traceback)
        pause = self._pauses[attempt - 1] if attempt <= len(self._pauses) else None
        self._failures.add(delivery, failed, call.operation.operation_name, EVENTS, attempt, pause)
        if pause is not None:
            facts = {"event_name": name, "attempt": attempt, "seconds": pause}
            self._telemetry.record("retried", delivery, call, is_last=False, **facts)
            if self._stopping.wait(pause):
                raise Stopped
            return False
        self._dead_letter(delivery, "fault", failed.message, failed, call, attempt)
        self._transport.acknowledge([delivery])
        return True

    def _dead_letter(
        self,
        delivery: Delivery,
        reason: str,
        detail: str,
        failed: HandlerFailed | None = None,
        call: Call | None = None,
        attempt: int = 1,
    ) -> None:
        self._dispatcher.dead_letter(delivery, delivery.message.body, reason, detail, failed)
        name = delivery.message.type
        self._telemetry.record("dead_lettered", delivery, call, event_name=name, code=reason, attempt=attempt)
