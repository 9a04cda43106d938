"""Throttles: counts of failures in the database, so that they hold for all workers and survive a restart."""

import hashlib
import math
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from auth.contract.accounts import TooManyTries
from auth.domain.throttling import MAILS, Limit
from auth.tables import throttle

Throttles = Iterable[tuple[str, Limit]]


def name_of(kind: str, what: str) -> str:
    """The name of a throttle. What a person typed is hashed: it may be a password in the wrong field."""
    return f"{kind}:{hashlib.sha256(what.encode()).hexdigest()}"


def seconds_to_wait(connection: Connection, names: Iterable[str]) -> int:
    """How many seconds the next try has to wait for the longest of these throttles; 0 if it need not."""
    statement = select(func.max(throttle.c.waits_until)).where(throttle.c.name.in_(list(names)))
    until = connection.execute(statement).scalar()
    return 0 if until is None else max(0, math.ceil((until - datetime.now(UTC)).total_seconds()))


def limit_mails(connection: Connection, kind: str, key: str) -> None:
    """Count one more mail of a kind to what has this key. Raises TooManyTries where it has to wait."""
    name = name_of(kind, key)
    if seconds := seconds_to_wait(connection, [name]):
        raise TooManyTries(retry_after=seconds)
    count(connection, [(name, MAILS)])


def count(connection: Connection, throttles: Throttles) -> None:
    """Count one more for each of these, in the order of their names, so that two transactions do not block each other.

    What a limit has forgotten is counted from one again.
    """
    now = datetime.now(UTC)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for name, limit in sorted(throttles):
        added = dialect.insert(throttle).values(name=name, number=0, last_at=now, waits_until=now)
        connection.execute(added.on_conflict_do_nothing())
        row = connection.execute(select(throttle).where(throttle.c.name == name).with_for_update()).one()
        number = 1 if limit.is_forgotten(row.last_at, now) else row.number + 1
        values = {"number": number, "last_at": now, "waits_until": now + limit.wait_after(number)}
        connection.execute(throttle.update().where(throttle.c.name == name).values(values))


def forget(connection: Connection, name: str) -> None:
    """Begin to count from zero."""
    connection.execute(delete(throttle).where(throttle.c.name == name))
