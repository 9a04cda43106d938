"""Administration: accounts as an administrator sees and changes them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from auth.contract.accounts import Account, UserId
from bus import Command, PageQuery, Query, Refusal, Reply

Role = Literal["admin", "catalog:write"]


class UserNotFound(Refusal, code="auth.user_not_found", status=404):
    """No account has this id."""


class LastAdmin(Refusal, code="auth.last_admin", status=409):
    """This is the only account that may administrate. Give another the role admin first."""


class ListedUser(Account):
    """An account, as an administrator sees it."""

    disabled: bool


class UserPage(Reply):
    """Accounts in the order of their ids; `next` is the path of the next page, null on the last."""

    users: list[ListedUser]
    next: Annotated[str, Meta(examples=["/users?limit=1&cursor=vTK5Drj6WGJbMV0"])] | None


class ListUsers(PageQuery[UserPage], name="auth.list_users", http="GET /users", needs="admin"):
    """Read the accounts page by page. `q` is a part of the user name, the address or the display name."""

    q: Annotated[str, Meta(min_length=1, max_length=254, examples=["ada"])] | UnsetType = UNSET


class GetUser(
    Query[ListedUser], name="auth.get_user", http="GET /users/{user_id}", needs="admin", refuses=[UserNotFound]
):
    """Read one account."""

    user_id: UserId


class SetRoles(
    Command[ListedUser],
    name="auth.set_roles",
    http="PUT /users/{user_id}/roles",
    needs="admin",
    refuses=[UserNotFound, LastAdmin],
):
    """Give an account exactly these roles. Its access tokens have the old ones until they end."""

    user_id: UserId
    roles: Annotated[list[Role], Meta(max_length=10, examples=[["catalog:write"]])]


class DisableUser(
    Command[ListedUser],
    name="auth.disable_user",
    http="POST /users/{user_id}/disable",
    needs="admin",
    refuses=[UserNotFound, LastAdmin],
):
    """Let an account log in no more, and end its sessions."""

    user_id: UserId


class EnableUser(
    Command[ListedUser],
    name="auth.enable_user",
    http="POST /users/{user_id}/enable",
    needs="admin",
    refuses=[UserNotFound],
):
    """Let a disabled account log in again."""

    user_id: UserId
