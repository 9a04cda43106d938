"""Accounts: their fields, and what others may know of them."""

from typing import Annotated

from msgspec import Meta

from auth.domain.email import EmailAddress
from bus import Event, Reply, Secret

Username = Annotated[str, Meta(min_length=1, max_length=64, examples=["ada"])]
Email = Annotated[str, Meta(min_length=3, max_length=254, examples=["ada@example.org"]), EmailAddress()]
# NIST SP 800-63B, section 3.1.1.2: at least 8 characters, long ones accepted, any character counts.
Password = Annotated[str, Meta(min_length=8, max_length=1024, examples=["correct horse battery staple"]), Secret()]


class User(Reply):
    """An account, as others may see it."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]


class UserChanged(Event, name="auth.user_changed"):
    """An account was made; this is what others may know of it. `version` counts its changes."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]
    version: int
