"""The patient client: for what runs beside workers that have only just been started, on a machine that may be busy."""

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from bus.client.client import ANSWER_SECONDS, Client
from bus.contract.operations import Operation, Reply
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.telemetry.spans import Spans

R = TypeVar("R", bound=Reply)

# As long as `bus run` waits for its front ends.
PATIENCE_SECONDS = 60.0
# Between two tries.
PAUSE_SECONDS = 0.2


class RetryingClient(Client):
    """A client whose `call` asks again, with the same message id, while nobody answers.

    It does so for `seconds`, or until `is_over` or there is no hope, and raises then what the last try has raised.
    """

    def __init__(
        self,
        bus: str,
        *,
        name: str,
        seconds: float = PATIENCE_SECONDS,
        is_over: Callable[[], bool] = lambda: False,
        spans: Spans | None = None,
    ) -> None:
        self._seconds, self._is_over = seconds, is_over
        super().__init__(bus, name=name, spans=spans)

    def call(self, request: Operation[R], *, timeout: float = ANSWER_SECONDS, message_id: str | None = None) -> R:
        """The same as a client's, and at last as `timeout` has it."""
        message_id = uuid4().hex if message_id is None else message_id
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                return super().call(request, timeout=timeout, message_id=message_id)
            except (Unavailable, ReplyTimeout):
                if time.monotonic() > deadline or self._is_over() or self.failure:
                    raise
            time.sleep(PAUSE_SECONDS)
