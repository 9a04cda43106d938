"""Idempotency keys: those of the commands that this front end is waiting for."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bus.contract.problems import Problem, ProblemError


class StillInProgress(ProblemError):
    """A request with this Idempotency-Key is not answered yet (409): the client should try again later.

    After the IETF's draft on the header (httpapi, idempotency-key, section 2.6).
    """

    def __init__(self) -> None:
        detail = "A request with this Idempotency-Key is not answered yet. Send it again later to get the same answer."
        super().__init__(Problem.of("in-progress", 409, "Still in progress", detail, retry_after=1))


class InProgress:
    """The message ids of requests in progress; safe to use from many threads."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._ids

    @contextmanager
    def only_one(self, message_id: str) -> Iterator[None]:
        """Reserve this id while the block lasts. Raises StillInProgress when it is reserved already."""
        with self._lock:
            if message_id in self:
                raise StillInProgress
            self._ids.add(message_id)
        try:
            yield
        finally:
            self._ids.discard(message_id)
