"""What the commands of `bus dead-letters` work at: one service, its database, and the person in front of it."""

import getpass
import math
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from bus.cli.common import chosen_applications, settings_for
from bus.cli.dead_letters_text import echo_lines, letters_table
from bus.contract.builtin import SealingKey
from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.database.migrate import check_migrated
from bus.dead_letters.actions import Kind, begin
from bus.dead_letters.body import Operations
from bus.dead_letters.queries import DeadLetterFilter, each
from bus.dead_letters.store import DeadLetterSummary
from bus.runtime.settings import Settings
from bus.security.key_store import given_out
from bus.security.sealer import Sealer
from bus.telemetry.logs import configure_logs


@dataclass(frozen=True)
class Desk:
    """A service's dead letters, within reach."""

    operations: Operations
    settings: Settings
    database: Database

    def letters(self, choice: DeadLetterFilter, limit: int) -> list[DeadLetterSummary]:
        """The letters that are meant."""
        with self.database.reading() as transaction:
            return each(transaction.connection, choice, limit)

    def begin(self, kind: Kind, choice: DeadLetterFilter, letters: Sequence[DeadLetterSummary]) -> int:
        """Take exactly these letters in hand; returns the number of the action."""
        seen = [(letter.id, letter.state) for letter in letters]
        with self.database.transaction() as transaction:
            return begin(transaction.connection, kind, _person(), str(choice), seen)

    def sealed(self, operation: type[Operation[Any]], body: bytes) -> bytes:
        """A valid body with its secrets sealed, as a client would send it."""
        return Sealer(self._sealing_key).sealed(operation, body, math.inf)

    def _sealing_key(self, _service: str, _deadline: float) -> SealingKey:
        with self.database.reading() as transaction:
            return given_out(transaction.connection)


@contextmanager
def desk_of(service: str) -> Iterator[Desk]:
    """Raises click.UsageError, SettingsError, DatabaseUnavailable and NotMigrated."""
    (application,) = chosen_applications([service])
    settings = settings_for([application])
    configure_logs("error")
    database = Database(settings.services[service].database_url)
    try:
        check_migrated(database, application.migrations)
        yield Desk(application.service.operations, settings, database)
    finally:
        database.close()


def check_chosen(choice: DeadLetterFilter, everything: bool) -> None:
    """Nobody means all letters by saying nothing. Raises click.UsageError."""
    if choice.is_everything and not everything:
        raise click.UsageError("Say which: --operation, --error, --since or --id; or --all.")


def ask(question: str, letters: Sequence[DeadLetterSummary], *, yes: bool, quiet: bool) -> None:
    """Show the letters, and ask where somebody can answer. Raises click.Abort."""
    if not quiet:
        echo_lines(letters_table(letters))
    if letters and not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def _person() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user that only has a number, as in containers
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
