"""Sessions: what begins with a log-in, and goes on with refresh tokens until it ends.

Each use of a refresh token gives a new one. Of a used token that comes again, a copy may be in other hands: then the
whole session ends (RFC 9700, section 4.14.2). Two tabs of a browser, or a client whose answer was lost, use one twice
within seconds, and each gets a new one.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from auth.contract.accounts import LogInAgain, SessionOver
from auth.contract.login import Tokens
from auth.contract.sessions import SessionChanged
from auth.settings import AuthSettings
from auth.storage.accounts import user_of
from auth.tables import refresh_token, session, totp, user
from bus import Caller, Work
from bus.database import now, sql_now
from bus.security import SigningKey

ISSUER, AUDIENCE = "urn:errand:auth", "urn:errand"
# How long after its use a refresh token may be used again.
REUSE_SECONDS = 10
TOKEN_BYTES = 32  # 256 random bits

_given = (
    select(
        session.c.id.label("session_id"),
        session.c.created_at.label("begun_at"),
        session.c.last_used_at,
        refresh_token.c.used_at,
        user,
    )
    .join_from(refresh_token, session)
    .join(user)
    .where(refresh_token.c.hash == bindparam("token_hash"))
)
_locked = _given.with_for_update(of=[refresh_token, session])
_begun_at = session.c.created_at.label("begun_at")
_begin = insert(session).values(created_at=sql_now(), last_used_at=sql_now()).returning(session.c.created_at)
_give = insert(refresh_token)
_owner = select(user, _begun_at).join_from(session, user).where(session.c.id == bindparam("session_id"))


def begin(work: Work, owner: Row[Any], device: str, key: SigningKey, settings: AuthSettings) -> Tokens:
    """Begin a session of an account."""
    session_id = secrets.token_urlsafe(16)
    row = {"id": session_id, "user_id": owner.id, "device": device}
    moment = work.connection.execute(_begin, row).scalar_one()
    work.emit(SessionChanged(id=session_id, user_id=owner.id, device=device, state="begun", version=1))
    return _tokens(work.connection, owner, session_id, key, settings, moment)


def find(connection: Connection, token: str) -> Row[Any] | None:
    """The session of a refresh token and its owner, locked until the transaction ends; None for an unknown token."""
    return connection.execute(_locked, {"token_hash": _hash(token)}).one_or_none()


def is_active(found: Row[Any], settings: AuthSettings, moment: datetime) -> bool:
    """Whether the session of a refresh token goes on at this moment."""
    is_idle = moment - found.last_used_at > timedelta(days=settings.session_idle_days)
    is_old = moment - found.begun_at > timedelta(days=settings.session_days)
    return not (is_idle or is_old or found.disabled_at is not None)


def is_reused(found: Row[Any], moment: datetime) -> bool:
    """Whether a refresh token was used before, and not just before this moment."""
    return found.used_at is not None and moment - found.used_at > timedelta(seconds=REUSE_SECONDS)


def go_on(work: Work, found: Row[Any], token: str, key: SigningKey, settings: AuthSettings) -> Tokens:
    """The tokens that follow on a refresh token."""
    connection, moment = work.connection, now(work.connection)
    unused = refresh_token.c.used_at.is_(None)
    connection.execute(update(refresh_token).where(refresh_token.c.hash == _hash(token), unused).values(used_at=moment))
    connection.execute(update(session).where(session.c.id == found.session_id).values(last_used_at=moment))
    # A token that is older than the idle limit cannot have been taken from a session that goes on.
    forgotten = refresh_token.c.used_at < moment - timedelta(days=settings.session_idle_days)
    connection.execute(delete(refresh_token).where(refresh_token.c.session_id == found.session_id, forgotten))
    return _tokens(connection, found, found.session_id, key, settings, moment)


def end(work: Work, user_id: int, *, session_id: str | None = None, but: str | None = None) -> int:
    """End one session of an account, or all `but` one; returns how many. Their access tokens end within minutes."""
    statement = delete(session).where(session.c.user_id == user_id).returning(session.c.id, session.c.device)
    if session_id is not None:
        statement = statement.where(session.c.id == session_id)
    if but is not None:
        statement = statement.where(session.c.id != but)
    ended = work.connection.execute(statement).all()
    for each in ended:
        work.emit(SessionChanged(id=each.id, user_id=user_id, device=each.device, state="ended", version=2))
    return len(ended)


def all_of(connection: Connection, user_id: int, settings: AuthSettings) -> list[Row[Any]]:
    """The sessions of an account that go on, the last used first."""
    moment = now(connection)
    goes_on = (
        session.c.last_used_at > moment - timedelta(days=settings.session_idle_days),
        session.c.created_at > moment - timedelta(days=settings.session_days),
    )
    statement = select(session).where(session.c.user_id == user_id, *goes_on).order_by(session.c.last_used_at.desc())
    return list(connection.execute(statement))


def owner_of(caller: Caller, connection: Connection) -> Row[Any]:
    """The account of a caller, and when its session has `begun_at`.

    Raises SessionOver when that has ended, whatever the access token says.
    """
    found = connection.execute(_owner, {"session_id": caller.session}).one_or_none()
    if found is None or str(found.id) != caller.id or found.disabled_at is not None:
        raise SessionOver
    return found


def check_recent(owner: Row[Any], settings: AuthSettings, moment: datetime) -> None:
    """Raises LogInAgain unless the session that `owner_of` has found began with a log-in shortly before this moment.

    For what would give an account to a thief of its tokens: those live for days, and this ends within minutes.
    """
    if moment - owner.begun_at > timedelta(minutes=settings.recent_log_in_minutes):
        raise LogInAgain


def access_token(
    key: SigningKey, account: str, session_id: str, roles: str, settings: AuthSettings, moment: datetime
) -> str:
    """An access token (RFC 9068, section 2.2) of an account, given at a moment of the database's clock."""
    issued_at = int(moment.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": account,
        "sid": session_id,
        "scope": roles,
        "iat": issued_at,
        "exp": issued_at + settings.access_token_minutes * 60,
        "jti": secrets.token_urlsafe(16),
    }
    return key.sign(claims)


def _tokens(
    connection: Connection,
    owner: Row[Any],
    session_id: str,
    key: SigningKey,
    settings: AuthSettings,
    moment: datetime,
) -> Tokens:
    refresh = secrets.token_urlsafe(TOKEN_BYTES)
    connection.execute(_give, {"hash": _hash(refresh), "session_id": session_id})
    roles = _roles_now(connection, owner, settings)
    access = access_token(key, str(owner.id), session_id, roles, settings, moment)
    seconds = settings.access_token_minutes * 60
    return Tokens(access_token=access, expires_in=seconds, refresh_token=refresh, user=user_of(owner))


def _roles_now(connection: Connection, owner: Row[Any], settings: AuthSettings) -> str:
    """The roles of an account that its tokens carry: `admin` may need a second factor (AUTH_REQUIRE_TOTP)."""
    roles: list[str] = owner.roles.split()
    if settings.require_totp == "admin" and "admin" in roles:
        confirmed = select(totp.c.user_id).where(totp.c.user_id == owner.id, totp.c.confirmed_at.is_not(None))
        if connection.execute(confirmed).one_or_none() is None:
            roles.remove("admin")
    return " ".join(roles)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
