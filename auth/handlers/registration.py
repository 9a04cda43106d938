"""Registration: hash the password, insert the account, emit the event.

With AUTH_VERIFY_EMAIL=1 nothing here depends on whether the address has an account: that is looked up when the mail is
sent (`auth/storage/recipients.py`).
"""

from datetime import timedelta

from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from auth.contract import EmailTaken, Register, RegisteredUser, SpecialDomain, UsernameTaken, UserRegistered
from auth.domain.email import email_key, is_special
from auth.domain.names import username_key
from auth.domain.passwords import hash_password
from auth.domain.throttling import ADDRESS_REGISTRATIONS
from auth.handlers.service import HASHING_THREADS, auth, settings
from auth.storage import accounts, activity, mails, registrations, throttle
from auth.storage.throttle import limit_mails
from auth.tables import user
from bus import Work

_insert = insert(user).returning(user)


@auth.handles(Register, threads=HASHING_THREADS)
def register(command: Register, work: Work) -> UserRegistered:
    """Make an account. The unique keys refuse a second one; a query before the insert would leave a race."""
    if is_special(command.email) and not settings().special_domains:
        raise SpecialDomain
    throttles = throttle.of_client(work, "register_from", ADDRESS_REGISTRATIONS)
    if throttles:
        with work.reading() as connection:
            throttle.check_wait(connection, throttles)
    values = {
        "username": command.username,
        "username_key": username_key(command.username),
        "email": command.email,
        "email_key": email_key(command.email),
        "password_hash": hash_password(command.password),
    }
    throttle.count(work.connection, throttles)
    if settings().verify_email:
        return _wait_for_verification(values, work)
    try:
        row = work.connection.execute(_insert, values).one()
    except IntegrityError as error:
        raise EmailTaken if accounts.is_about_email(error) else UsernameTaken from None
    work.emit(accounts.changed(row))
    activity.note(work, row.id, "registered", by_id=row.id)
    return UserRegistered(user=RegisteredUser(id=row.id, username=row.username, email=row.email))


def _wait_for_verification(values: dict[str, str], work: Work) -> UserRegistered:
    life = timedelta(hours=settings().verify_hours)
    limit_mails(work, "register", values["email_key"])
    if (registration_id := registrations.keep(work.connection, values, life)) is None:
        raise UsernameTaken
    mails.ask(work.connection, "verify", values["email"], life, registration_id=registration_id)
    user = RegisteredUser(username=values["username"], email=values["email"])
    return UserRegistered(user=user, message="Confirm the address with the mail that was sent to it")
