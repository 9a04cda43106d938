"""Telemetry of messages: the outcome of each, for the log, the metrics and the traces."""

import time
from collections import deque
from collections.abc import Mapping

import structlog

from bus.contract.builtin import PING
from bus.contract.operator.state import GET_STATE
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import ATTEMPTS, attempts_of
from bus.telemetry.metrics import Metrics
from bus.telemetry.spans import Kind, Span, Spans, attributes_of, wall_ns

ASKED_REGULARLY = (PING, GET_STATE)
# Times and sizes that are kept for an operator to see.
REMEMBERED = 500

log = structlog.get_logger("bus.worker")


class MessageTelemetry:
    """Records the outcomes of the messages of one service. `metrics` and `spans` are None where none are collected.

    `handled` and `failed` count messages; `handler_seconds` and `batches` are the times and sizes of the last ones.
    """

    def __init__(self, service: str, metrics: Metrics | None = None, spans: Spans | None = None) -> None:
        self._service, self._metrics, self._spans = service, metrics, spans
        self.handled = self.failed = 0
        self.handler_seconds: deque[float] = deque(maxlen=REMEMBERED)
        self.batches: deque[int] = deque(maxlen=REMEMBERED)

    def record_batch(self, size: int) -> None:
        """A batch of `size` messages is handled now."""
        self.batches.append(size)
        if self._metrics is not None:
            self._metrics.batches[self._service,].observe(size)

    def record(
        self, outcome: str, delivery: Delivery, call: Call | None = None, *, is_last: bool = True, **facts: object
    ) -> None:
        """The outcome of a message: one line in the log, and what metrics and traces have of it.

        `call` is None for a message that could not be read. The outcome is not the last while the worker keeps the
        message.
        """
        message, now = delivery.message, time.monotonic()
        attempt = attempts_of(message) + 1 if ATTEMPTS in message.headers else 1
        known: dict[str, object] = {"attempt": attempt, "trace_id": delivery.trace.trace_id}
        seconds = None
        if call is not None:
            if call.kind == "request":
                known["caller"] = call.caller.id
            seconds = call.timing.seconds
        if delivery.queued_ms is not None:
            known["queued_ms"] = delivery.queued_ms
        if seconds is not None:
            known["handler_ms"] = round(seconds * 1000, 1)
            self.handler_seconds.append(seconds)
        # Health checks and consoles ask every few seconds; one line each would hide the rest.
        is_ping = message.queue.endswith(ASKED_REGULARLY)
        if is_last and not is_ping:
            self.handled += 1
            self.failed += outcome == "dead_lettered"
        write = log.debug if is_ping else log.info
        ms = round((now - delivery.received_at) * 1000, 1)
        write(outcome, operation=message.queue, id=message.message_id, ms=ms, **{**known, **facts})
        if self._metrics is not None:
            name = message.queue if call is None else call.operation.operation_name
            _count(self._metrics, name, outcome, facts.get("status"), delivery.queued_ms, seconds)
        if self._spans is not None and is_last and delivery.trace.sampled and not is_ping:
            self._record(self._spans, delivery, call, _error(outcome, facts))

    def _record(self, spans: Spans, delivery: Delivery, call: Call | None, error: str) -> None:
        attributes = {**attributes_of(delivery.message), "messaging.operation.type": "process"}
        begun_ns, ended_ns = wall_ns(delivery.received_at), time.time_ns()
        span = Span(
            name=f"process {delivery.message.queue}",
            kind=Kind.CONSUMER,
            trace=delivery.trace,
            begun_ns=begun_ns,
            ended_ns=ended_ns,
            attributes={**attributes, "messaging.operation.name": "process"},
            error=error,
        )
        spans.record(span)
        if call is not None and call.timing.shared_by:
            spans.record(_handler_span(delivery, call, error))


def _count(
    metrics: Metrics, name: str, outcome: str, status: object, queued_ms: int | None, seconds: float | None
) -> None:
    """The outcome of one message, and its times where they are known."""
    if outcome == "answered" and isinstance(status, int) and status >= 400:
        outcome = "refused" if status < 500 else "failed"
    metrics.messages[name, outcome].inc()
    if queued_ms is not None:
        metrics.queue_seconds[name,].observe(queued_ms / 1000)
    if seconds is not None:
        metrics.handler_seconds[name,].observe(seconds)


def _handler_span(delivery: Delivery, call: Call, error: str) -> Span:
    """Its time is that of all calls that the handler took together."""
    timing = call.timing
    begun_ns = wall_ns(timing.begun)
    return Span(
        name=f"handle {call.operation.operation_name}",
        kind=Kind.INTERNAL,
        trace=delivery.trace.next_hop(),
        begun_ns=begun_ns,
        ended_ns=begun_ns + int((timing.ended - timing.begun) * 1e9),
        attributes={"messaging.batch.message_count": timing.shared_by},
        error=error,
    )


def _error(outcome: str, facts: Mapping[str, object]) -> str:
    """The kind of failure, empty for none; a refusal is not a failure of the worker."""
    status = facts.get("status")
    is_failed = outcome in ("retried", "dead_lettered") or (isinstance(status, int) and status >= 500)
    return str(facts.get("code") or status or outcome) if is_failed else ""
