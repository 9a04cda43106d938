"""Administration: list accounts, set their roles, disable and enable them."""

from typing import Any

from msgspec import structs
from sqlalchemy import Row, or_, select

from auth.contract import (
    DisableUser,
    EnableUser,
    GetUser,
    LastAdmin,
    ListedUser,
    ListUsers,
    SetRoles,
    UserNotFound,
    UserPage,
)
from auth.handlers.service import auth
from auth.storage import accounts, activity, sessions
from auth.tables import user
from bus import Work
from bus.database import now, page_of


@auth.handles(ListUsers)
def list_users(query: ListUsers, work: Work) -> UserPage:
    page = page_of(work, select(user), query, by=user.c.id, filters={"q": _has})
    return UserPage(users=[_listed(row) for row in page.rows], next=page.next)


@auth.handles(GetUser)
def get_user(query: GetUser, work: Work) -> ListedUser:
    if (row := accounts.find(work.connection, query.user_id)) is None:
        raise UserNotFound
    return _listed(row)


@auth.handles(SetRoles)
def set_roles(command: SetRoles, work: Work) -> ListedUser:
    row = _locked(work, command.user_id)
    roles = " ".join(sorted(set(command.roles)))
    if roles == row.roles:
        return _listed(row)
    if "admin" in row.roles.split() and "admin" not in command.roles:
        _check_not_last(work, row)
    row = accounts.change(work, row.id, roles=roles)
    _note(work, row, "roles_changed")
    return _listed(row)


@auth.handles(DisableUser)
def disable_user(command: DisableUser, work: Work) -> ListedUser:
    row = _locked(work, command.user_id)
    if row.disabled_at is not None:
        return _listed(row)
    if "admin" in row.roles.split():
        _check_not_last(work, row)
    row = accounts.change(work, row.id, disabled_at=now(work.connection))
    sessions.end(work, row.id)
    _note(work, row, "disabled")
    return _listed(row)


@auth.handles(EnableUser)
def enable_user(command: EnableUser, work: Work) -> ListedUser:
    row = _locked(work, command.user_id)
    if row.disabled_at is None:
        return _listed(row)
    row = accounts.change(work, row.id, disabled_at=None)
    _note(work, row, "enabled")
    return _listed(row)


def _locked(work: Work, user_id: int) -> Row[Any]:
    if (row := accounts.lock(work.connection, user_id)) is None:
        raise UserNotFound
    return row


def _check_not_last(work: Work, row: Row[Any]) -> None:
    """Raises LastAdmin when no other account may administrate. All administrators are locked, for two may do this."""
    admins = select(user.c.id, user.c.roles).where(user.c.roles.contains("admin"), user.c.disabled_at.is_(None))
    found = work.connection.execute(admins.order_by(user.c.id).with_for_update()).all()
    if not any("admin" in each.roles.split() and each.id != row.id for each in found):
        raise LastAdmin


def _note(work: Work, row: Row[Any], what: str) -> None:
    activity.note(work, row.id, what, by_id=activity.person(work.caller))


def _has(text: str) -> Any:
    columns = (user.c.username, user.c.email, user.c.display_name)
    return or_(*(column.icontains(text, autoescape=True) for column in columns))


def _listed(row: Row[Any]) -> ListedUser:
    return ListedUser(**structs.asdict(accounts.account_of(row)), disabled=row.disabled_at is not None)
