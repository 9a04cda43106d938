"""Checks of a service's database: that it can be reached, that it is migrated, its keys and its clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from bus.database.connecting import DatabaseUnusable, check_file
from bus.database.encryption import DatabaseKeyError, DatabaseKeys
from bus.database.engine import Database
from bus.database.migrate import NotMigrated, check_migrated
from bus.database.opening import sqlite_file
from bus.database.trouble import DatabaseUnavailable
from bus.runtime.doctor.findings import Finding, clock_finding, ok, wrong
from bus.service.application import Application

_NAMES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


def database_findings(application: Application, url: str, keys: DatabaseKeys | None = None) -> Iterator[Finding]:
    """Check the database of a service, its keys and its clock; does not create a SQLite file."""
    service = application.name
    if fault := _fault_of_file(url):
        yield wrong("database", fault, service)
        return
    database = Database(url, connections=1, keys=keys)
    try:
        check_migrated(database, application.migrations)
        with database.reading() as transaction:
            yield ok("database", f"{_version(transaction.connection)}, migrated", service)
            if database.kind == "postgresql":
                yield _clock(transaction.connection, service)
    except (NotMigrated, DatabaseUnusable, DatabaseKeyError) as refused:
        yield wrong("database", f"{refused}.", service)
    except DatabaseUnavailable as away:
        reason = " ".join(str(away).split())
        advice = f"Check that it is running and that {service.upper()}_DATABASE_URL is right."
        yield wrong("database", f"it cannot be reached: {reason}. {advice}", service)
    finally:
        database.close()


def _fault_of_file(url: str) -> str:
    """Why the SQLite file cannot be used; empty if it can. SQLite itself would create a missing file."""
    if (path := sqlite_file(url)) is None:
        return ""
    if not path.exists():
        return f"{path.absolute()} does not exist. `bus migrate` or `bus run` creates it."
    try:
        check_file(path)
    except DatabaseUnusable as unusable:
        return f"{unusable}."
    return ""


def _version(connection: Connection) -> str:
    dialect = connection.dialect
    version = ".".join(map(str, getattr(dialect, "server_version_info", None) or ()))
    return f"{_NAMES[dialect.name]} {version}"


def _clock(connection: Connection, service: str) -> Finding:
    before = datetime.now(UTC)
    theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return clock_finding("database", service, theirs, before, datetime.now(UTC))
