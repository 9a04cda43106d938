"""In flight: the requests of one client that wait for their replies."""

import itertools
import threading
import time
from typing import Any

from msgspec import structs

from bus.client.tracing import Hops
from bus.client.waiting_call import Patience, WaitingCall
from bus.contract.operations import Operation
from bus.contract.problems import ProblemError, Unavailable
from bus.messaging.message import Message
from bus.messaging.publishing import not_taken
from bus.messaging.trace_context import Trace
from bus.messaging.transport import Outcome, Transport


class InFlight:
    """At most `most` at the same time; one more is refused at once. Safe to use from many threads.

    `late_replies` counts those that nobody waited for any more, second ones among them.
    """

    def __init__(self, transport: Transport, hops: Hops, most: int) -> None:
        self._transport, self._hops, self._most = transport, hops, most
        self._room = threading.Semaphore(most)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, WaitingCall] = {}
        self.late_replies = 0

    def exchange(self, operation: type[Operation[Any]], request: Message, patience: Patience, hop: Trace) -> Message:
        """Publish a request and wait for its reply. Raises Unavailable or AnswerLate."""
        if not self._room.acquire(blocking=False):
            raise Unavailable("too-many-in-flight", f"{self._most} requests are waiting here already.")
        begun, error = time.monotonic(), ""
        try:
            return self._published(operation, request, patience)
        except ProblemError as problem:
            error = problem.problem.code
            raise
        finally:
            self._room.release()
            self._hops.tell(request, hop, begun, error)

    def replied(self, reply: Message) -> None:
        """A reply has come, on the transport's thread."""
        call = self._waiting.get(str(reply.correlation_id))
        if call is None:
            self.late_replies += 1
        else:
            call.news.put(reply)

    def replies_lost(self) -> None:
        """Replies under way can no longer arrive."""
        for call in list(self._waiting.values()):
            call.news.put(None)

    def _published(self, operation: type[Operation[Any]], request: Message, patience: Patience) -> Message:
        reply_to = self._transport.reply_address
        if reply_to is None:
            raise not_taken(operation.operation_name, Outcome.AWAY)
        number = str(next(self._numbers))
        # A question nobody waits for any more is dropped by the broker; a command never is.
        left_ms = max(0, int((patience.answer_by - time.monotonic()) * 1000))
        expiration_ms = None if operation.is_command else left_ms
        request = structs.replace(request, reply_to=reply_to, correlation_id=number, expiration_ms=expiration_ms)
        call = self._waiting[number] = WaitingCall(patience)
        try:
            self._transport.publish(request, call.outcome)
            return call.wait(operation, request.message_id or "")
        finally:
            del self._waiting[number]
