"""Two small services for tests of events: `emitter` emits an event for each word, `listener` writes down what it gets.

`emitter` refuses a word that begins with "refuse" after it has emitted the event, and its handler fails for one that
begins with "break".
"""

from collections.abc import Callable

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select

from bus.contract.events import Event
from bus.contract.operations import Command, Reply
from bus.contract.refusals import Refusal
from bus.database.engine import Database
from bus.service.service import Service
from bus.service.work import Work

metadata = MetaData()
received = Table(
    "received",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("thing", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("word", Text, nullable=False),
    Column("by", Text, nullable=False),
)


class WordRefused(Refusal, code="emitter.word_refused", status=409):
    """This word is refused."""


class WordAdded(Event, name="emitter.word_added"):
    """A word was added to a thing."""

    thing: int
    version: int
    word: str


class AddedReply(Reply):
    """The reply to `AddWord`."""


class AddWord(Command[AddedReply], name="emitter.add_word", refuses=[WordRefused]):
    """Add a word to a thing."""

    thing: int
    version: int
    word: str


def make_emitter() -> Service:
    """Make the service that emits `WordAdded` for each `AddWord`."""
    service = Service("emitter")

    @service.handles(AddWord)
    def add_word(command: AddWord, work: Work) -> AddedReply:
        work.emit(WordAdded(thing=command.thing, version=command.version, word=command.word))
        if command.word.startswith("refuse"):
            raise WordRefused
        if command.word.startswith("break"):
            raise ValueError("as asked")
        return AddedReply()

    return service


def make_listener(name: str = "", after: Callable[[WordAdded], None] = lambda _: None) -> Service:
    """Make the service that writes each event down with `name`, and then calls `after`, which may raise."""
    service = Service("listener")

    @service.on(WordAdded)
    def write_down(event: WordAdded, work: Work) -> None:
        row = {"thing": event.thing, "version": event.version, "word": event.word, "by": name}
        work.connection.execute(insert(received).values(row))
        after(event)

    return service


def create_tables(database: Database) -> None:
    """Create the listener's table."""
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)


def words_received(database: Database) -> list[str]:
    """The words that the listener received, in order."""
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(received.c.word).order_by(received.c.place)).scalars())


def received_by(database: Database) -> list[str]:
    """The name of the listener that received each of them, in the same order."""
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(received.c.by).order_by(received.c.place)).scalars())
