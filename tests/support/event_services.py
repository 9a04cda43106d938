"""Two small services for tests of events: one tells, one listens.

A word that begins with "refuse" is refused after it was told, one that begins with "break" makes the handler fail.
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
heard = Table(
    "heard",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("thing", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("word", Text, nullable=False),
    Column("by", Text, nullable=False),
)


class WordRefused(Refusal, code="teller.word_refused", status=409):
    """This word is refused."""


class Told(Event, name="teller.told"):
    """Something was told of a thing."""

    thing: int
    version: int
    word: str


class Said(Reply):
    """The answer to `Tell`."""


class Tell(Command[Said], name="teller.tell", refuses=[WordRefused]):
    """Tell something of a thing."""

    thing: int
    version: int
    word: str


def make_teller() -> Service:
    """A fresh service that tells what it is asked to."""
    service = Service("teller")

    @service.handles(Tell)
    def tell(command: Tell, work: Work) -> Said:
        work.emit(Told(thing=command.thing, version=command.version, word=command.word))
        if command.word.startswith("refuse"):
            raise WordRefused
        if command.word.startswith("break"):
            raise ValueError("as asked")
        return Said()

    return service


def make_listener(name: str = "", before: Callable[[Told], None] = lambda _: None) -> Service:
    """A fresh service that writes down what it hears and by whom; `before` may raise."""
    service = Service("listener")

    @service.on(Told)
    def hear(event: Told, work: Work) -> None:
        row = {"thing": event.thing, "version": event.version, "word": event.word, "by": name}
        work.connection.execute(insert(heard).values(row))
        before(event)

    return service


def create_tables(database: Database) -> None:
    """The listener's table."""
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)


def words_heard(database: Database) -> list[str]:
    """What the listener heard, in order."""
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(heard.c.word).order_by(heard.c.place)).scalars())


def heard_by(database: Database) -> list[str]:
    """The names of those who heard it, in the same order."""
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(heard.c.by).order_by(heard.c.place)).scalars())
