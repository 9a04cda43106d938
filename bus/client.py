"""The client: call an operation and get its answer, or a typed reason why not."""

import itertools
import time
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar
from uuid import uuid4

import msgspec
from msgspec import structs

from bus.admission import check_message_id
from bus.answer import ACCEPTED
from bus.codec import encode
from bus.connect import transport_for
from bus.liveness import Liveness
from bus.message import JSON, Message
from bus.operation import Operation, Reply, service_of
from bus.ping import ping_of
from bus.problem import AnswerLate, Invalid, Problem, ProblemError, Unavailable
from bus.refusal import Refused
from bus.transport import Outcome, Transport, TransportFailure, Wiring
from bus.waiting_call import WaitingCall, not_taken

R = TypeVar("R", bound=Reply)

# Long enough for a worker's restart, short enough for a person who waits.
ANSWER_SECONDS = 5.0
# Time given to a first connection before a call says that the broker is away.
CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0
MAX_IN_FLIGHT = 512

# A worker says "accepted" of a command that it keeps until its database is back.
_CANNOT_WORK_NOW = (ACCEPTED, 503)
_NOT_ACCEPTABLE = (400, 413, 415, 422)


class Client:
    """A caller's end of the bus. One for a process; safe to use from many threads.

        product = Client("amqp://…").call(GetProduct(product_id=1), timeout=2)

    `max_in_flight` bounds the calls that wait at the same time; one more is refused at once.
    """

    def __init__(self, bus: str | Transport, *, name: str = "client", max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._transport = transport_for(bus, name) if isinstance(bus, str) else bus
        self._max_in_flight = max_in_flight
        self._numbers = itertools.count(1)
        self._waiting: dict[str, WaitingCall] = {}
        self._liveness = Liveness(self._ping)
        self._opened_at = time.monotonic()
        self._has_connected = False
        self._transport.open(Wiring(on_reply=self._replied, on_replies_lost=self._replies_lost))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def broker(self) -> str:
        """The broker in a few words, without credentials."""
        return self._transport.describe()

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
            AnswerLate: no answer in time; a command is still carried out.
        """
        message_id = uuid4().hex if message_id is None else message_id
        reply = self.exchange(type(request), encode(request), timeout=timeout, message_id=message_id)
        status = status_of(reply)
        if status == ACCEPTED:
            raise AnswerLate(type(request).operation_name, message_id, timeout)
        if status < 400:
            return msgspec.json.decode(reply.body, type=type(request).reply_type)  # type: ignore[return-value]
        raise _error_of(type(request), status, reply.body)

    def exchange(
        self,
        operation: type[Operation[Any]],
        body: bytes,
        *,
        timeout: float,
        message_id: str | None = None,
        token: str | None = None,
    ) -> Message:
        """The same with bytes: send a body that is known to be valid, return the reply as it came.

        Raises Unavailable or AnswerLate, as `call` does, and Invalid for a message id that is none.
        """
        if message_id is not None:
            check_message_id(message_id)
        deadline = time.monotonic() + timeout
        self._wait_for_first_connection(timeout)
        self._liveness.check(service_of(operation), timeout)
        request = _request(operation, body, message_id or uuid4().hex, token)
        reply = self._exchange(operation, request, deadline, timeout)
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
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._wait_for_first_connection(timeout)
        self._transport.publish(_request(operation, encode(command), message_id, token), outcomes.put)
        try:
            outcome = outcomes.get(timeout=timeout)
        except Empty:
            outcome = Outcome.UNKNOWN
        if outcome is not Outcome.CONFIRMED:
            raise not_taken(operation, outcome)
        return message_id

    def close(self) -> None:
        """Send what is waiting and close the connection."""
        self._transport.close(CLOSE_SECONDS)

    def _exchange(self, operation: type[Operation[Any]], request: Message, deadline: float, timeout: float) -> Message:
        if len(self._waiting) >= self._max_in_flight:
            raise Unavailable("too-many-in-flight", f"{self._max_in_flight} requests are waiting here already.")
        reply_to = self._transport.reply_address
        if reply_to is None:
            raise not_taken(operation, Outcome.AWAY)
        number = str(next(self._numbers))
        # A question nobody waits for any more is dropped by the broker; a command never is.
        left_ms = max(0, int((deadline - time.monotonic()) * 1000))
        expiration_ms = None if operation.is_command else left_ms
        request = structs.replace(request, reply_to=reply_to, correlation_id=number, expiration_ms=expiration_ms)
        call = self._waiting[number] = WaitingCall()
        try:
            self._transport.publish(request, call.outcome)
            return call.wait(operation, request.message_id or "", deadline, timeout)
        finally:
            del self._waiting[number]

    def _ping(self, service: str, seconds: float) -> None:
        ping = ping_of(service)
        reply = self._exchange(ping, _request(ping, b"{}", uuid4().hex, None), time.monotonic() + seconds, seconds)
        if status_of(reply) >= 400:
            raise _error_of(ping, status_of(reply), reply.body)

    def _wait_for_first_connection(self, seconds: float) -> None:
        """A new client gets a moment to connect; after that a broker that is away is said to be so."""
        grace = self._opened_at + CONNECT_SECONDS - time.monotonic()
        if self._has_connected or grace <= 0:
            return
        try:
            self._has_connected = self._transport.wait_until_ready(min(seconds, grace))
        except TransportFailure as failure:
            raise Unavailable("broker-away", str(failure)) from None

    def _replied(self, reply: Message) -> None:
        call = self._waiting.get(str(reply.correlation_id))
        if call is not None:
            call.news.put(reply)

    def _replies_lost(self) -> None:
        for call in list(self._waiting.values()):
            call.news.put(None)


def status_of(reply: Message) -> int:
    """The status a reply carries, as HTTP would give it (RFC 9110, section 15)."""
    status = reply.headers.get("status")
    return status if isinstance(status, int) else 500


def _request(operation: type[Operation[Any]], body: bytes, message_id: str, token: str | None) -> Message:
    return Message(
        queue=operation.operation_name,
        body=body,
        message_id=message_id,
        content_type=JSON,
        persistent=operation.is_command,
        headers={"authorization": f"Bearer {token}"} if token else {},
    )


def _error_of(operation: type[Operation[Any]], status: int, body: bytes) -> ProblemError:
    problem = msgspec.json.decode(body, type=Problem)
    refusal = operation.refusals.get(problem.code)
    if refusal is not None:
        return refusal(problem.detail, problem.errors)
    if status in _NOT_ACCEPTABLE and "." not in problem.code:  # a service's own refusals have its name before a dot
        return Invalid(problem.code, status, problem.title, problem.detail, problem.errors)
    if status == 503:
        return Unavailable(problem.code, problem.detail, problem.retry_after or 1)
    return Refused(problem)
