"""Log-in: check a password or a refresh token, and give out tokens.

A password is hashed while no transaction is open. What it was compared with is read again in the transaction, as the
account may have been changed meanwhile. Tries that run at the same moment are counted one after another, so a guesser
gets as many more of them as there are threads that hash.
"""

from msgspec import UNSET
from sqlalchemy import Row

from auth.contract import (
    InvalidRefreshToken,
    LoggedOut,
    LogIn,
    LogOut,
    Refresh,
    TokenReused,
    Tokens,
    WrongCredentials,
)
from auth.domain.email import email_key
from auth.domain.passwords import hash_password, is_password, needs_new_hash
from auth.domain.throttling import ACCOUNT_FAILURES, ADDRESS_FAILURES
from auth.handlers.service import HASHING_THREADS, auth, settings
from auth.storage import accounts, activity, second_factor, sessions, throttle
from auth.storage.signing_keys import current_key
from bus import Work
from bus.database import now


@auth.handles(LogIn, threads=HASHING_THREADS)
def log_in(command: LogIn, work: Work) -> Tokens:
    """The same answer, after the same work, for a wrong password and for accounts that do not exist or are disabled."""
    device = "" if command.device is UNSET else command.device
    with work.reading() as connection:
        owner = accounts.find_by_login(connection, command.login)
        name = _counted_as(command.login, owner)
        throttles = [(name, ACCOUNT_FAILURES), *throttle.of_client(work, "log_in_from", ADDRESS_FAILURES)]
        throttle.check_wait(connection, throttles)
        key = current_key(connection)
        example = accounts.example_hash(connection, command.login)
    old_hash = None if owner is None else owner.password_hash
    is_right = is_password(command.password, old_hash, example)
    is_old = is_right and owner is not None and owner.disabled_at is None and needs_new_hash(owner.password_hash)
    new_hash = hash_password(command.password) if is_old else None
    user_id = activity.NO_ACCOUNT if owner is None else owner.id
    current = accounts.lock(work.connection, user_id)
    is_right = is_right and current is not None and current.password_hash == old_hash
    if current is None or not is_right or current.disabled_at is not None:
        throttle.count(work.connection, throttles)
        activity.note(work, user_id, "log_in_failed", device=device)
        raise WrongCredentials
    second_factor.check(work, current.id, None if command.otp is UNSET else command.otp, device)
    throttle.forget(work.connection, name)
    if new_hash is not None:
        current = accounts.change(work, current.id, password_hash=new_hash)
    current = _first_admin(work, current)
    activity.note(work, current.id, "logged_in", device=device, by_id=current.id)
    return sessions.begin(work, current, device, key, settings())


@auth.handles(Refresh)
def refresh(command: Refresh, work: Work) -> Tokens:
    with work.reading() as connection:
        key = current_key(connection)
    found = sessions.find(work.connection, command.refresh_token)
    if found is None:
        raise InvalidRefreshToken
    moment = now(work.connection)
    if sessions.is_reused(found, moment):
        work.emit(TokenReused(id=found.session_id, user_id=found.id, version=1))
        activity.note(work, found.id, "token_reused")
        sessions.end(work, found.id, session_id=found.session_id)
        raise InvalidRefreshToken
    if not sessions.is_active(found, settings(), moment):
        sessions.end(work, found.id, session_id=found.session_id)
        raise InvalidRefreshToken
    return sessions.go_on(work, found, command.refresh_token, key, settings())


@auth.handles(LogOut)
def log_out(command: LogOut, work: Work) -> LoggedOut:
    found = sessions.find(work.connection, command.refresh_token)
    if found is not None and sessions.end(work, found.id, session_id=found.session_id):
        activity.note(work, found.id, "logged_out", by_id=found.id)
    return LoggedOut()


def _counted_as(login: str, owner: Row[tuple[object, ...]] | None) -> str:
    """The throttle of a login. As the log-ins of an account do, all spellings of an unknown login share one."""
    if owner is None:
        return throttle.name_of("log_in_to_none", accounts.login_key(login))
    return throttle.name_of("log_in", str(owner.id))


def _first_admin(work: Work, owner: Row[tuple[object, ...]]) -> Row[tuple[object, ...]]:
    """Give the role to the account that the setting names."""
    admin, roles = settings().admin, set(owner.roles.split())
    if not admin or "admin" in roles or owner.email_key != email_key(admin):
        return owner
    if settings().verify_email and not owner.email_verified:
        return owner
    activity.note(work, owner.id, "roles_changed")
    return accounts.change(work, owner.id, roles=" ".join(sorted({*roles, "admin"})))
