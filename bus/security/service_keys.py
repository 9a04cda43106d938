"""Service keys: the long-lived keys of one service, in its own database. Each is made when it is first needed.

`LetterKey` authenticates the dead letters that the service's own workers publish, so that no other program with the
broker's credentials can write one. `service_key` gives a service keys for purposes of its own.
"""

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from bus.database.engine import Database
from bus.database.tables import service_key as key_table

# As long as the output of SHA-256, the hash that the key is used with (RFC 2104, section 3).
KEY_BYTES = 32

LETTERS = "dead-letters"
# Before the names of a service's own keys, which so never are those of the library.
_OWN = "own:"

_find = select(key_table.c.secret).where(key_table.c.name == bindparam("name"))


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


def service_key(connection: Connection, purpose: str) -> bytes:
    """A secret key of the service for one purpose, such as `mail`: 32 random bytes, as HMAC-SHA256 needs them.

    It is made when it is first asked for; then all workers get the same. The service's database keeps it encrypted.
    """
    return bytes.fromhex(stored(connection, f"{_OWN}{purpose}", lambda: secrets.token_hex(KEY_BYTES)))


def stored(connection: Connection, name: str, make: Callable[[], str]) -> str:
    """The key with this name; `make` makes it if there is none, and another process is not faster."""
    found = connection.execute(_find, {"name": name}).scalar()
    if found is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        added = dialect.insert(key_table).values(name=name, secret=make(), made_at=datetime.now(UTC))
        connection.execute(added.on_conflict_do_nothing())
        found = connection.execute(_find, {"name": name}).scalar_one()
    return str(found)
