"""The client's part in a trace: a span for each request that it sends."""

from bus.contract.builtin import is_ping
from bus.messaging.message import Message
from bus.messaging.trace_context import Trace, begin
from bus.telemetry.spans import Spans, attributes_of, sent


class ClientTracing:
    """Decides whether new traces are sampled, and records a span for each request."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def begin(self) -> Trace:
        """The first hop of a new trace."""
        return self._spans.decided(begin())

    def record(self, request: Message, hop: Trace, begun: float, error: str) -> None:
        """Record a finished request. `begun` is time.monotonic(), `error` the problem code, empty for success."""
        if not is_ping(request.queue):
            self._spans.record(sent(request.queue, hop, begun, attributes_of(request), error))
