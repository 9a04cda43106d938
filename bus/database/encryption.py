"""Encryption: the keys with which the database of a service keeps its secrets, in columns of the type `Encrypted`.

Fernet (AES-128-CBC and HMAC-SHA256, https://github.com/fernet/spec) of the library cryptography. Several keys are for
their rotation: the first one encrypts, each of them decrypts.

`bus migrate` writes a row for nothing but this: a process that has another key cannot read it, and ends before it
writes.
"""

import os
import re
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, Table, Text, bindparam, insert, inspect, select, update
from sqlalchemy.types import NullType

from bus.columns import Encrypted
from bus.database.tables import service_key

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_BYTES = 32
_KEY = re.compile("[A-Za-z0-9_-]{43}=")
# The row that shows whether the key is right. Its text is any.
_CHECK = "database-key"
_find_check = select(service_key.c.secret).where(service_key.c.name == _CHECK)


class DatabaseKeyError(Exception):
    """The keys of a database are missing, or are not those that it was encrypted with. The operator has to act."""


class DatabaseKeys:
    """The keys of one database: those of the setting `name`, as text, or else those in a file, which `make` makes.

    Without both, keys of this process alone: what they encrypt, no other process can read. That is for tests.
    """

    def __init__(self, name: str = "", text: str = "", file: Path | None = None) -> None:
        self._name, self._text, self._file = name, text, file

    def make(self) -> None:
        """Make the file, if it is needed and not there. Raises DatabaseKeyError when it cannot be written."""
        if self._text or self._file is None or self._file.exists():
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            _write(self._file, new_key())
        except OSError as error:
            remedy = f"Let this user write to its folder, or set {self._name}"
            raise DatabaseKeyError(f"{self._file} cannot be written: {error.strerror}. {remedy}") from error

    def encrypt(self, text: str) -> str:
        """The text as it is stored. Raises DatabaseKeyError."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """The text that was stored so. Raises DatabaseKeyError."""
        from cryptography.fernet import InvalidToken  # for the reason given below

        try:
            return self._fernet.decrypt(stored).decode()
        except InvalidToken:
            raise DatabaseKeyError(self._why_wrong()) from None

    @cached_property
    def _fernet(self) -> "MultiFernet":
        return fernet_of(self._text or self._from_file() or key_of_this_process())

    def _from_file(self) -> str:
        if self._file is None:
            return ""
        try:
            text = self._file.read_text(encoding="utf-8").strip()
            fernet_of(text)
        except FileNotFoundError:
            raise DatabaseKeyError(
                f"{self._file} is missing, and has the key that the database is encrypted with. {self._remedy()}"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it has no keys"
            raise DatabaseKeyError(f"{self._file} cannot be used: {reason}. {self._remedy()}") from None
        return text

    def _why_wrong(self) -> str:
        if self._text:
            return (
                f"the database is encrypted with another key than {self._name} has. Set it to the key that was used "
                "before; during a rotation to both, separated by a comma"
            )
        if self._file is not None:
            return f"the database is encrypted with another key than {self._file} has. {self._remedy()}"
        return "the database is encrypted with a key that this process does not have"

    def _remedy(self) -> str:
        return f"Put back the file that belongs to this database, or set {self._name} to its content"


def new_key() -> str:
    """A new key, as settings and files have it: 32 random bytes in base64url."""
    return urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


@cache
def key_of_this_process() -> str:
    """The key of databases that this process opens without any. Tests give it to the processes that they start."""
    return new_key()


def fernet_of(text: str) -> "MultiFernet":
    """The keys of a setting or a file, separated by commas. Raises ValueError for other text."""
    from cryptography.fernet import Fernet, MultiFernet  # not above: importing it takes long, and commands list rows

    keys = [key.strip() for key in text.split(",")]
    if not all(map(_KEY.fullmatch, keys)):  # Fernet itself skips characters that are none of base64
        raise ValueError("not keys")
    return MultiFernet(map(Fernet, keys))


def check_key(connection: Connection) -> None:
    """Raises DatabaseKeyError when the database is not opened with its key. An empty database has none yet."""
    if inspect(connection).has_table(service_key.name):
        connection.execute(_find_check).scalar()


def write_check(connection: Connection) -> None:
    """Write the row that `check_key` reads, if there is none."""
    if connection.execute(_find_check).scalar() is None:
        connection.execute(insert(service_key).values(name=_CHECK, secret=new_key(), made_at=datetime.now(UTC)))


def encrypt_column(connection: Connection, table: str, key: str, column: str) -> None:
    """Encrypt what a column has, for the revision that makes it `Encrypted`. `key` is the table's primary key."""
    plain, encrypted = (
        Table(table, MetaData(), Column(key, NullType), Column(column, kind)) for kind in (Text, Encrypted)
    )
    rows = connection.execute(select(plain).where(plain.c[column].is_not(None))).all()
    if rows:
        change = update(encrypted).where(encrypted.c[key] == bindparam("the_key"))
        values = [{"the_key": row[0], "new": row[1]} for row in rows]
        connection.execute(change.values({column: bindparam("new")}), values)


def _write(file: Path, text: str) -> None:
    """Write a new file that this user alone can read, completely or not at all. One that is there stays."""
    new = file.with_name(f"{file.name}-{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as opened:
            opened.write(f"{text}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):  # another process was faster
            os.link(new, file)
    finally:
        new.unlink()
