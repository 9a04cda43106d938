"""The client: call an operation and get its reply, or an exception that says why there is none."""

import math
import time
from collections.abc import Mapping
from queue import Empty
from typing import Any, Self, TypeVar
from uuid import uuid4

from bus.client import liveness
from bus.client.liveness import Liveness, no_worker
from bus.client.pending import Deadlines, PendingCalls
from bus.client.tracing import ClientTracing
from bus.contract.builtin import CommandOutcome, Pong, SealingKey, outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.codec import encode, read_json
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation, Query, Reply, service_of
from bus.contract.problems import ProblemError, ReplyTimeout, Unavailable
from bus.messaging.call import CALL_DEPTH, current_trace, next_depth, running_handlers, seconds_left
from bus.messaging.connect import transport_for
from bus.messaging.message import CLIENT_ADDRESS, JSON, SENT_AT, Message, check_message_id, now_ms
from bus.messaging.redelivery import AUTHORIZATION
from bus.messaging.replies import ACCEPTED, error_of, status_of
from bus.messaging.trace_context import Trace, begin
from bus.messaging.transport import Transport, TransportFailure, TransportOptions, is_connected
from bus.messaging.waiting import Mailbox, mailbox, poll
from bus.security.operators import Operator
from bus.security.sealer import NOTHING_PINNED, Sealer
from bus.telemetry.metrics import CONNECTED, Metrics
from bus.telemetry.spans import Spans

R = TypeVar("R", bound=Reply)

# Long enough for a worker's restart, short enough for a person who waits.
ANSWER_SECONDS = 5.0
# How long a new client may take to connect before its calls fail because the broker cannot be reached.
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
# For the broker to say how many consumers a queue has: it takes some milliseconds.
COUNT_SECONDS = 0.1
MAX_IN_FLIGHT = 512
LATE = "Replies that came after their caller had stopped waiting."
INVALID = "Messages to the reply queue that are not replies as workers send them. They are dropped."

# A worker replies "accepted" to a command that waits until the database is back.
_CANNOT_WORK_NOW = (ACCEPTED, 503)


