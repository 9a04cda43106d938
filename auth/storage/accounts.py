"""Accounts: finding and changing them. Every change is counted, and announced with an event."""

import hashlib
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from auth.contract.accounts import Account, User, UserChanged
from auth.domain.email import email_key
from auth.domain.names import username_key
from auth.tables import user
from bus import Work

_by_login = select(user).where(or_(user.c.username_key == bindparam("name"), user.c.email_key == bindparam("email")))
_by_id = select(user).where(user.c.id == bindparam("user_id"))
_locked = _by_id.with_for_update()
_last_id = select(func.max(user.c.id))
_example = select(user.c.password_hash).where(user.c.id > bindparam("place")).order_by(user.c.id).limit(1)


def login_key(login: str) -> str:
    """What is compared in place of a login, a user name or an address: all spellings of one have the same key.

    A text that is neither is its own key, which is that of no account.
    """
    try:
        return email_key(login) if "@" in login else username_key(login)
    except ValueError:
        return login


def find_by_login(connection: Connection, login: str) -> Row[Any] | None:
    """The account with this user name or address; None if there is none, or if it is neither."""
    key = login_key(login)
    keys = {"name": "", "email": key} if "@" in login else {"name": key, "email": ""}
    return connection.execute(_by_login, keys).one_or_none()


def example_hash(connection: Connection, login: str) -> str | None:
    """The password hash of an account that follows from a login; None without accounts.

    What an unknown login is compared with. So it takes as long as that of an account, whose hash may have been imported
    and be cheaper or dearer than ours. It must stay the same while accounts are added, or a change would say that there
    is no account: by linear hashing (Litwin, 1980) it moves about once while their number doubles.
    """
    last = connection.execute(_last_id).scalar_one()
    if last is None:
        return None
    number = int.from_bytes(hashlib.blake2b(login_key(login).encode(), digest_size=7).digest())
    place = number % (1 << last.bit_length())
    if place >= last:
        place %= 1 << (last.bit_length() - 1)
    return connection.execute(_example, {"place": place}).scalar_one_or_none()


def find_by_email_key(connection: Connection, key: str) -> Row[Any] | None:
    """The account whose address has this key; None if there is none."""
    return connection.execute(_by_login, {"name": "", "email": key}).one_or_none()


def with_new_email_key(connection: Connection, key: str, most: int) -> list[Row[Any]]:
    """Accounts that are to get an address with this key, the newest first."""
    waits = user.c.new_email_key == key
    return list(connection.execute(select(user).where(waits).order_by(user.c.id.desc()).limit(most)))


def find(connection: Connection, user_id: int) -> Row[Any] | None:
    """The account with this id; None if there is none."""
    return connection.execute(_by_id, {"user_id": user_id}).one_or_none()


def lock(connection: Connection, user_id: int) -> Row[Any] | None:
    """The same, and no other transaction changes it until this one ends."""
    return connection.execute(_locked, {"user_id": user_id}).one_or_none()


def change(work: Work, user_id: int, **values: Any) -> Row[Any]:
    """Change columns of an account that exists. Raises IntegrityError for a name or an address that is taken."""
    statement = update(user).where(user.c.id == user_id).values(**values, version=user.c.version + 1).returning(user)
    row = work.connection.execute(statement).one()
    work.emit(changed(row))
    return row


def changed(row: Row[Any]) -> UserChanged:
    """The event that says what an account is now. An address that is not verified yet is not a part of it."""
    return UserChanged(
        id=row.id,
        username=row.username,
        email=row.email,
        email_verified=row.email_verified,
        display_name=row.display_name,
        roles=row.roles.split(),
        disabled=row.disabled_at is not None,
        version=row.version,
    )


def is_about_email(error: IntegrityError) -> bool:
    """Whether an address is taken; if not, a name is."""
    # PostgreSQL names the constraint in the first line and repeats the caller's text in the second.
    return "email_key" in str(error.orig).partition("\n")[0]


def user_of(row: Row[Any]) -> User:
    """An account, as others see it."""
    return User(id=row.id, username=row.username, email=row.email)


def account_of(row: Row[Any]) -> Account:
    """An account, as its owner sees it: with a new address that does not count yet, if there is one."""
    return Account(
        id=row.id,
        username=row.username,
        email=row.new_email or row.email,
        email_verified=row.email_verified and row.new_email is None,
        display_name=row.display_name,
        roles=row.roles.split(),
        created_at=row.created_at,
    )
