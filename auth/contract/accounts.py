"""Accounts: their fields, and what others may know of them."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from auth.domain.email import EmailAddress
from auth.domain.names import UserName
from bus import Event, Refusal, Reply, Secret

Username = Annotated[str, Meta(min_length=1, max_length=64, examples=["ada"]), UserName()]
Email = Annotated[str, Meta(min_length=3, max_length=254, examples=["ada@example.org"]), EmailAddress()]
# NIST SP 800-63B, section 3.1.1.2: at least 8 characters, long ones accepted, any character counts.
Password = Annotated[str, Meta(min_length=8, max_length=1024, examples=["correct horse battery staple"]), Secret()]
# What somebody claims to be the password of an account, which may have been made by older rules.
GivenPassword = Annotated[str, Meta(min_length=1, max_length=1024, examples=["correct horse battery staple"]), Secret()]
UserId = Annotated[int, Meta(ge=1, le=2**63 - 1, examples=[1])]


class SessionOver(Refusal, code="auth.session_over", status=401):
    """The session of this access token has ended. Log in again."""


class LogInAgain(Refusal, code="auth.log_in_again", status=401):
    """The log-in of this session is too long ago for this. Log in again, and use the new access token."""


class WrongPassword(Refusal, code="auth.wrong_password", status=403, keeps_changes=True):
    """This is not the current password."""


class TooManyTries(Refusal, code="auth.too_many_tries", status=429):
    """Too many tries in a short time. Wait as long as Retry-After says."""


class User(Reply):
    """An account, as others may see it."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]


class Account(Reply):
    """An account, as its owner and administrators see it."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]
    email_verified: bool
    display_name: Annotated[str, Meta(examples=["Ada Lovelace"])]
    roles: Annotated[list[str], Meta(examples=[["admin"]])]
    created_at: Annotated[datetime, Meta(tz=True)]


class UserChanged(Event, name="auth.user_changed"):
    """An account was made or changed; this is what it is now. `version` counts its changes."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]
    email_verified: bool
    display_name: Annotated[str, Meta(examples=["Ada Lovelace"])]
    roles: Annotated[list[str], Meta(examples=[["admin"]])]
    disabled: bool
    version: int


class UserDeleted(Event, name="auth.user_deleted"):
    """An account was deleted; `version` is one more than its last."""

    id: int
    version: int
