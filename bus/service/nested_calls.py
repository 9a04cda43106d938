"""Nested calls: what the handlers of one worker ask other services.

Each has a message id that follows from the handler's own command, so that another try gets the stored reply and not a
second effect.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from bus.client.client import Client
from bus.contract.operations import Operation, Reply
from bus.contract.problems import Invalid
from bus.contract.refusals import Refused
from bus.database.inbox import ID_REUSED
from bus.messaging.call import TOO_DEEP, Call
from bus.messaging.transport import TransportFailure
from bus.service.service_tokens import ServiceTokens

R = TypeVar("R", bound=Reply)

log = structlog.get_logger("bus.service")


class OtherBody(Exception):
    """Another try of a command has called an operation with another body than the first. The service's author's fault.

    The other service has carried out the first body, and refuses this one under the same message id.
    """


class NestedCalls:
    """The calls of one worker to other services. `connect` makes its client, when it is first needed.

    `token_of` gives the access token of a call's own caller, which is passed on to operations that read one.
    `client_secret` is that of the account of this `service`.
    """

    def __init__(
        self,
        connect: Callable[[], Client] | None,
        token_of: Callable[[Call], str | None],
        service: str,
        client_secret: str,
    ) -> None:
        self._connect, self._token_of, self._lock = connect, token_of, threading.Lock()
        self._service_tokens = ServiceTokens(service, client_secret, lambda command: self.open().call(command))
        self._client: Client | None = None
        self._reported: set[str] = set()

    @property
    def failure(self) -> TransportFailure | None:
        """Why no service can be called any more; None while that may work."""
        return None if self._client is None else self._client.failure

    def open(self) -> Client:
        """The client, which connects when this is first called. Raises TypeError for a worker that was given none."""
        with self._lock:
            if self._client is None:
                if self._connect is None:
                    raise TypeError("The service calls others: make its Worker with `connect`.")
                self._client = self._connect()
            return self._client

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            self._client.close()

    def ask(self, call: Call, request: Operation[R], number: int, timeout: float, *, as_service: bool = False) -> R:
        """Ask another service for the handler of `call`; `number` is the place among its calls.

        Raises OtherBody, what `Client.call` raises, ServiceNotAuthorized, and DatabaseUnavailable where the key of a
        sealed token cannot be read.
        """
        operation: Any = type(request)
        message_id = call.derived_id(operation, number)

        def ask_with(token: str | None) -> R:
            return self.open().call(request, timeout=timeout, message_id=message_id, token=token)

        try:
            if operation.authentication == "none":
                return ask_with(None)
            if as_service:
                return self._service_tokens.use(ask_with, operation.operation_name)
            return ask_with(self._token_of(call))
        except Invalid as invalid:
            if invalid.problem.code == TOO_DEEP:  # an answer for all that have called one another
                raise Refused(invalid.problem) from None
            if invalid.problem.code != ID_REUSED.code:
                raise
            names = ", ".join(error.pointer.lstrip("/") for error in invalid.problem.errors) or "unknown"
            raise OtherBody(
                f"{call.operation.operation_name} has called {operation.operation_name} before under the id "
                f"{message_id}, with another body. Fields that differ: {names}. What a handler sends must follow from "
                "its command alone."
            ) from None

    def report_open_transaction(self, call: Call, operation: type[Operation[Any]]) -> None:
        """Log, once for each handler, that its transaction is open while it waits for another service."""
        name = call.operation.operation_name
        if name not in self._reported:
            self._reported.add(name)
            log.debug("call_in_transaction", operation=name, calls=operation.operation_name)
