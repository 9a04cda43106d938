"""Service accounts: services that call others in their own name, with a secret in place of a password.

The secret is random, so its SHA-256 is enough to store, and nobody can guess it.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from auth.tables import service_account
from bus import Caller

SECRET_BYTES = 32  # 256 random bits
# Before the name, as the id of the caller: an account of a person has a number.
_CALLER = "service:"

_by_name = select(service_account).where(service_account.c.name == bindparam("given"))


def create(connection: Connection, name: str, roles: Iterable[str]) -> str:
    """Make an account; returns its secret, which is stored nowhere. Raises IntegrityError if there is one."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    row = {
        "name": name,
        "secret_hash": _hash(secret),
        "roles": " ".join(sorted({*roles})),
        "made_at": datetime.now(UTC),
    }
    connection.execute(insert(service_account), row)
    return secret


def find(connection: Connection, name: str, secret: str) -> Row[Any] | None:
    """The account with this name and secret."""
    found = connection.execute(_by_name, {"given": name}).one_or_none()
    is_right = found is not None and secrets.compare_digest(found.secret_hash, _hash(secret))
    return found if is_right else None


def find_caller(connection: Connection, caller: Caller) -> Row[Any] | None:
    """The account that a caller is; None for a person, and for an account that was deleted."""
    if not caller.id.startswith(_CALLER):
        return None
    return connection.execute(_by_name, {"given": caller.id.removeprefix(_CALLER)}).one_or_none()


def caller_id(found: Row[Any]) -> str:
    """What an access token has as `sub`."""
    return f"{_CALLER}{found.name}"


def replace_secret(connection: Connection, name: str) -> str | None:
    """Give an account another secret, and return it; None without an account."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    replaced = update(service_account).where(service_account.c.name == name).values(secret_hash=_hash(secret))
    return secret if connection.execute(replaced).rowcount else None


def remove(connection: Connection, name: str) -> bool:
    """Remove an account; False if there was none. Its access tokens end within minutes."""
    return bool(connection.execute(delete(service_account).where(service_account.c.name == name)).rowcount)


def all_of(connection: Connection) -> Sequence[Row[Any]]:
    """All accounts, by name."""
    return connection.execute(select(service_account).order_by(service_account.c.name)).all()


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
