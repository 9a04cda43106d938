"""Hops: the part of a client in the traces that its requests belong to."""

from bus.contract.builtin import is_ping
from bus.messaging.message import Message
from bus.messaging.trace_context import Trace, begin
from bus.telemetry.spans import Spans, attributes_of, sent


class ClientTracing:
    """Makes a hop for each request, and tells of it when it is over. `spans` is None where nobody collects any."""

    def __init__(self, spans: Spans | None) -> None:
        self._spans = spans

    def next(self, before: Trace | None) -> Trace:
        """Ours, in the trace that we call for or in a new one."""
        if before is not None:
            return before.next_hop()
        return begin() if self._spans is None else self._spans.decided(begin())

    def record(self, request: Message, hop: Trace, begun: float, error: str) -> None:
        """A request is over; `begun` is time.monotonic(), `error` the kind of failure or empty."""
        if self._spans is not None and not is_ping(request.queue):
            self._spans.record(sent(request.queue, hop, begun, attributes_of(request), error))
