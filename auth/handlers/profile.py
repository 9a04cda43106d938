"""The profile: read, change and delete the account of the caller."""

from datetime import timedelta
from typing import Any

from msgspec import UNSET
from sqlalchemy import Row, delete
from sqlalchemy.exc import IntegrityError

from auth.contract import (
    Account,
    AccountDeleted,
    DeleteAccount,
    EmailTaken,
    GetAccount,
    SpecialDomain,
    UpdateAccount,
    UserDeleted,
    UsernameTaken,
)
from auth.domain.email import email_key, is_special
from auth.domain.names import username_key
from auth.handlers.service import auth, settings
from auth.storage import accounts, activity, mails, sessions
from auth.storage.confirmation import check_password
from auth.storage.throttle import limit_mails
from auth.tables import user
from bus import Work
from bus.database import now


@auth.handles(GetAccount)
def get_account(_query: GetAccount, work: Work) -> Account:
    return accounts.account_of(sessions.owner_of(work.caller, work.connection))


@auth.handles(UpdateAccount)
def update_account(command: UpdateAccount, work: Work) -> Account:
    """A new address gets a mail, and takes the place of the old one when its owner has sent the token back."""
    owner = sessions.owner_of(work.caller, work.connection)
    changes: dict[str, Any] = {}
    if command.username is not UNSET:
        changes |= {"username": command.username, "username_key": username_key(command.username)}
    if command.display_name is not UNSET:
        changes["display_name"] = command.display_name
    if command.email is not UNSET:
        changes |= _new_email(command.email, owner, work)
    if all(getattr(owner, name) == value for name, value in changes.items()):
        return accounts.account_of(owner)
    try:
        row = accounts.change(work, owner.id, **changes)
    except IntegrityError:
        raise UsernameTaken from None
    activity.note(work, owner.id, "account_changed", by_id=owner.id)
    return accounts.account_of(row)


def _new_email(email: str, owner: Row[Any], work: Work) -> dict[str, str | None]:
    """What a given address changes: another spelling of the old one counts at once, and a new one waits."""
    if is_special(email) and not settings().special_domains:
        raise SpecialDomain
    if email not in (owner.email, owner.new_email):
        sessions.check_recent(owner, settings(), now(work.connection))
    key = email_key(email)
    if key == owner.email_key:
        return {"email": email, "new_email": None, "new_email_key": None}
    if key == owner.new_email_key:
        return {"new_email": email}
    if not settings().verify_email and accounts.find_by_email_key(work.connection, key) is not None:
        raise EmailTaken
    limit_mails(work, "resend", key)
    limit_mails(work, "new_email", str(owner.id))
    mails.ask(work.connection, "verify", email, timedelta(hours=settings().verify_hours), user_id=owner.id)
    return {"new_email": email, "new_email_key": key}


@auth.handles(DeleteAccount, threads=1)
def delete_account(command: DeleteAccount, work: Work) -> AccountDeleted:
    owner = check_password(work, command.password)
    sessions.end(work, owner.id)
    version = work.connection.execute(delete(user).where(user.c.id == owner.id).returning(user.c.version)).scalar_one()
    work.emit(UserDeleted(id=owner.id, version=version + 1))
    activity.note(work, owner.id, "deleted", by_id=owner.id)
    return AccountDeleted()
