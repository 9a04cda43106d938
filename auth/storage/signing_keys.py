"""Signing keys: what access tokens are signed with, in auth's own database.

They are numbered, and a number is unique: workers that start at the same moment agree on the first key. A new key is
published at once and used a moment later: verifiers ask for a key that they do not know, but not all the time. The old
one is published until its last token has ended.
"""

from contextlib import suppress
from datetime import timedelta
from functools import lru_cache

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from auth.settings import AuthSettings
from auth.tables import signing_key
from bus import SigningJwk
from bus.database import now, sql_now
from bus.security import SigningKey

# Longer than the pause between two questions of a verifier for unknown keys.
SETTLE = timedelta(seconds=3)
# A worker that has just read the key in use signs with it a moment after another has retired it.
MARGIN = timedelta(minutes=1)

_newest = (
    select(signing_key.c.private_jwk, signing_key.c.made_at, sql_now().label("now"))
    .order_by(signing_key.c.number.desc())
    .limit(2)
)


def current_key(connection: Connection) -> SigningKey:
    """The key to sign with; makes the first one. The connection commits by itself, as `work.reading` does."""
    rows = connection.execute(_newest).all()
    if not rows:
        with suppress(IntegrityError):  # another worker was faster
            _make(connection, 1)
        rows = connection.execute(_newest).all()
    settled = [row for row in rows if row.made_at <= row.now - SETTLE]
    return _read([*settled, rows[-1]][0].private_jwk)


def published_keys(connection: Connection, settings: AuthSettings) -> list[SigningJwk]:
    """The public keys to verify tokens with, the newest first. The connection commits by itself."""
    current_key(connection)
    life = timedelta(minutes=settings.access_token_minutes) + MARGIN
    is_needed = or_(signing_key.c.retired_at.is_(None), signing_key.c.retired_at > now(connection) - life)
    rows = connection.execute(select(signing_key).where(is_needed).order_by(signing_key.c.number.desc()))
    return [SigningJwk(kty="OKP", crv="Ed25519", x=row.x, kid=row.kid) for row in rows]


def rotate(connection: Connection, settings: AuthSettings) -> str:
    """Make a new key and retire the one before, in this transaction; returns the id of the new one.

    Keys whose last token has ended are deleted. Raises IntegrityError when another rotation runs at the same moment.
    """
    moment = now(connection)
    number = connection.execute(select(signing_key.c.number).order_by(signing_key.c.number.desc()).limit(1)).scalar()
    kid = _make(connection, (number or 0) + 1)
    others = update(signing_key).where(signing_key.c.retired_at.is_(None), signing_key.c.kid != kid)
    connection.execute(others.values(retired_at=moment))
    life = timedelta(minutes=settings.access_token_minutes) + MARGIN
    connection.execute(delete(signing_key).where(signing_key.c.retired_at < moment - life))
    return kid


def _make(connection: Connection, number: int) -> str:
    """Raises IntegrityError when the number is taken."""
    key = SigningKey.new()
    row = {"kid": key.kid, "number": number, "private_jwk": key.private_jwk, "x": key.x, "made_at": now(connection)}
    connection.execute(insert(signing_key), row)
    return key.kid


@lru_cache(maxsize=4)
def _read(private_jwk: str) -> SigningKey:
    return SigningKey.read(private_jwk)
