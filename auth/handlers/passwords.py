"""Passwords: change that of the caller, and choose a new one with the token of a mail."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from auth.contract import (
    ChangePassword,
    ForgotPassword,
    InvalidMailToken,
    MailRequested,
    PasswordChanged,
    ResetPassword,
    SessionOver,
    WeakPassword,
)
from auth.domain.email import email_key
from auth.domain.passwords import hash_password
from auth.domain.weak_passwords import weakness_of
from auth.handlers.service import auth, settings
from auth.storage import accounts, activity, mails, sessions, throttle
from auth.storage.confirmation import check_password
from bus import FieldError, Work


@auth.handles(ChangePassword, threads=1)
def change_password(command: ChangePassword, work: Work) -> PasswordChanged:
    """Other sessions end: one of them may be that of somebody who knew the old password."""
    owner = check_password(work, command.current_password)
    _check_strength(command.new_password, owner)
    new_hash = hash_password(command.new_password)
    current = accounts.lock(work.connection, owner.id)
    if current is None or current.password_hash != owner.password_hash:
        raise SessionOver
    accounts.change(work, owner.id, password_hash=new_hash)
    sessions.end(work, owner.id, but=work.caller.session)
    mails.use_up_all(work.connection, owner.id, "reset")
    mails.ask(work.connection, "password", owner.email, user_id=owner.id)
    activity.note(work, owner.id, "password_changed", by_id=owner.id)
    return PasswordChanged()


@auth.handles(ForgotPassword)
def forgot_password(command: ForgotPassword, work: Work) -> MailRequested:
    """Whether the address has an account is looked up when the mail is sent: the answer cannot depend on it."""
    throttle.limit_mails(work, "forgot", email_key(command.email))
    mails.ask(work.connection, "reset", command.email, timedelta(minutes=settings().reset_minutes))
    return MailRequested()


@auth.handles(ResetPassword, threads=1)
def reset_password(command: ResetPassword, work: Work) -> PasswordChanged:
    """A mail that was received verifies its address too. All other tokens of this kind are worthless then."""
    with work.reading() as connection:
        found = mails.find(connection, command.token, "reset")
        owner = None if found is None else accounts.find(connection, found.user_id)
    if found is None or owner is None:
        raise InvalidMailToken
    _check_strength(command.new_password, owner)
    new_hash = hash_password(command.new_password)
    current = accounts.lock(work.connection, owner.id)
    if current is None or current.disabled_at is not None or current.email_key != found.address_key:
        raise InvalidMailToken
    if not mails.use(work.connection, found):
        raise InvalidMailToken
    mails.use_up_all(work.connection, owner.id, "reset")
    accounts.change(work, owner.id, password_hash=new_hash, email_verified=True)
    sessions.end(work, owner.id)
    throttle.forget(work.connection, throttle.name_of("log_in", str(owner.id)))
    mails.ask(work.connection, "password", owner.email, user_id=owner.id)
    activity.note(work, owner.id, "password_reset", by_id=owner.id)
    return PasswordChanged()


def _check_strength(password: str, owner: Row[Any]) -> None:
    """Raises WeakPassword."""
    if weakness := weakness_of(password, owner.username, owner.email):
        raise WeakPassword(errors=[FieldError("/new_password", weakness, "weak-password")])
