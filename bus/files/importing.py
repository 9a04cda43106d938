"""Importing: the batches of a file are sent one after the other, each with an id that follows from file and place.

So a batch has one effect, however often the import is started. One that was stopped, even by a kill, goes on after the
last batch that was carried out: a worker has an outcome for each of them.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TextIO

from bus.client.client import Client
from bus.contract.operations import Operation
from bus.files.batches import Accepted, Batch
from bus.files.entries import Fault
from bus.files.source import Source

# Batches that are read while the worker has one before them.
AHEAD = 2


@dataclass(frozen=True)
class FileImport:
    """What a service imports from files, called `plural`, and how.

    `read` gives the name of a file's layout and what is valid in it, and `how` says what else its result depends on.
    `command` makes an `operation` of at most `most_items`, whose JSON has at most about `most_bytes`; its reply has
    `results`, each with a `status` and, if it was refused, a `problem`. Its caller needs the scope `needs`. `unique`
    gives those fields, by name, of which a file can have each value once.
    """

    operation: type[Operation[Any]]
    plural: str
    needs: str
    most_items: int
    most_bytes: int
    read: Callable[[TextIO], tuple[str, Iterator[Accepted[Any]]]]
    command: Callable[[list[Any]], Operation[Any]]
    unique: Callable[[Any], dict[str, str]]
    how: str = ""

    def run_of(self, source: Source, name: str) -> str:
        """What identifies an import: the content of the file, how it is read, and a name for another one of the same.

        The messages of an import have ids that begin with it.
        """
        said = f"{self.operation.operation_name} {source.digest} {source.encoding} {self.how} {name}"
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


@dataclass
class Tally:
    """What became of the entries of a file. `done_before` were sent by an earlier start of the same import."""

    created: int = 0
    found: int = 0
    faults: int = 0
    skipped: int = 0
    done_before: int = 0
    last_line: int = 0


class Importer:
    """One import of one file; `run` identifies it. `refused` is called with what the worker refuses."""

    def __init__(
        self, client: Client, what: FileImport, run: str, token: str | None, refused: Callable[[Fault], None]
    ) -> None:
        self._client, self._what, self._run, self._token, self._refused = client, what, run, token, refused

    def carry_out(self, batches: Iterable[Batch], tally: Tally) -> None:
        """Send the batches that were not carried out yet. Raises as `Client.call` does; the tally is up to date."""
        done = self._first_not_done()
        open_calls: deque[tuple[Batch, Future[Any]]] = deque()
        with ThreadPoolExecutor(1) as sender:
            try:
                for number, batch in enumerate(batches):
                    if number < done:
                        self._count_as_before(number, batch, tally)
                        continue
                    if len(open_calls) == AHEAD:
                        self._settle(*open_calls.popleft(), tally)
                    open_calls.append((batch, sender.submit(self._send, number, batch)))
                while open_calls:
                    self._settle(*open_calls.popleft(), tally)
            except BaseException:
                sender.shutdown(wait=False, cancel_futures=True)
                raise

    def _send(self, number: int, batch: Batch) -> Any:
        command = self._what.command(batch.items)
        return self._client.call(command, message_id=self._id_of(number), token=self._token)

    def _settle(self, batch: Batch, call: "Future[Any]", tally: Tally) -> None:
        for line, result in zip(batch.lines, call.result().results, strict=True):
            if result.problem:
                self._note_fault(line, result, tally)
            elif result.status == 201:
                tally.created += 1
            else:
                tally.found += 1
        tally.last_line = batch.lines[-1]

    def _count_as_before(self, number: int, batch: Batch, tally: Tally) -> None:
        """What an earlier start has sent: what was refused then is refused still, and is said again."""
        for line, result in zip(batch.lines, self._outcome(number).results, strict=True):
            if result.problem:
                self._note_fault(line, result, tally)
            else:
                tally.done_before += 1

    def _note_fault(self, line: int, result: Any, tally: Tally) -> None:
        tally.faults += 1
        self._refused(Fault(line, result.problem.detail or result.problem.title))

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
        return self._outcome(number) is not None

    def _outcome(self, number: int) -> Any:
        """The reply to a batch; None while it is not carried out."""
        return self._client.outcome(self._what.operation, self._id_of(number), token=self._token)

    def _id_of(self, number: int) -> str:
        return f"import-{self._run}-{number}"
