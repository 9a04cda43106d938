"""Listening: what a worker does with the events that its service listens to."""

import threading
from collections.abc import Sequence

import structlog

from bus.contract.problems import Invalid
from bus.contract.validation import decode_event
from bus.database.engine import Database, DatabaseUnavailable
from bus.messaging.call import EVENTS, Call
from bus.messaging.checks import check_message
from bus.messaging.message import Delivery
from bus.messaging.topology import DELIVERY_LIMIT, SUSPECT_DELIVERIES, Limits
from bus.service.service import Service
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import Emitted, HandlerFailed, execute_in_order
from bus.worker.threads import ConsumerThreads, Stopped, log_available, log_unavailable, wait_until_available

# An event that was the first in hand when so many workers died is what they died of. Those in hand behind it were
# counted with it, and have as many deaths left until the broker gives them up.
KILLER_DEATHS = DELIVERY_LIMIT // 2

log = structlog.get_logger("bus.worker")


class EventConsumer:
    """Has events noted in their order, each once.

    An event whose listener fails is tried again after the pauses of a retry, while later ones wait; then it is
    a dead letter. Events that were in hand when workers died stay in their place too: they are noted one at a
    time, so that the one to blame is the first that comes back.
    """

    def __init__(
        self,
        service: Service,
        database: Database,
        dispatcher: Dispatcher,
        emitted: Emitted,
        limits: Limits,
        stopping: threading.Event,
    ) -> None:
        self._service, self._database, self._dispatcher, self._emitted = service, database, dispatcher, emitted
        self._pauses, self._stopping = limits.retry_seconds, stopping
        self._session: int | None = None

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:  # noqa: ARG002  # it waits in place, not at the lane
        """Raises Stopped, also when more events come after the worker was told to stop: they go back unchanged."""
        if self._stopping.is_set():
            raise Stopped
        self._dispatcher.record_batch(len(batch))
        if self._is_killer(batch[0]):
            self._dead_letter(batch[0], "worker-died", f"{batch[0].deaths} workers died with this event in hand.")
            self._dispatcher.acknowledge([batch[0]])
            batch = batch[1:]
        alone = any(delivery.deaths >= SUSPECT_DELIVERIES for delivery in batch)
        for part in [[delivery] for delivery in batch] if alone else [batch]:
            admitted = ((delivery, self._admit(delivery)) for delivery in part)
            self._note_all([(delivery, call) for delivery, call in admitted if call is not None])

    def _is_killer(self, delivery: Delivery) -> bool:
        """Only the first that comes over a new connection can be: the dead worker had done what came before."""
        is_first, self._session = delivery.session != self._session, delivery.session
        return is_first and delivery.deaths >= KILLER_DEATHS

    def _admit(self, delivery: Delivery) -> Call | None:
        message = delivery.message
        listener = self._service.listeners.get(message.type or "")
        if listener is None:  # bound in an earlier version of the service
            self._dispatcher.record("ignored", delivery, event_name=message.type)
        else:
            try:
                check_message(message)
                event = decode_event(message.body, listener.operation)
                return Call(listener.operation, event, message.message_id, EVENTS, trace=delivery.trace)
            except Invalid as refused:
                self._dead_letter(delivery, refused.problem.code, refused.problem.detail)
        self._dispatcher.acknowledge([delivery])
        return None

    def _note_all(self, events: list[tuple[Delivery, Call]]) -> None:
        attempt = 0
        while events:
            answers = self._execute([call for _, call in events])
            failed = answers.pop() if isinstance(answers[-1], HandlerFailed) else None
            for (delivery, call), answer in zip(events, answers, strict=False):
                name, status = delivery.message.type, getattr(answer, "status", 0)
                self._dispatcher.record("handled", delivery, call, event_name=name, status=status)
            self._dispatcher.acknowledge([delivery for delivery, _ in events[: len(answers)]])
            attempt = 0 if answers else attempt
            events = events[len(answers) :]
            if isinstance(failed, HandlerFailed):
                attempt += 1
                if self._is_given_up(*events[0], failed, attempt):
                    events, attempt = events[1:], 0

    def _execute(self, calls: list[Call]) -> list[object]:
        while True:
            try:
                return list(execute_in_order(calls, self._service, self._database, self._emitted))
            except DatabaseUnavailable as away:
                log_unavailable(self._service.name, len(calls), away)
                wait_until_available(self._database, self._stopping)
                log_available(self._service.name)

    def _is_given_up(self, delivery: Delivery, call: Call, failed: HandlerFailed, attempt: int) -> bool:
        """Pause before the next try, or bury after the last."""
        name, trace_id = delivery.message.type, delivery.trace.trace_id
        log.error("listener_failed", event_name=name, attempt=attempt, trace_id=trace_id, exception=failed.traceback)
        if attempt <= len(self._pauses):
            pause = self._pauses[attempt - 1]
            facts = {"event_name": name, "attempt": attempt, "seconds": pause}
            self._dispatcher.record("retried", delivery, call, is_last=False, **facts)
            if self._stopping.wait(pause):
                raise Stopped
            return False
        self._dead_letter(delivery, "fault", failed.message, failed, call, attempt)
        self._dispatcher.acknowledge([delivery])
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
        self._dispatcher.record("dead_lettered", delivery, call, event_name=name, code=reason, attempt=attempt)
