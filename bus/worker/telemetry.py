"""The witness: tells what became of each message, to the log, the metrics and the traces."""

import time
from collections.abc import Mapping

import structlog

from bus.contract.builtin import is_ping
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import attempts_of
from bus.telemetry.metrics import WorkerMetrics
from bus.telemetry.spans import Kind, Span, Spans, attributes_of, wall_ns

log = structlog.get_logger("bus.worker")


class MessageTelemetry:
    """Sees the outcomes of one worker's messages. `metrics` and `spans` are None where nobody looks at any."""

    def __init__(self, metrics: WorkerMetrics | None = None, spans: Spans | None = None) -> None:
        self._metrics, self._spans = metrics, spans

    def record_batch(self, size: int) -> None:
        """So many messages are worked off together now."""
        if self._metrics is not None:
            self._metrics.batch(size)

    def record(
        self, outcome: str, delivery: Delivery, call: Call | None = None, *, is_last: bool = True, **facts: object
    ) -> None:
        """What became of a message, as one line. `call` is what was asked, where it could be read.

        It is not the last word while the message stays in hand.
        """
        message = delivery.message
        seconds = None if call is None else call.timing.seconds
        # Pings are the pulse of health checks; one line each would drown the rest.
        is_pulse = is_ping(message.queue)
        say = log.debug if is_pulse else log.info
        known = {"attempt": attempts_of(message) + 1, "trace_id": delivery.trace.trace_id}
        if call is not None:
            known["caller"] = call.caller
        if delivery.queued_ms is not None:
            known["queued_ms"] = delivery.queued_ms
        if seconds is not None:
            known["handler_ms"] = _ms(seconds)
        ms = _ms(time.monotonic() - delivery.received_at)
        say(outcome, operation=message.queue, id=message.message_id, ms=ms, **{**known, **facts})
        if self._metrics is not None:
            name = message.queue if call is None else call.operation.operation_name
            self._metrics.message(name, _label(outcome, facts.get("status")), delivery.queued_ms, seconds)
        if self._spans is not None and is_last and delivery.trace.sampled and not is_pulse:
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


def _handler_span(delivery: Delivery, call: Call, error: str) -> Span:
    """Its time is that of all calls that the handler was given together."""
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


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def _error(outcome: str, facts: Mapping[str, object]) -> str:
    """The kind of failure; a refusal is none of the worker's."""
    status = facts.get("status")
    is_failed = outcome in ("retried", "dead_lettered") or (isinstance(status, int) and status >= 500)
    return str(facts.get("code") or status or outcome) if is_failed else ""


def _label(outcome: str, status: object) -> str:
    """An answer that is a no counts as one."""
    if outcome != "answered" or not isinstance(status, int) or status < 400:
        return outcome
    return "refused" if status < 500 else "failed"
