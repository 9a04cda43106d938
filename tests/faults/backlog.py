"""The backlog: commands that are sent to a queue while nobody works it off, and done afterwards."""

import itertools
import threading
import time
from decimal import Decimal
from types import TracebackType
from typing import Self

from bus.client.client import Client
from bus.contract.problems import Unavailable
from bus.messaging.topology import DEFAULT_LIMITS, Limits
from bus.testing.waiting import wait_until
from faults import faulty
from faults.census import Census
from faults.direct import declare_faulty
from faults.load import key_of
from faults.system import System

SENDERS = 4
SEND_SECONDS = 10.0
# After one that was taken, and after one that was not.
BREATH_SECONDS, PAUSE_SECONDS = 0.01, 0.1
DONE_SECONDS = 60.0


class Backlog:
    """Sends to the faulty service, whose queues are declared and whose worker comes only in the end.

    So what is confirmed has nowhere to be but in the broker, whatever happens to that.
    """

    def __init__(self, system: System, limits: Limits = DEFAULT_LIMITS) -> None:
        self.attempted: set[str] = set()
        self.refusals: list[Unavailable] = []
        self._system, self._limits = system, limits
        self._confirmed: set[str] = set()
        self._numbers = itertools.count()
        self._ending = threading.Event()
        self._client = Client(system.bus_url, name="backlog")
        self._threads = [threading.Thread(target=self._send_all, daemon=True) for _ in range(SENDERS)]

    def __enter__(self) -> Self:
        """Declare the queues of the faulty service."""
        declare_faulty(self._system.bus_url, self._limits)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._client.close()

    def start(self) -> None:
        """Start to send."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> set[str]:
        """Stop sending; the names that the broker has confirmed."""
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * SEND_SECONDS)
            assert not thread.is_alive(), "a sender hangs"
        return self._confirmed

    def execute(self, **environment: str) -> None:
        """Start a worker with these settings; returns when all that was confirmed is done, or after a minute."""
        worker = self._system.add_worker_of("faulty", **environment)
        deadline = time.monotonic() + DONE_SECONDS
        wait_until(lambda: self._is_done() or time.monotonic() > deadline, 2 * DONE_SECONDS, "the backlog is done")
        worker.terminate()

    def _is_done(self) -> bool:
        census = Census(self._system.database_url)
        return all(census.times(name) for name in self._confirmed)

    def _send_all(self) -> None:
        while not self._ending.is_set():
            name = f"backlog {next(self._numbers)}"
            self.attempted.add(name)
            command = faulty.Make(name=name, price=Decimal("9.90"), quantity=3)
            try:
                self._client.send(command, timeout=SEND_SECONDS, message_id=key_of(name))
            except Unavailable as refusal:
                self.refusals.append(refusal)
                self._ending.wait(PAUSE_SECONDS)
            else:
                self._confirmed.add(name)
                self._ending.wait(BREATH_SECONDS)
