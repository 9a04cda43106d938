"""Imports: make accounts with the password hashes of another program."""

from msgspec import UNSET
from sqlalchemy.dialects import postgresql, sqlite

from auth.contract import (
    EmailTaken,
    ImportedUser,
    ImportResult,
    ImportUsers,
    SpecialDomain,
    UsernameTaken,
    UsersImported,
)
from auth.domain.email import email_key, is_special
from auth.domain.names import username_key
from auth.handlers.service import auth, settings
from auth.storage import accounts, activity
from auth.tables import user
from bus import Refusal, Work
from bus.database import now


@auth.handles(ImportUsers)
def import_users(command: ImportUsers, work: Work) -> UsersImported:
    return UsersImported(results=[_imported(each, work) for each in command.users])


def _imported(given: ImportedUser, work: Work) -> ImportResult:
    if is_special(given.email) and not settings().special_domains:
        return _refused(SpecialDomain)
    moment = now(work.connection)
    values = {
        "username": given.username,
        "username_key": username_key(given.username),
        "email": given.email,
        "email_key": email_key(given.email),
        "password_hash": given.password_hash or "",
        "display_name": given.display_name,
        "email_verified": given.email_verified,
        "roles": " ".join(sorted(set(given.roles))),
        "disabled_at": moment if given.disabled else None,
        "created_at": moment if given.created_at is UNSET else given.created_at,
    }
    dialect = postgresql if work.connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(user).values(values).on_conflict_do_nothing().returning(user)
    row = work.connection.execute(added).one_or_none()
    if row is None:
        is_name_taken = accounts.find_by_login(work.connection, given.username) is not None
        return _refused(UsernameTaken if is_name_taken else EmailTaken)
    work.emit(accounts.changed(row))
    activity.note(work, row.id, "imported", by_id=activity.person(work.caller))
    return ImportResult(status=201, id=row.id)


def _refused(refusal: type[Refusal]) -> ImportResult:
    return ImportResult(status=refusal.status, problem=refusal.as_declared())
