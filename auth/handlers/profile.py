"""The profile: read, change and delete the account of the caller."""

from typing import Any

from msgspec import UNSET
from sqlalchemy import delete
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
from auth.storage import accounts, activity, sessions
from auth.storage.confirmation import check_password
from auth.tables import user
from bus import Work


@auth.handles(GetAccount)
def get_account(_query: GetAccount, work: Work) -> Account:
    return accounts.account_of(sessions.owner_of(work.caller, work.connection))


@auth.handles(UpdateAccount)
def update_account(command: UpdateAccount, work: Work) -> Account:
    """An address counts as verified again only when its owner has shown that it is."""
    owner = sessions.owner_of(work.caller, work.connection)
    changes: dict[str, Any] = {}
    if command.username is not UNSET:
        changes |= {"username": command.username, "username_key": username_key(command.username)}
    if command.display_name is not UNSET:
        changes["display_name"] = command.display_name
    if command.email is not UNSET:
        if is_special(command.email) and not settings().special_domains:
            raise SpecialDomain
        key = email_key(command.email)
        is_verified = owner.email_verified and key == owner.email_key
        changes |= {"email": command.email, "email_key": key, "email_verified": is_verified}
    if all(getattr(owner, name) == value for name, value in changes.items()):
        return accounts.account_of(owner)
    try:
        row = accounts.change(work, owner.id, **changes)
    except IntegrityError as error:
        raise EmailTaken if accounts.is_about_email(error) else UsernameTaken from None
    activity.note(work, owner.id, "account_changed", by_id=owner.id)
    return accounts.account_of(row)


@auth.handles(DeleteAccount)
def delete_account(command: DeleteAccount, work: Work) -> AccountDeleted:
    owner = check_password(work, command.password)
    sessions.end(work, owner.id)
    version = work.connection.execute(delete(user).where(user.c.id == owner.id).returning(user.c.version)).scalar_one()
    work.emit(UserDeleted(id=owner.id, version=version + 1))
    activity.note(work, owner.id, "deleted", by_id=owner.id)
    return AccountDeleted()
