"""Service keys: the long-lived keys of one service, in its own database. Each is made when it is first needed.

`letter_key` authenticates the dead letters that the service's own workers publish, so that no other program with the
broker's credentials can write one.
"""

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from bus.database.engine import Database
from bus.database.tables import service_key

# As long as the output of SHA-256, the hash that the key is used with (RFC 2104, section 3).
KEY_BYTES = 32

LETTERS = "dead-letters"

_find = select(service_key.c.secret).where(service_key.c.name == bindparam("name"))


class LetterKey:
    """The key for the authenticators of dead letters (`bus.dead_letters.envelope`), read once. Safe for threads."""

    def __init__(self, database: Database) -> None:
        self._database, self._lock, self._key = database, threading.Lock(), b""

    def read(self) -> bytes:
        """The key, of 32 bytes; all workers of the service have the same. Raises DatabaseUnavailable."""
        with self._lock:
            if not self._key:
                with self._database.reading() as transaction:
                    self._key = bytes.fromhex(
                        stored(transaction.connection, LETTERS, lambda: secrets.token_hex(KEY_BYTES))
                    )
            return self._key


def stored(connection: Connection, name: str, make: Callable[[], str]) -> str:
    """The key with this name; `make` makes it if there is none.

    The connection commits by itself, as `Database.reading` does.
    """
    found = connection.execute(_find, {"name": name}).scalar()
    if found is None:
        with suppress(IntegrityError):  # another process was faster
            row = {"name": name, "secret": make(), "made_at": datetime.now(UTC)}
            connection.execute(insert(service_key).values(row))
        found = connection.execute(_find, {"name": name}).scalar_one()
    return str(found)