class Client:
    """Calls operations over one connection to the broker. Make one for a process; it is safe to use from many threads.

        product = Client("amqp://…").call(GetProduct(product_id=1), timeout=2)

    `bus` is the broker's URL (`amqp://`, `amqps://` or `memory://`), `name` what the broker lists the connection as.
    At most `max_in_flight` calls wait at the same time; one more raises Unavailable at once. A call made by a handler
    waits no longer than the handler's own caller does. Secret fields are sealed for their service, unless `seal` is
    False; `identities` are the thumbprints of the identity keys of services, by name, that must have signed the keys
    (`bus sealing-keys identity`). `metrics` and `spans` record the calls.
    """

    def __init__(
        self,
        bus: str | Transport,
        *,
        name: str = "client",
        max_in_flight: int = MAX_IN_FLIGHT,
        seal: bool = True,
        identities: Mapping[str, str] = NOTHING_PINNED,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.metrics, self.spans = metrics, spans
        self._transport = transport_for(bus, name) if isinstance(bus, str) else bus
        self._tracing = None if spans is None else ClientTracing(spans)
        self._pending = PendingCalls(self._transport, max_in_flight)
        self._liveness = Liveness(self._ping)
        self._sealer = Sealer(self._ask_for_key, identities) if seal else None
        self._opened_at = time.monotonic()
        self._awaits_connection = True
        if metrics is not None:
            self._show(metrics, name)
        pending = self._pending
        self._transport.open(TransportOptions(on_reply=pending.replied, on_replies_lost=pending.replies_lost))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def broker(self) -> str:
        """The broker in a few words, without credentials."""
        return self._transport.describe()

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is inside this process, so that no other program can use it."""
        return self._transport.is_embedded

    @property
    def late_replies(self) -> int:
        """How many replies came after their caller had stopped waiting, duplicates among them."""
        return self._pending.late_replies

    @property
    def failure(self) -> TransportFailure | None:
        """Why this client will never reach the broker again; None while it still tries."""
        return self._transport.failure

    def call(
        self,
        request: Operation[R],
        *,
        timeout: float = ANSWER_SECONDS,
        message_id: str | None = None,
        token: str | Operator | None = None,
        client_address: str = "",
    ) -> R:
        """Send a request and wait for its reply, at most `timeout` seconds.

        `message_id` makes a command repeatable: sent again with the same id, it is carried out once and gets the same
        reply. `token` is an access token, sent sealed in the header `authorization` where the operation reads it, or
        the operator who signs the request. `client_address` is that of the HTTP client for which this is asked, if any.

        Raises:
            Refusal: the service refused (the class the contract declares, else Refused).
            Invalid: the request breaks a rule of its contract, or its message id is malformed.
            Unavailable: the request was not accepted, or the service cannot answer now.
            ReplyTimeout: no reply came in time; a command is still carried out, and only that.
        """
        message_id = uuid4().hex if message_id is None else message_id
        body = encode(request)
        reply = self.exchange(
            type(request), body, timeout=timeout, message_id=message_id, token=token, client_address=client_address
        )
        status = status_of(reply)
        if status == ACCEPTED:
            raise ReplyTimeout(type(request).operation_name, message_id, timeout)
        if status < 400:
            return read_json(reply.body or b"{}", type(request).reply_type)  # type: ignore[return-value]
        raise error_of(type(request), status, reply.body)

    def send(
        self,
        command: Operation[Any],
        *,
        timeout: float = ANSWER_SECONDS,
        message_id: str | None = None,
        token: str | Operator | None = None,
    ) -> str:
        """Publish a command without waiting for its reply; returns its message id.

        Raises Unavailable when the broker did not accept it within `timeout` seconds, Invalid for a malformed message
        id.
        """
        if message_id is None:
            message_id = uuid4().hex
        else:
            check_message_id(message_id)
        deadlines = Deadlines.of(timeout, 0.0)
        try:
            self._publish(
                type(command), encode(command), deadlines, message_id, current_trace(), token, with_reply=False
            )
        except ReplyTimeout:  # confirmed, and no reply was asked for
            return message_id
        raise AssertionError("a request without a reply address got a reply")

    def outcome(
        self,
        command: type[Operation[R]],
        message_id: str,
        *,
        timeout: float = ANSWER_SECONDS,
        token: str | Operator | None = None,
    ) -> R | None:
        """The reply to a command that was sent with this message id; None while it is not carried out, or unknown.

        Outcomes are kept for KEEP_DAYS. Raises as `call` does, and the refusal with which the command was answered.
        """
        query = outcome_query_of(service_of(command))(message_id=message_id)
        found: CommandOutcome = self.call(query, timeout=timeout, token=token)
        if found.status is None:
            return None
        if found.status < 400:
            return read_json(bytes(found.reply), command.reply_type)  # type: ignore[return-value]
        raise error_of(command, found.status, bytes(found.reply))

    def ping(self, service: str, *, timeout: float) -> Pong:
        """Ask a worker of the service whether it and its database work; wait at most `timeout` seconds.

        Unlike this, a `call` gives up after 0.6 s when no worker answers, and after 0.3 s when there is none. Raises
        Unavailable.
        """
        try:
            return read_json(self._ask(ping_of(service), timeout), Pong)
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
        token: str | Operator | None = None,
        trace: Trace | None = None,
        client_address: str = "",
    ) -> Message:
        """As `call`, but with bytes: send a valid body that is not sealed yet, and return the reply message.

        `wait` is the time for the reply in seconds (None: `timeout`), while the liveness check and the broker still
        have all of `timeout`; with 0 a command is only published. `trace` is the caller's hop (None: that of the
        handler in this thread), `client_address` where the request comes from, if that is not this process.

        Raises Unavailable and ReplyTimeout as `call` does, and Invalid for a malformed message id.
        """
        if message_id is None:
            message_id = uuid4().hex
        else:
            check_message_id(message_id)
        timeout = seconds_left(timeout)
        deadlines = Deadlines.of(timeout, timeout if wait is None else wait)
        service = service_of(operation)
        if time.monotonic() - self._liveness.heard_at.get(service, -math.inf) >= liveness.FRESH_SECONDS:
            if self._awaits_connection:
                self._wait_for_first_connection(timeout)
            self._liveness.check(service, timeout)
        trace = trace or current_trace()
        reply = self._publish(operation, body, deadlines, message_id, trace, token, client_address)
        status = status_of(reply)
        if status == 422 and self._sealer and self._sealer.is_refused(operation, reply.body):
            reply = self._publish(operation, body, deadlines, message_id, trace, token, client_address)
            status = status_of(reply)
        if status in _CANNOT_WORK_NOW:
            self._liveness.doubt(service)
        else:
            self._liveness.heard_at[service] = time.monotonic()
        return reply

    def sealed(self, operation: type[Operation[Any]], body: bytes, *, timeout: float = ANSWER_SECONDS) -> bytes:
        """A valid body with its secrets sealed to the key of its service, to be sent by that service itself.

        Raises Unavailable.
        """
        if self._sealer is None or not secrets_of(operation):
            return body
        return self._sealer.sealed(operation, body, time.monotonic() + timeout)

    def is_hopeless(self, operation: type[Operation[Any]]) -> bool:
        """Whether a command should not be waited for: its answer would come too late, or as many wait as may."""
        name = operation.operation_name
        return self._pending.backlogs.is_hopeless(name) or self._pending.has_its_share(name)

    def close(self) -> None:
        """Send what is waiting and close the connection; takes at most 5 s."""
        self._transport.close(CLOSE_SECONDS)

    def _publish(
        self,
        operation: type[Operation[Any]],
        body: bytes,
        deadlines: Deadlines,
        message_id: str,
        trace: Trace | None,
        token: str | Operator | None = None,
        client_address: str = "",
        *,
        with_reply: bool = True,
    ) -> Message:
        """Seal and publish a request, and wait for its reply. All requests pass here. Raises as `exchange` does."""
        if self._awaits_connection:
            self._wait_for_first_connection(deadlines.accepted_by - time.monotonic())
        if self._sealer is not None and secrets_of(operation):
            body = self._sealer.sealed(operation, body, deadlines.accepted_by, message_id)
        hop = trace.next_hop() if trace else self._tracing.begin() if self._tracing else begin()
        headers: dict[str, object] = {SENT_AT: now_ms(), **hop.headers}
        if client_address:
            headers[CLIENT_ADDRESS] = client_address
        if isinstance(token, Operator):
            headers[AUTHORIZATION] = token.signature(operation.operation_name, message_id, body)
        elif token and operation.authentication != "none":
            sealer, deadline = self._sealer, deadlines.accepted_by
            sealed = sealer.sealed_token(operation, token, deadline) if sealer else f"Bearer {token}"
            headers[AUTHORIZATION] = sealed
        if running_handlers and (depth := next_depth()):
            headers[CALL_DEPTH] = depth
        request = Message(
            queue=operation.operation_name,
            body=body,
            message_id=message_id,
            content_type=JSON,
            persistent=operation.is_durable,
            headers=headers,
        )
        if self._tracing is None:
            return self._pending.exchange(operation, request, deadlines, with_reply=with_reply)
        begun, error = time.monotonic(), ""
        try:
            return self._pending.exchange(operation, request, deadlines, with_reply=with_reply)
        except ProblemError as problem:
            error = "" if isinstance(problem, ReplyTimeout) and not with_reply else problem.problem.code
            raise
        finally:
            self._tracing.record(request, hop, begun, error)

    def _show(self, metrics: Metrics, name: str) -> None:
        """Add this connection to the metrics."""
        label, transport = ("connection", name), self._transport
        metrics.gauge("broker_connected", CONNECTED, label, lambda: is_connected(transport))
        metrics.counter("late_replies", LATE, label, lambda: self.late_replies)
        metrics.counter("invalid_replies", INVALID, label, lambda: self._pending.invalid_replies)

    def _ask_for_key(self, service: str, deadline: float) -> SealingKey:
        return read_json(self._ask(sealing_key_query_of(service), deadline - time.monotonic()), SealingKey)

    def _ping(self, service: str, seconds: float) -> None:
        """Raises Unavailable or ReplyTimeout: after half of the time, if there is no worker that could answer."""
        ping, deadline = ping_of(service), time.monotonic() + seconds
        if not self._is_consumed(ping.operation_name):
            deadline -= seconds / 2
        self._ask(ping, deadline - time.monotonic())

    def _is_consumed(self, queue: str) -> bool:
        """Whether a queue has a consumer, as far as the broker says so in time."""
        counts: Mailbox[int] = mailbox()
        self._transport.count_consumers(queue, counts.put)
        try:
            return counts.get(timeout=COUNT_SECONDS) > 0
        except Empty:
            return True

    def _ask(self, query: type[Query[Any]], seconds: float) -> bytes:
        """The reply to a built-in query, sent without a liveness check. Raises ProblemError."""
        seconds = max(0.0, seconds)
        reply = self._publish(query, b"{}", Deadlines.of(seconds, seconds), uuid4().hex, None)
        if status_of(reply) >= 400:
            raise error_of(query, status_of(reply), reply.body)
        return reply.body

    def _wait_for_first_connection(self, seconds: float) -> None:
        """Give a new client time to connect. Raises Unavailable if it has failed for good."""
        grace = self._opened_at + CONNECT_SECONDS - time.monotonic()
        try:
            is_over = grace <= 0 or poll(lambda: self._transport.wait_until_ready(0), min(seconds, grace))
        except TransportFailure as failure:
            raise Unavailable("broker-away", str(failure)) from None
        self._awaits_connection = not is_over
