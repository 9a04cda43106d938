"""Sealing keys: the key pairs of one service, in its own database.

They are numbered, and a number is unique: workers that start at the same moment agree on the first key, and two
rotations at the same moment make one next key.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from bus.contract.builtin import SealingKey
from bus.database.clock import now
from bus.database.engine import Database
from bus.database.tables import sealing_key
from bus.database.trouble import DatabaseUnavailable
from bus.security.identity import signature_of
from bus.security.keys import KeyPair
from bus.security.seal import ALG, ENC
from bus.security.service_keys import stored
from bus.security.unsealer import UNKNOWN_SECONDS

# A new key is given out only when every worker can find it: a worker looks for an unknown key once in
# UNKNOWN_SECONDS at most.
SETTLE_SECONDS = 2 * UNKNOWN_SECONDS
# The name of the identity key among the service's keys.
IDENTITY = "identity"

_newest_first = select(sealing_key).order_by(sealing_key.c.number.desc())


class KeptKey(NamedTuple):
    """A key as an operator sees it. `retired_at` is None for the one in use."""

    kid: str
    made_at: datetime
    retired_at: datetime | None


class KeyInUse(Exception):
    """The key is the one that is given out. The operator has to rotate first."""


class KeyNotFound(Exception):
    """The service has no key with this id. The operator has to give another."""


def current_key(connection: Connection) -> KeyPair:
    """The key to give out; makes the first one. The connection commits by itself, as `Database.reading` does."""
    rows = connection.execute(_newest_first).all()
    if not rows:
        with suppress(IntegrityError):  # another worker was faster
            _make(connection, 1)
        rows = connection.execute(_newest_first).all()
    settled_before = now(connection) - timedelta(seconds=SETTLE_SECONDS)
    settled = [row for row in rows if row.made_at <= settled_before]
    return KeyPair.read([*settled, rows[-1]][0].private_jwk)


def given_out(connection: Connection, service: str) -> SealingKey:
    """The key to give out, as callers get it: its public half, signed by the service."""
    pair = current_key(connection)
    signature = signature_of(_identity_key(connection), service, pair.kid)
    return SealingKey(kid=pair.kid, alg=ALG, enc=ENC, jwk=pair.public_jwk, signature=signature)


def prepare_key(database: Database) -> None:
    """Make the first key, if there is none. Without the database, the first request for a key makes it."""
    with suppress(DatabaseUnavailable), database.reading() as transaction:
        current_key(transaction.connection)


def rotate(database: Database) -> str:
    """Make a new key and retire the others, which still open secrets sealed to them; returns its id.

    Raises DatabaseUnavailable.
    """
    # Another rotation at the same moment may take the number first; its key is as new.
    with suppress(IntegrityError), database.transaction() as transaction:
        connection = transaction.connection
        newest = connection.execute(_newest_first).first()
        pair = _make(connection, newest.number + 1 if newest else 1)
        others = update(sealing_key).where(sealing_key.c.retired_at.is_(None), sealing_key.c.kid != pair.kid)
        connection.execute(others.values(retired_at=now(connection)))
    return kept_keys(database)[0].kid


def read_keys(database: Database) -> dict[str, KeyPair]:
    """The pairs of all keys, by their ids. Raises DatabaseUnavailable."""
    with database.reading() as transaction:
        rows = transaction.connection.execute(_newest_first).all()
    return {row.kid: KeyPair.read(row.private_jwk) for row in rows}


def identity(database: Database) -> str:
    """The thumbprint of the service's identity key (RFC 7638). Raises DatabaseUnavailable."""
    with database.reading() as transaction:
        return _identity_key(transaction.connection).kid


def kept_keys(database: Database) -> Sequence[KeptKey]:
    """All keys, the newest first. Raises DatabaseUnavailable."""
    with database.reading() as transaction:
        rows = transaction.connection.execute(_newest_first).all()
    return [KeptKey(row.kid, row.made_at, row.retired_at) for row in rows]


def forget(database: Database, kid: str) -> None:
    """Delete a retired key: secrets still sealed to it can never be opened.

    Raises KeyInUse, KeyNotFound and DatabaseUnavailable.
    """
    retired = {key.kid: key.retired_at for key in kept_keys(database)}
    if kid not in retired:
        raise KeyNotFound(f"There is no key {kid}. `bus sealing-keys list` shows the keys.")
    if retired[kid] is None:
        raise KeyInUse(f"{kid} is the key that is given out. Rotate first: `bus sealing-keys rotate`.")
    with database.transaction() as transaction:
        transaction.connection.execute(delete(sealing_key).where(sealing_key.c.kid == kid))


def _identity_key(connection: Connection) -> KeyPair:
    """The key that signs the sealing keys; made when it is first needed."""
    return KeyPair.read(stored(connection, IDENTITY, lambda: KeyPair.new().private_jwk))


def _make(connection: Connection, number: int) -> KeyPair:
    """Raises IntegrityError when the number is taken."""
    pair = KeyPair.new()
    row = {"kid": pair.kid, "number": number, "private_jwk": pair.private_jwk, "made_at": now(connection)}
    connection.execute(insert(sealing_key).values(row))
    return pair
