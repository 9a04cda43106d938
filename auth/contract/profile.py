"""The profile: what an account is, to its owner."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from auth.contract.accounts import (
    Account,
    Email,
    GivenPassword,
    LogInAgain,
    SessionOver,
    TooManyTries,
    Username,
    WrongPassword,
)
from auth.contract.registration import EmailTaken, SpecialDomain, UsernameTaken
from bus import READABLE, Command, Query, Reply

DisplayName = Annotated[str, Meta(max_length=200, examples=["Ada Lovelace"]), READABLE]


class AccountDeleted(Reply):
    """The account is deleted."""


class GetAccount(Query[Account], name="auth.get_account", http="GET /me", needs="", refuses=[SessionOver]):
    """The account of the caller."""


class UpdateAccount(
    Command[Account],
    name="auth.update_account",
    http="PATCH /me",
    needs="",
    refuses=[SessionOver, LogInAgain, UsernameTaken, EmailTaken, SpecialDomain, TooManyTries],
):
    """Change the given fields of the caller's account and leave the others.

    A new address gets a mail, and is shown as not verified. It counts, for log-ins and mails, once its owner has sent
    the token back with `VerifyEmail`; until then the old one does. The log-in of this session must be recent for that.
    """

    username: Username | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    display_name: DisplayName | UnsetType = UNSET


class DeleteAccount(
    Command[AccountDeleted],
    name="auth.delete_account",
    http="DELETE /me",
    status=204,
    needs="",
    refuses=[SessionOver, WrongPassword, TooManyTries],
):
    """Delete the caller's account and its sessions."""

    password: GivenPassword
