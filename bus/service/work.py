"""Work: what a handler is given besides the request."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection

from bus.client.client import ANSWER_SECONDS
from bus.contract.builtin import send_of
from bus.contract.codec import encode
from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.identity import Caller
from bus.contract.operations import Operation, Reply, service_of
from bus.database.engine import Outgoing, Transaction
from bus.messaging.call import ORIGIN_CHARACTERS, Call, origin_of
from bus.messaging.message import JSON, MAX_BODY_BYTES, check_body
from bus.service.nested_calls import NestedCalls

R = TypeVar("R", bound=Reply)


class Work:
    """The open transaction and the caller. Handlers never commit: the worker does, after them.

    A handler may run several times for one request, because a worker dies or its transaction fails. Its database work,
    its events, and what it sends are undone then; a nested call is not, and gives the same reply again.
    `caller` is known where the operation needs it (`needs=` in the contract); elsewhere it is anonymous.
    """

    def __init__(
        self,
        transaction: Transaction,
        caller: Caller,
        service: str,
        calls: Sequence[Call] = (),
        may_call: Sequence[type[Operation[Any]]] = (),
        nested: NestedCalls | None = None,
        may_send: Sequence[type[Operation[Any]]] = (),
    ) -> None:
        self._transaction = transaction
        self._service = service
        self._calls = calls
        self._may_call, self._nested, self._called = may_call, nested, 0
        self._may_send = may_send
        self.caller = caller

    @property
    def message_id(self) -> str | None:
        """The message id of the command or event; None without one, and in a handler of many."""
        return self._calls[0].message_id if len(self._calls) == 1 else None

    @property
    def attempt(self) -> int:
        """Which try this is, from 1. Repetitions that follow at once, within a second, count as one try."""
        return max((call.attempt for call in self._calls), default=1)

    @property
    def client_address(self) -> str:
        """The IP address of the HTTP client, as the front end that relays its request has seen it.

        Empty where no front end was in between, in a handler of many, and for what is no address. Programs that
        publish may name any address here: it is good for limits and records, and never a proof.
        """
        if len(self._calls) != 1:
            return ""
        try:
            address = ip_address(self._calls[0].client_address)
        except ValueError:
            return ""
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return str(mapped or address)

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, in a transaction that begins with its first use.

        Do what takes long and needs no database before that. Raises DatabaseUnavailable, which is the worker's to
        handle.
        """
        return self._transaction.connection

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection for reads only, outside of the transaction and without a lock.

        For a handler that has to read before it computes for long: close it before, and check what it relies on again
        in the transaction.
        """
        return self._transaction.reading()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """A part of the work that a handler can take back without giving up the rest.

        An exception that leaves the block undoes what was written, emitted and sent in it; catch it outside.
        """
        before = len(self._transaction.outgoing)
        try:
            with self.connection.begin_nested():
                yield
        except Exception:
            del self._transaction.outgoing[before:]
            raise

    def call(self, request: Operation[R], *, timeout: float = ANSWER_SECONDS, as_service: bool = False) -> R:
        """Ask another service and wait for its reply, at most `timeout` seconds and no longer than our own caller.

        Call before the first use of `connection`, so that no transaction is open meanwhile. Another try of this request
        gets the reply that the other service has stored, so send the same body again: one that follows from the
        request alone. The trace and the deadline are passed on.

        An operation that asks who calls gets the access token that came with our own request, as long as that is
        valid. With `as_service` it gets one of our service account (NAME_CLIENT_SECRET) instead: for what this service
        decides, and not its caller.

        Let the errors below pass, or handle them: passed on by the handler of a command, `Unavailable` and
        `ReplyTimeout` have it tried again later, as long as the other service is away.

        Raises:
            TypeError: the handler does not declare the operation in its `calls`, or is a listener or a periodic
                function, which cannot call.
            Refusal: the other service refused (the class that its contract declares, else Refused).
            Invalid: the request breaks a rule of its contract.
            Unavailable: the other service cannot be reached, or cannot answer now.
            ReplyTimeout: no reply came in time; a command is still carried out.
            ServiceNotAuthorized: our service account is refused. An operator has to act; let it pass.
        """
        operation = type(request)
        if not self._calls or self._calls[0].kind == "event":
            raise TypeError(
                f"{operation.operation_name} cannot be called here. A listener or periodic function sends a command "
                "instead (work.send): a call would hold up everything behind it while the other service is away."
            )
        if self._nested is None or operation not in self._may_call:
            name = self._calls[0].operation.operation_name
            raise TypeError(f"The handler of {name} does not declare this call: calls=[{operation.__name__}]")
        call = self._calls[0]
        if self._transaction.opened is not None:
            self._nested.report_open_transaction(call, operation)
        self._called += 1
        return self._nested.ask(call, request, self._called, timeout, as_service=as_service)

    def send(self, command: Operation[Any], request: Operation[Any] | None = None) -> str:
        """Send a command to its service once this transaction is committed; returns a message id.

        It is carried out once, however long its service is away, and in no order with others that are sent. It is sent
        in the name of this service, as a call with `as_service`. What became of it is at `/operations/{id}` of our own
        front end; a refusal of it is given to the function that is registered with `Service.on_refused`. A handler of
        many requests names the `request` that it comes of.

        Raises TypeError for a command that is not among the `sends` of the service, and Invalid for one that breaks a
        rule of its contract or is too large.
        """
        operation = type(command)
        if operation not in self._may_send:
            raise TypeError(f"{self._service} does not declare this: Service(…, sends=[{operation.__name__}])")
        sent = send_of(self._service)(operation=operation.operation_name, body=encode(command).decode())
        check_body(JSON, None, len(encode(sent)), MAX_BODY_BYTES)
        return self.emit(sent, request)  # type: ignore[arg-type]  # it is stored and published as an event is

    def emit(self, event: Event, request: Operation[Any] | None = None) -> str:
        """Send an event to its listeners once this transaction is committed; returns its message id.

        Events of one entity keep their order.

        A handler of many requests names the `request` that the event came of, so that it belongs to its trace.

        Raises TypeError for another service's event, and for one with secret fields: events are stored as they are.
        """
        if holds_secrets(type(event)):
            raise TypeError(f"{type(event).operation_name} has secret fields, and events are stored and sent readable")
        if service_of(type(event)) != self._service:
            raise TypeError(f"{type(event).operation_name} belongs to another service than {self._service}")
        call = self._calls[0] if len(self._calls) == 1 else self._by_request.get(id(request))
        message_id = uuid4().hex
        if call is not None and call.message_id is not None:
            origin = origin_of(call.caller.id, call.operation.operation_name, call.message_id)
            message_id = origin + message_id[ORIGIN_CHARACTERS:]
        self._transaction.outgoing.append(Outgoing(event, None if call is None else call.trace, message_id))
        return message_id

    @cached_property
    def _by_request(self) -> dict[int, Call]:
        return {id(call.request): call for call in self._calls}
