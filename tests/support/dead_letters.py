"""Dead letters in tests: those in the table, and messages put there as a worker does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bus.database.engine import Database
from bus.dead_letters.queries import DeadLetterFilter, each, newest
from bus.dead_letters.reading import read_dead_letter
from bus.dead_letters.store import DeadLetter, DeadLetterSummary, store
from bus.messaging.message import Delivery, Message
from bus.service.service import Service
from bus.testing.waiting import wait_until

LETTER_SECONDS = 60.0


def delivery_of(message: Message, *, again: bool = False) -> Delivery:
    """A message as a consumer gets it."""
    return Delivery(message=message, tag=1, session=1, deaths=int(again), received_at=0.0)


def keep(database: Database, service: Service, *messages: Message, again: bool = False) -> None:
    """Put messages off the dead letters into the table."""
    now = datetime.now(UTC)
    letters = [read_dead_letter(delivery_of(message, again=again), service.operations, now) for message in messages]
    with database.transaction() as transaction:
        store(transaction.connection, letters)


def letters_in(database: Database, **choice: Any) -> Sequence[DeadLetterSummary]:
    """The stored letters, in order."""
    with database.reading() as transaction:
        return each(transaction.connection, DeadLetterFilter(**choice))


def wait_for_letters(database: Database, count: int) -> Sequence[DeadLetterSummary]:
    """Until so many have been stored, of any state."""
    wait_until(lambda: len(letters_in(database)) >= count, LETTER_SECONDS, f"{count} dead letters")
    return letters_in(database)


class Letters:
    """The letters of a service in the order they are stored, each given once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._given = 0

    def next(self) -> DeadLetter:
        """The next one, as soon as it is there."""
        self._given += 1
        summary = wait_for_letters(self._database, self._given)[self._given - 1]
        with self._database.reading() as transaction:
            letter = newest(transaction.connection, str(summary.id))
        assert letter is not None
        return letter

    def has_more(self) -> bool:
        """Whether there is one that was not given yet."""
        return len(letters_in(self._database)) > self._given
