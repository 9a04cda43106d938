"""The client: call an operation and get its answer, or a typed reason why not."""

import time
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar
from uuid import uuid4

from bus.client.liveness import Liveness, no_worker
from bus.client.pending import Deadlines, PendingCalls
from bus.client.tracing import ClientTracing
from bus.contract.builtin import Pong, SealingKey, ping_of, sealing_key_query_of
from bus.contract.codec import encode, read_json
from bus.contract.operations import Operation, Query, Reply, service_of
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.messaging.checks import check_message_id
from bus.messaging.connect import transport_for
from bus.messaging.handler_context import current_trace, seconds_left
from bus.messaging.headers import SENT_AT, now_ms
from bus.messaging.message import JSON, Message
from bus.messaging.publishing import not_taken
from bus.messaging.replies import ACCEPTED, error_of, status_of
from bus.messaging.trace_context import Trace
from bus.messaging.transport import PublishOutcome, Transport, TransportFailure, TransportOptions, is_connected
from bus.security.sealer import Sealer
from bus.telemetry.metrics import CONNECTED, Metrics
from bus.telemetry.spans import Spans

R = TypeVar("R", bound=Reply)

# Long enough for a worker's restart, short enough for a person who waits.
ANSWER_SECONDS = 5.0
# Time given to a first connection before a call says that the broker is away.
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
MAX_IN_FLIGHT = 512
LATE = "Replies that came when nobody waited for them any more."

# A worker says "accepted" of a command that it keeps until its database is back.
_CANNOT_WORK_NOW = (ACCEPTED, 503)


