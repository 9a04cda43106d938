"""Connecting: whether a database can be used at all, and what a new connection of psycopg needs.

What the checks find, only an operator can repair.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

# A parameter of the URL that psycopg wants as a number, or None.
PREPARE_THRESHOLD = "prepare_threshold"
_NEVER = ("0", "none")
# The files that SQLite keeps beside a database in WAL mode, by their endings.
_BESIDE = ("", "-wal", "-shm")


class DatabaseUnusable(Exception):
    """The database is not one that we can use: its files, its encoding or its URL. The operator has to change it."""


def check_usable(connection: Connection) -> None:
    """Raises DatabaseUnusable for a PostgreSQL database that cannot hold every text."""
    if connection.dialect.name != "postgresql":
        return
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise DatabaseUnusable(
            f"the encoding of the database {connection.engine.url.database} is {encoding}, which cannot hold "
            "every text. Create another one: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )


def check_file(file: Path) -> None:
    """Make the folder of an SQLite database. Raises DatabaseUnusable when this user cannot write its files there."""
    folder, remedy = file.parent, "Name another place with DATA_DIR or the service's database URL"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnusable(f"the folder {folder.absolute()} cannot be made: {error.strerror}. {remedy}") from error
    for path in (folder, *(file.with_name(f"{file.name}{ending}") for ending in _BESIDE)):
        is_there = path == folder or path.exists()
        if is_there and not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path == folder else 0)):
            detail = f"this user may not write to {path.absolute()}. Change its owner or its permissions"
            raise DatabaseUnusable(f"{detail}. {remedy}")
    if file.is_dir():
        raise DatabaseUnusable(f"{file.absolute()} is a folder, and not an SQLite database. {remedy}")


def for_psycopg(_dialect: Any, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    """Texts are UTF-8, whatever the database's encoding is: else psycopg gives bytes for text where it is SQL_ASCII."""
    parameters.setdefault("client_encoding", "utf8")
    given = parameters.get(PREPARE_THRESHOLD)
    if not isinstance(given, str):
        return
    if given.lower() not in _NEVER and not given.isdecimal():
        raise DatabaseUnusable(f"{PREPARE_THRESHOLD} in the database's URL must be a number, not {given!r}")
    # psycopg prepares at once for 0, but who writes 0 wants no prepared statements, as with other drivers.
    parameters[PREPARE_THRESHOLD] = None if given.lower() in _NEVER else int(given)
