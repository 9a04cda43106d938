"""Verification: what the token of a mail to an address shows."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from auth.contract import (
    EmailVerified,
    InvalidMailToken,
    MailRequested,
    ResendVerification,
    UsernameTaken,
    VerifyEmail,
)
from auth.domain.email import email_key
from auth.handlers.service import auth, settings
from auth.storage import accounts, activity, mails, registrations
from auth.storage.throttle import limit_mails
from bus import Work


@auth.handles(VerifyEmail)
def verify_email(command: VerifyEmail, work: Work) -> EmailVerified:
    found = mails.find(work.connection, command.token, "verify")
    if found is None:
        raise InvalidMailToken
    if found.registration_id is not None:
        _finish_registration(found, work)
    else:
        _verify(found, work)
    return EmailVerified()


@auth.handles(ResendVerification)
def resend_verification(command: ResendVerification, work: Work) -> MailRequested:
    """Who waits for a mail to this address is looked up when it is sent: the answer cannot depend on it."""
    limit_mails(work, "resend", email_key(command.email))
    mails.ask(work.connection, "verify", command.email, timedelta(hours=settings().verify_hours))
    return MailRequested()


def _finish_registration(found: Row[Any], work: Work) -> None:
    waiting = registrations.find(work.connection, found.registration_id)
    if waiting is None or not mails.use(work.connection, found):
        raise InvalidMailToken
    try:
        row = registrations.finish(work.connection, waiting)
    except IntegrityError as error:
        raise InvalidMailToken if accounts.is_about_email(error) else UsernameTaken from None
    work.emit(accounts.changed(row))
    activity.note(work, row.id, "registered", by_id=row.id)


def _verify(found: Row[Any], work: Work) -> None:
    """The token is good for the address that it was sent to, and for no other that the account has now."""
    owner = accounts.lock(work.connection, found.user_id)
    is_new = owner is not None and owner.new_email_key == found.address_key
    if owner is None or owner.disabled_at is not None or not (is_new or owner.email_key == found.address_key):
        raise InvalidMailToken
    if not mails.use(work.connection, found):
        raise InvalidMailToken
    if is_new:
        _take_new_address(owner, work)
    elif not owner.email_verified:
        accounts.change(work, owner.id, email_verified=True)
    activity.note(work, owner.id, "email_verified", by_id=owner.id)


def _take_new_address(owner: Row[Any], work: Work) -> None:
    """Tokens for a new password that went to the old address are worthless now; it gets a notice."""
    changes = {"email": owner.new_email, "email_key": owner.new_email_key, "new_email": None, "new_email_key": None}
    try:
        accounts.change(work, owner.id, **changes, email_verified=True)
    except IntegrityError:  # another account has it by now
        raise InvalidMailToken from None
    mails.use_up_all(work.connection, owner.id, "reset")
    mails.ask(work.connection, "changed", owner.email, user_id=owner.id)
