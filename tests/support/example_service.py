"""A small service for tests: it keeps words, and the word decides how the handler behaves.

The handler refuses a word that begins with "refuse" and fails for one that begins with "break", both after it has
written the word.
"""

from collections.abc import Sequence
from typing import Annotated

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select

from bus.contract.fields import Secret
from bus.contract.operations import Command, Query, Reply, TransientCommand
from bus.contract.refusals import Refusal
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.service.service import Service
from bus.service.work import Work

# Until a command is retried from a queue: once in a batch, and three times alone.
TRIES = 4

metadata = MetaData()
word = Table(
    "words",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("word", Text, nullable=False),
)


class WordRefused(Refusal, code="example.word_refused", status=409):
    """This word is refused."""


class Broken(Exception):
    """What a failing handler raises."""


class Kept(Reply):
    id: int
    word: str

    def location(self) -> str:
        return f"/words/{self.id}"


class Keep(Command[Kept], name="example.keep", http="POST /words", status=201, refuses=[WordRefused]):
    """Keep a word."""

    word: str


class KeepAll(Command[Kept], name="example.keep_all", status=201, refuses=[WordRefused]):
    """Keep a word; the handler takes a batch."""

    word: str


class KeepSecret(Command[Kept], name="example.keep_secret", status=201):
    """Keep a word; the request has a secret field too."""

    word: str
    password: Annotated[str, Secret()]


class Granted(Reply):
    id: int
    token: Annotated[str, Secret()]


class Grant(TransientCommand[Granted], name="example.grant", http="POST /grants", status=201, refuses=[WordRefused]):
    """Keep a word, now or not at all; the reply has a secret field."""

    word: str


class KeepGuarded(Command[Kept], name="example.keep_guarded", http="POST /guarded", status=201, needs="words:write"):
    """Keep a word; for those who may write words. One with "fail" fails until it is retried later, once for each."""

    word: str


class Who(Reply):
    account: str
    session: str
    scopes: list[str]


class WhoAmI(Query[Who], name="example.who_am_i", http="GET /me", needs=""):
    """Who sends this; for any account."""


class Counted(Reply):
    count: int


class Count(Query[Counted], name="example.count", http="GET /words/{word}", refuses=[WordRefused]):
    """How often a word is kept."""

    word: str


def make_service(*, threads: int = 0) -> Service:
    """Make a new service, so that tests do not share one. `threads` are those of `Keep` and `Grant`."""
    service = Service("example")

    @service.handles(Keep, threads=threads)
    def keep(command: Keep, work: Work) -> Kept:
        return _keep(command.word, work)

    @service.handles(KeepSecret)
    def keep_secret(command: KeepSecret, work: Work) -> Kept:
        return _keep(command.word, work)

    @service.handles(Grant, threads=threads)
    def grant(command: Grant, work: Work) -> Granted:
        kept = _keep(command.word, work)
        return Granted(id=kept.id, token=f"token-{kept.id}")

    failures: dict[str, int] = {}

    @service.handles(KeepGuarded)
    def keep_guarded(command: KeepGuarded, work: Work) -> Kept:
        tries = failures[command.word] = failures.get(command.word, 0) + 1
        if command.word.startswith("fail") and tries <= TRIES * command.word.count("fail"):
            raise Broken("as asked")
        return _keep(f"{command.word} of {work.caller.id}", work)

    @service.handles(WhoAmI)
    def who_am_i(query: WhoAmI, work: Work) -> Who:
        return Who(account=work.caller.id, session=work.caller.session, scopes=sorted(work.caller.scopes))

    @service.handles_many(KeepAll)
    def keep_all(commands: list[KeepAll], work: Work) -> Sequence[Kept | Refusal]:
        return [
            WordRefused() if command.word.startswith("refuse") else _keep(command.word, work) for command in commands
        ]

    @service.handles(Count)
    def count(query: Count, work: Work) -> Counted:
        _behave(query.word)
        statement = select(func.count()).where(word.c.word == query.word)
        return Counted(count=work.connection.execute(statement).scalar_one())

    return service


def _keep(text: str, work: Work) -> Kept:
    row_id = work.connection.execute(insert(word).values(word=text).returning(word.c.id)).scalar_one()
    _behave(text)
    return Kept(id=row_id, word=text)


def _behave(text: str) -> None:
    if text.startswith("refuse"):
        raise WordRefused
    if text.startswith("break"):
        raise Broken("as asked")


def call(text: str, message_id: str | None = None, operation: type[Keep] | type[KeepAll] = Keep) -> Call:
    """Make a valid call."""
    return Call(operation, operation(word=text), message_id)


def create_tables(database: Database) -> None:
    """Create the example's own table."""
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)


def words_in(database: Database) -> list[str]:
    """The words that were kept, in order."""
    with database.reading() as transaction:
        return list(transaction.connection.execute(select(word.c.word).order_by(word.c.id)).scalars())
