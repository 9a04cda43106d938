"""Reads dead letters from the table, and stores messages there as a worker does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bus.contract.operator.dead_letters import DeadLetterFilter, DeadLetterSummary
from bus.database.engine import Database
from bus.dead_letters.queries import each, newest
from bus.dead_letters.reading import read_dead_letter
from bus.dead_letters.store import DeadLetter, store
from bus.messaging.message import Delivery, Message
from bus.service.service import Service
from bus.testing.waiting import wait_until

WAIT_SECONDS = 60.0
# Stands for the key in a service's database, where a test has no worker.
LETTER_KEY = bytes(range(32))


def delivery_of(message: Message, *, again: bool = False) -> Delivery:
    """The message as a consumer receives it; `again` makes it a redelivery."""
    return Delivery(message=message, tag=1, session=1, deaths=int(again), received_at=0.0)


def store_dead_letters(database: Database, service: Service, *messages: Message, again: bool = False) -> None:
    """Store messages from the dead-letter queue in the table, as a worker does."""
    now = datetime.now(UTC)
    letters = [
        read_dead_letter(delivery_of(message, again=again), service.operations, now, LETTER_KEY) for message in messages
    ]
    with database.transaction() as transaction:
        store(transaction.connection, letters)


def letters_in(database: Database, **choice: Any) -> Sequence[DeadLetterSummary]:
    """The stored dead letters that the filter matches, in the order in which they were stored."""
    with database.reading() as transaction:
        return each(transaction.connection, DeadLetterFilter(**choice))


def wait_for_letters(database: Database, count: int) -> Sequence[DeadLetterSummary]:
    """Wait until `count` dead letters in any state are stored; return them."""
    wait_until(lambda: len(letters_in(database)) >= count, WAIT_SECONDS, f"{count} dead letters")
    return letters_in(database)


class DeadLetterReader:
    """Reads the dead letters of a service one after the other, in the order in which they were stored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count = 0

    def next(self) -> DeadLetter:
        """Wait for the next one, and return it."""
        self._count += 1
        summary = wait_for_letters(self._database, self._count)[self._count - 1]
        with self._database.reading() as transaction:
            letter = newest(transaction.connection, str(summary.id))
        assert letter is not None
        return letter

    def has_more(self) -> bool:
        """Whether another one is stored."""
        return len(letters_in(self._database)) > self._count
