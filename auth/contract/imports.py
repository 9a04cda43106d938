"""Imports: accounts of another program, with the hashes of their passwords."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from auth.contract.accounts import Email, Username
from auth.contract.administration import Role
from auth.contract.profile import DisplayName
from auth.domain.password_hashes import MAX_CHARACTERS, PasswordHash
from bus import Command, FieldError, Problem, Reply, Secret

MOST_USERS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OldHash = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CHARACTERS,
        examples=["$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"],
    ),
    PasswordHash(),
]


class ImportedUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account of another program. Without a `password_hash` its owner chooses a password with a mail first."""

    username: Username
    email: Email
    password_hash: OldHash | UnsetType = UNSET
    display_name: DisplayName = ""
    email_verified: bool = False
    roles: Annotated[list[Role], Meta(max_length=10, examples=[["catalog:write"]])] = []
    disabled: bool = False
    created_at: Annotated[datetime, Meta(tz=True, examples=["2019-03-01T09:30:00Z"])] | UnsetType = UNSET


class ImportResult(Struct, frozen=True, kw_only=True):
    """What became of one account: 201 and its id, or a refusal and its problem."""

    status: Annotated[int, Meta(examples=[201])]
    id: Annotated[int, Meta(examples=[1])] | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class UsersImported(Reply):
    """The answer to `ImportUsers`: a result for each account, in their order."""

    results: list[ImportResult]


class ImportUsers(Command[UsersImported], name="auth.import_users", http="POST /users:import", needs="admin"):
    """Make accounts with the password hashes of another program: up to 100 by one command.

    A hash is replaced by one of ours at the first log-in. One account that is refused, because its name or its address
    is taken, leaves the others as they are.
    """

    # Names and addresses are not for the broker's disk either, and only whole fields can be sealed.
    users: Annotated[list[ImportedUser], Meta(min_length=1, max_length=MOST_USERS), Secret()]

    def violations(self) -> Iterable[FieldError]:
        """An account was made since 1970, and not in the future; clocks may differ by a day."""
        latest = datetime.now(UTC) + timedelta(days=1)
        for place, each in enumerate(self.users):
            if each.created_at is not UNSET and not _EPOCH <= each.created_at <= latest:
                detail = "Expected a time between 1970 and now."
                yield FieldError(f"/users/{place}/created_at", detail, "out-of-range")
