"""Passwords: change that of the caller."""

from auth.contract import ChangePassword, PasswordChanged, SessionOver, WeakPassword
from auth.domain.passwords import hash_password
from auth.domain.weak_passwords import weakness_of
from auth.handlers.service import auth
from auth.storage import accounts, activity, sessions
from auth.storage.confirmation import check_password
from bus import FieldError, Work


@auth.handles(ChangePassword)
def change_password(command: ChangePassword, work: Work) -> PasswordChanged:
    """Other sessions end: one of them may be that of somebody who knew the old password."""
    owner = check_password(work, command.current_password)
    if weakness := weakness_of(command.new_password, owner.username, owner.email):
        raise WeakPassword(errors=[FieldError("/new_password", weakness, "weak-password")])
    new_hash = hash_password(command.new_password)
    current = accounts.lock(work.connection, owner.id)
    if current is None or current.password_hash != owner.password_hash:
        raise SessionOver
    accounts.change(work, owner.id, password_hash=new_hash)
    sessions.end(work, owner.id, but=work.caller.session)
    activity.note(work, owner.id, "password_changed", by_id=owner.id)
    return PasswordChanged()
