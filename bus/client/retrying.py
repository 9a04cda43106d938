"""A client that repeats calls: for programs that start at the same time as the workers they call."""

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from bus.client.client import ANSWER_SECONDS, Client
from bus.contract.operations import Operation, Reply
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.security.operators import Operator
from bus.telemetry.spans import Spans

R = TypeVar("R", bound=Reply)

# For programs that begin while workers start.
TRY_SECONDS = 60.0
# Between two attempts.
PAUSE_SECONDS = 0.2


class RetryingClient(Client):
    """A client whose `call` sends the request again, with the same message id, while the service does not answer.

    It gives up after `seconds`, when `is_over()`, or when the connection has failed for good; then it raises the last
    attempt's exception.
    """

    def __init__(
        self,
        bus: str,
        *,
        name: str,
        seconds: float = TRY_SECONDS,
        is_over: Callable[[], bool] = lambda: False,
        spans: Spans | None = None,
    ) -> None:
        self._seconds, self._is_over = seconds, is_over
        super().__init__(bus, name=name, spans=spans)

    def call(
        self,
        request: Operation[R],
        *,
        timeout: float = ANSWER_SECONDS,
        message_id: str | None = None,
        token: str | Operator | None = None,
        client_address: str = "",
    ) -> R:
        """As `Client.call`; each attempt has `timeout` seconds."""
        message_id = uuid4().hex if message_id is None else message_id
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return super().call(
                    request, timeout=timeout, message_id=message_id, token=token, client_address=client_address
                )
            except (Unavailable, ReplyTimeout):
                if time.monotonic() > deadline or self._is_over() or self.failure:
                    raise
            time.sleep(PAUSE_SECONDS)
