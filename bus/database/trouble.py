"""Trouble with a database: which of its errors say something about the database, and not about the statement.

The one policy for all of it. An error is one of three kinds:

- `DatabaseUnavailable`: the database cannot do it for anybody now, until somebody brings it back. Commands wait for it.
- `DatabaseBusy`: another transaction holds what this one needs. This command waits, and others go on.
- Any other error is a fault of the statement, and so of the message: it is retried, and then a dead letter.

The table in docs/operating.md says the same to operators; a test compares them with both databases.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError

AWAY = "The database cannot be reached."


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or takes no writes. The operator has to bring it back.

    `sentence` says why, for callers and operators; it holds no data. `detail` are the driver's words, for the log.
    After a lost COMMIT it is unknown whether it happened: look into the inbox before trying again.
    """

    def __init__(self, detail: str, sentence: str = AWAY) -> None:
        super().__init__(f"{sentence} ({' '.join(detail.split())})")
        self.sentence = sentence


class DatabaseBusy(DatabaseUnavailable):
    """Another transaction holds what this one needs, for longer than we wait, or the two wait for each other.

    `is_conflict`: the database chose this one to give way, so it may succeed at once when it is tried again.
    """

    def __init__(self, detail: str, sentence: str, *, is_conflict: bool = False) -> None:
        super().__init__(detail, sentence)
        self.is_conflict = is_conflict


_NO_SPACE = "The database takes no writes: its disk is full."
_READ_ONLY = "The database takes no writes: it is read-only."
_LOCKED = "The database takes no writes: another program holds its lock."
_DISK = "The database cannot read or write its files."
_LIMITS = "The database has no resources left."
_DENIED = "The database refuses our user."
_HELD = "Another transaction holds the rows or the table."

# The server takes no writes, or this connection does not: read-only transaction.
READ_ONLY_STATE = "25006"

# PostgreSQL, appendix A: an error code, or the first two characters of its class.
_POSTGRESQL = {
    "08": AWAY,  # connection exceptions
    "28": _DENIED,  # invalid authorization: a password was changed
    "42501": _DENIED,  # insufficient privilege
    "3D000": AWAY,  # the database does not exist
    "57P01": AWAY,  # admin shutdown
    "57P02": AWAY,  # crash shutdown
    "57P03": AWAY,  # cannot connect now
    "57P05": AWAY,  # idle session timeout
    "25P03": AWAY,  # idle in transaction session timeout: this process stood still
    "53100": _NO_SPACE,
    "53": _LIMITS,  # out of memory, too many connections
    READ_ONLY_STATE: _READ_ONLY,
    "58": _DISK,  # system errors, such as I/O
    "XX001": _DISK,  # data corrupted
    "XX002": _DISK,  # index corrupted
}
_BUSY = {"55P03"}  # lock not available: lock_timeout
_CONFLICTS = {"40001", "40P01"}  # serialization failure, deadlock detected

# The primary result codes of SQLite (https://www.sqlite.org/rescode.html).
_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _NO_SPACE,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_AUTH: _DENIED,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_CORRUPT: _DISK,
    sqlite3.SQLITE_NOTADB: _DISK,
    sqlite3.SQLITE_CANTOPEN: _DISK,
    sqlite3.SQLITE_NOMEM: _LIMITS,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
}
_PRIMARY = 0xFF


def trouble_of(error: DBAPIError) -> DatabaseUnavailable | None:
    """What an error says about the database; None when it is a fault of the statement."""
    detail, cause = str(error.orig), error.orig
    if isinstance(cause, sqlite3.Error):
        sentence = _SQLITE.get((getattr(cause, "sqlite_errorcode", None) or 0) & _PRIMARY)
        return None if sentence is None else DatabaseUnavailable(detail, sentence)
    code = getattr(cause, "sqlstate", None) or ""
    if code in _BUSY | _CONFLICTS:
        return DatabaseBusy(detail, _HELD, is_conflict=code in _CONFLICTS)
    sentence = _POSTGRESQL.get(code) or _POSTGRESQL.get(code[:2])
    if sentence is not None:
        return DatabaseUnavailable(detail, sentence)
    return DatabaseUnavailable(detail) if error.connection_invalidated else None
