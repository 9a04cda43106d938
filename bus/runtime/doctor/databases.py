"""Databases: whether each service's can be reached, and is migrated."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from bus.database.engine import Database, DatabaseUnavailable, sqlite_file
from bus.database.migrate import NotMigrated, check_migrated
from bus.runtime.doctor.clock import compared
from bus.runtime.doctor.finding import Finding, ok, wrong
from bus.service.application import Application

_NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def database_findings(application: Application, url: str) -> Iterator[Finding]:
    """Findings on a service's database and its clock. Creates no database file."""
    service = application.name
    if fault := _fault_of_file(url):
        yield wrong("database", fault, service)
        return
    database = Database(url, connections=1)
    try:
        check_migrated(database, application.migrations)
        with database.reading() as transaction:
            yield ok("database", f"{_version(transaction.connection)}, migrated", service)
            if database.kind == "postgresql":
                yield _clock(transaction.connection, service)
    except NotMigrated as refused:
        yield wrong("database", f"{refused}.", service)
    except DatabaseUnavailable as away:
        reason = " ".join(str(away).split())
        yield wrong("database", f"it cannot be reached: {reason}. Is it running, and is its URL right?", service)
    finally:
        database.close()


def _fault_of_file(url: str) -> str:
    """What is wrong with the file of an SQLite database, which opening it would create; empty if nothing is."""
    if (path := sqlite_file(url)) is None:
        return ""
    if not path.exists():
        return f"{path} is not there. `bus migrate` makes it, and so does `bus run`."
    may_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)  # the folder, for the log beside it
    return "" if may_write else f"{path} cannot be written to by this user."


def _version(connection: Connection) -> str:
    dialect = connection.dialect
    version = ".".join(map(str, getattr(dialect, "server_version_info", None) or ()))
    return f"{_NAMES[dialect.name]} {version}"


def _clock(connection: Connection, service: str) -> Finding:
    before = datetime.now(UTC)
    theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return compared("database", service, theirs, before, datetime.now(UTC))
