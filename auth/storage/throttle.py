"""Throttles: counts of failures in the database, so that they hold for all workers and survive a restart."""

import hashlib
import math
from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from auth.contract.accounts import TooManyTries
from auth.domain.throttling import ADDRESS_MAILS, MAILS, Limit, client_of
from auth.tables import throttle
from bus import Work
from bus.database import now, sql_now

Throttles = Collection[tuple[str, Limit]]

_waits = select(func.max(throttle.c.waits_until).label("until"), sql_now().label("now")).where(
    throttle.c.name.in_(bindparam("names", expanding=True))
)
_forget = delete(throttle).where(throttle.c.name == bindparam("throttle_name"))


def of_client(work: Work, kind: str, limit: Limit) -> list[tuple[str, Limit]]:
    """The throttle of what comes from the address of the client; empty where it is not known."""
    client = client_of(work.client_address)
    return [(name_of(kind, client), limit)] if client else []


def check_wait(connection: Connection, throttles: Throttles) -> None:
    """Raises TooManyTries while the next try of one of these has to wait."""
    until, moment = connection.execute(_waits, {"names": [name for name, _ in throttles]}).one()
    if until is not None and until > moment:
        raise TooManyTries(retry_after=math.ceil((until - moment).total_seconds()))


def name_of(kind: str, what: str) -> str:
    """The name of a throttle. What a person typed is hashed: it may be a password in the wrong field."""
    return f"{kind}:{hashlib.sha256(what.encode()).hexdigest()}"


def limit_mails(work: Work, kind: str, key: str) -> None:
    """Count one more mail of a kind to what has this key, from this client. Raises TooManyTries where it has to wait.

    The answer is the same whether there is an account or not, and so are the statements.
    """
    throttles = [(name_of(kind, key), MAILS), *of_client(work, f"{kind}_from", ADDRESS_MAILS)]
    check_wait(work.connection, throttles)
    count(work.connection, throttles)


def count(connection: Connection, throttles: Throttles) -> None:
    """Count one more for each, in the order of their names, so that two transactions do not block each other."""
    moment = now(connection)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for name, limit in sorted(throttles):
        added = dialect.insert(throttle).values(name=name, number=0, last_at=moment, waits_until=moment)
        connection.execute(added.on_conflict_do_nothing())
        row = connection.execute(select(throttle).where(throttle.c.name == name).with_for_update()).one()
        counted = limit.after(row.number, row.last_at, moment)
        connection.execute(throttle.update().where(throttle.c.name == name).values(counted._asdict()))


def forget(connection: Connection, name: str) -> None:
    """Begin to count from zero."""
    connection.execute(_forget, {"throttle_name": name})