class Client:
    """A caller's end of the bus. One for a process; safe to use from many threads.

        product = Client("amqp://…").call(GetProduct(product_id=1), timeout=2)

    `max_in_flight` bounds the calls that wait at the same time; one more is refused at once. `late_replies`
    counts those that nobody waited for any more, second ones among them. A call made by a handler waits no
    longer than the handler's own caller does. Secret fields are sealed for their service, unless `seal` says no.
    `metrics` and `spans` are told what is called, where somebody looks at them.
    """

    def __init__(
        self,
        bus: str | Transport,
        *,
        name: str = "client",
        max_in_flight: int = MAX_IN_FLIGHT,
        seal: bool = True,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.metrics, self.spans = metrics, spans
        self._transport = transport_for(bus, name) if isinstance(bus, str) else bus
        self._tracing = ClientTracing(spans)
        self._pending_calls = PendingCalls(self._transport, self._tracing, max_in_flight)
        self._liveness = Liveness(self._ping)
        self._sealer = Sealer(self._ask_for_key) if seal else None
        self._opened_at = time.monotonic()
        self._has_connected = False
        if metrics is not None:
            self._show(metrics, name)
        self._transport.open(
            TransportOptions(on_reply=self._pending_calls.replied, on_replies_lost=self._pending_calls.replies_lost)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def broker(self) -> str:
        """The broker in a few words, without credentials."""
        return self._transport.describe()

    @property
    def late_replies(self) -> int:
        """How many replies came when nobody waited for them any more."""
        return self._pending_calls.late_replies

    @property
    def failure(self) -> TransportFailure | None:
        """Why this client will never reach the broker again; None while there is hope."""
        return self._transport.failure

    def call(self, request: Operation[R], *, timeout: float = ANSWER_SECONDS, message_id: str | None = None) -> R:
        """Ask, and wait for the answer at most `timeout` seconds.

        `message_id` names a command: sent again with the same id it is done once and answered alike.

        Raises:
            Refusal: the service said no (the class the contract declares, else Refused).
            Invalid: the request is not acceptable as it stands.
            Unavailable: it was not accepted, or nobody can answer now.
            ReplyTimeout: no answer in time; a command is still carried out.
        """
        message_id = uuid4().hex if message_id is None else message_id
        reply = self.exchange(type(request), encode(request), timeout=timeout, message_id=message_id)
        status = status_of(reply)
        if status == ACCEPTED:
            raise ReplyTimeout(type(request).operation_name, message_id, timeout)
        if status < 400:
            return read_json(reply.body, type(request).reply_type)  # type: ignore[return-value]
        raise error_of(type(request), status, reply.body)

    def ping(self, service: str, *, timeout: float) -> Pong:
        """Ask whether a worker of the service and its database answer, for as long as `timeout` seconds.

        A `call` of the ping, as of anything, hears that nobody answers after 0.6 s. Raises Unavailable.
        """
        deadline = time.monotonic() + timeout
        self._wait_for_first_connection(timeout)
        try:
            return read_json(self._ask(ping_of(service), deadline), Pong)
        except ReplyTimeout:
            raise no_worker(service) from None

    def exchange(
        self,
        operation: type[Operation[Any]],
        body: bytes,
        *,
        timeout: float,
        wait: float | None = None,
        message_id: str | None = None,
        token: str | None = None,
        trace: Trace | None = None,
    ) -> Message:
        """The same with bytes: send a body that is known to be valid and not sealed, return the reply as it came.

        `wait` is for callers in a hurry: the answer may take that many seconds, while the service and the broker
        may still take all of `timeout` to accept the request. With 0 a command is only handed over. `trace` is what
        it is asked for; without one, that of the handler in this thread.

        Raises Unavailable or ReplyTimeout, as `call` does, and Invalid for a message id that is none.
        """
        if message_id is not None:
            check_message_id(message_id)
        timeout = seconds_left(timeout)
        deadlines = Deadlines.of(timeout, timeout if wait is None else wait)
        self._wait_for_first_connection(timeout)
        self._liveness.check(service_of(operation), timeout)
        message_id, before = message_id or uuid4().hex, trace or current_trace()

        def ask() -> Message:
            hop = self._tracing.next(before)
            request = _request(operation, self._sealed(operation, body, deadlines.taken_by), message_id, hop, token)
            return self._pending_calls.exchange(operation, request, deadlines, hop)

        reply = ask()
        if self._sealer and status_of(reply) == 422 and self._sealer.is_refused(operation, reply.body):
            reply = ask()
        if status_of(reply) in _CANNOT_WORK_NOW:
            self._liveness.doubt(service_of(operation))
        else:
            self._liveness.heard(service_of(operation))
        return reply

    def send(
        self,
        command: Operation[Any],
        *,
        timeout: float = ANSWER_SECONDS,
        message_id: str | None = None,
        token: str | None = None,
    ) -> str:
        """Hand a command to the broker and do not wait for its answer; returns its message id.

        Raises Unavailable when the broker did not take it, Invalid for a message id that is none.
        """
        if message_id is not None:
            check_message_id(message_id)
        operation, message_id = type(command), message_id or uuid4().hex
        outcomes: SimpleQueue[PublishOutcome] = SimpleQueue()
        deadline = time.monotonic() + timeout
        self._wait_for_first_connection(timeout)
        body = self._sealed(operation, encode(command), deadline)
        hop, begun = self._tracing.next(current_trace()), time.monotonic()
        request = _request(operation, body, message_id, hop, token)
        self._transport.publish(request, outcomes.put)
        try:
            outcome = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            outcome = PublishOutcome.UNKNOWN
        self._tracing.record(request, hop, begun, "" if outcome is PublishOutcome.CONFIRMED else outcome.name)
        if outcome is not PublishOutcome.CONFIRMED:
            raise not_taken(operation.operation_name, outcome)
        return message_id

    def close(self) -> None:
        """Send what is waiting and close the connection."""
        self._transport.close(CLOSE_SECONDS)

    def _show(self, metrics: Metrics, name: str) -> None:
        """Have the metrics show what is known here."""
        label, transport = ("connection", name), self._transport
        metrics.gauge("broker_connected", CONNECTED, label, lambda: is_connected(transport))
        metrics.counter("late_replies", LATE, label, lambda: self.late_replies)

    def _sealed(self, operation: type[Operation[Any]], body: bytes, deadline: float) -> bytes:
        """Raises Unavailable when the service gives no key."""
        return self._sealer.sealed(operation, body, deadline) if self._sealer else body

    def _ask_for_key(self, service: str, deadline: float) -> SealingKey:
        return read_json(self._ask(sealing_key_query_of(service), deadline), SealingKey)

    def _ping(self, service: str, seconds: float) -> None:
        self._ask(ping_of(service), time.monotonic() + seconds)

    def _ask(self, query: type[Query[Any]], deadline: float) -> bytes:
        """The answer to a query of our own, without fields. Raises ProblemError for any other."""
        seconds = max(0.0, deadline - time.monotonic())
        hop = self._tracing.next(None)
        request = _request(query, b"{}", uuid4().hex, hop)
        reply = self._pending_calls.exchange(query, request, Deadlines.of(seconds, seconds), hop)
        if status_of(reply) >= 400:
            raise error_of(query, status_of(reply), reply.body)
        return reply.body

    def _wait_for_first_connection(self, seconds: float) -> None:
        """A new client gets a moment to connect; after that a broker that is away is said to be so."""
        grace = self._opened_at + CONNECT_SECONDS - time.monotonic()
        if self._has_connected or grace <= 0:
            return
        try:
            self._has_connected = self._transport.wait_until_ready(min(seconds, grace))
        except TransportFailure as failure:
            raise Unavailable("broker-away", str(failure)) from None


def _request(
    operation: type[Operation[Any]],
    body: bytes,
    message_id: str,
    hop: Trace,
    token: str | None = None,
) -> Message:
    authorization = {"authorization": f"Bearer {token}"} if token else {}
    return Message(
        queue=operation.operation_name,
        body=body,
        message_id=message_id,
        content_type=JSON,
        persistent=operation.is_command,
        headers={SENT_AT: now_ms(), **hop.headers, **authorization},
    )
