"""Importing: the batches of a file are sent one after the other, each with an id that follows from file and place.

So a batch has one effect, however often the import is started. One that was stopped, even by a kill, goes on after the
last batch that was carried out: a worker has an outcome for each of them.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bus import Client
from catalog.contract import BatchResults, ChangeProducts
from catalog.files.entries import Fault
from catalog.files.reading import Batch

# Batches that are read while the worker has one before them.
AHEAD = 2


@dataclass
class Tally:
    """What became of the products of a file. `done_before` were sent by an earlier start of the same import."""

    created: int = 0
    found: int = 0
    faults: int = 0
    skipped: int = 0
    done_before: int = 0
    last_line: int = 0


class Import:
    """One import of one file; `run` identifies it. `refused` is called with what the worker refuses."""

    def __init__(self, client: Client, run: str, token: str | None, refused: Callable[[Fault], None]) -> None:
        self._client, self._run, self._token, self._refused = client, run, token, refused

    def carry_out(self, batches: Iterable[Batch], tally: Tally) -> None:
        """Send the batches that were not carried out yet. Raises as `Client.call` does; the tally is up to date."""
        done = self._first_not_done()
        open_calls: deque[tuple[Batch, Future[BatchResults]]] = deque()
        with ThreadPoolExecutor(1) as sender:
            try:
                for number, batch in enumerate(batches):
                    if number < done:
                        tally.done_before += len(batch.lines)
                        continue
                    if len(open_calls) == AHEAD:
                        self._settle(*open_calls.popleft(), tally)
                    open_calls.append((batch, sender.submit(self._send, number, batch)))
                while open_calls:
                    self._settle(*open_calls.popleft(), tally)
            except BaseException:
                sender.shutdown(wait=False, cancel_futures=True)
                raise

    def _send(self, number: int, batch: Batch) -> BatchResults:
        command = ChangeProducts(operations=batch.operations, brief=True)
        return self._client.call(command, message_id=self._id_of(number), token=self._token)

    def _settle(self, batch: Batch, call: "Future[BatchResults]", tally: Tally) -> None:
        for line, result in zip(batch.lines, call.result().results, strict=True):
            if result.problem:
                tally.faults += 1
                self._refused(Fault(line, result.problem.detail or result.problem.title))
            elif result.status == 201:
                tally.created += 1
            else:
                tally.found += 1
        tally.last_line = batch.lines[-1]

    def _first_not_done(self) -> int:
        """The number of the first batch without an outcome. They are carried out in their order."""
        if not self._is_done(0):
            return 0
        below, above = 0, 1
        while self._is_done(above):
            below, above = above, above * 2
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if self._is_done(middle) else (below, middle)
        return above

    def _is_done(self, number: int) -> bool:
        outcome: Any = self._client.outcome(ChangeProducts, self._id_of(number), token=self._token)
        return outcome is not None

    def _id_of(self, number: int) -> str:
        return f"import-{self._run}-{number}"
