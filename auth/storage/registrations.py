"""Registrations that wait until the owner of the address has shown that it is theirs."""

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from auth.tables import registration, user
from bus.database import now


def keep(connection: Connection, values: dict[str, str], life: timedelta) -> str | None:
    """Keep a registration; returns its id. None if its user name is in use, or waits for another address.

    A second one with the same name and address takes the place of the first, whose mails are worth nothing then.
    """
    is_taken = select(user.c.id).where(user.c.username_key == values["username_key"])
    if connection.execute(is_taken).first() is not None:
        return None
    moment = now(connection)
    row = {"id": secrets.token_hex(16), "ends_at": moment + life, **values}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(registration).values(row)
    may_replace = or_(registration.c.email_key == values["email_key"], registration.c.ends_at < moment)
    kept = added.on_conflict_do_update(index_elements=["username_key"], set_=row, where=may_replace)
    return connection.execute(kept.returning(registration.c.id)).scalar_one_or_none()


def find(connection: Connection, registration_id: str) -> Row[Any] | None:
    """The registration with this id; None if there is none any more."""
    statement = select(registration).where(registration.c.id == registration_id).with_for_update()
    return connection.execute(statement).one_or_none()


def of_address(connection: Connection, key: str, most: int) -> list[Row[Any]]:
    """Registrations with this address that still wait, the newest first."""
    waits = (registration.c.email_key == key, registration.c.ends_at > now(connection))
    return list(
        connection.execute(select(registration).where(*waits).order_by(registration.c.ends_at.desc()).limit(most))
    )


def prolong(connection: Connection, registration_id: str, ends_at: datetime) -> None:
    """Let it wait at least until this time."""
    is_earlier = (registration.c.id == registration_id, registration.c.ends_at < ends_at)
    connection.execute(update(registration).where(*is_earlier).values(ends_at=ends_at))


def finish(connection: Connection, found: Row[Any]) -> Row[Any]:
    """Make the account, with a verified address. Raises IntegrityError for a name or an address that is taken."""
    connection.execute(delete(registration).where(registration.c.id == found.id))
    names = ("username", "username_key", "email", "email_key", "password_hash")
    values = {name: getattr(found, name) for name in names}
    return connection.execute(insert(user).values(**values, email_verified=True).returning(user)).one()


def purge(connection: Connection, most: int) -> None:
    """Delete at most so many registrations that have waited too long."""
    over = select(registration.c.id).where(registration.c.ends_at < now(connection)).limit(most)
    connection.execute(delete(registration).where(registration.c.id.in_(connection.execute(over).scalars().all())))
