"""Registration: make an account."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from auth.contract.accounts import Email, Password, TooManyTries, Username
from auth.domain.weak_passwords import weakness_of
from bus import Command, FieldError, Refusal, Reply


class UsernameTaken(Refusal, code="auth.username_taken", status=409):
    """Another user has this user name."""


class EmailTaken(Refusal, code="auth.email_taken", status=409):
    """Another user has this email address."""


class SpecialDomain(Refusal, code="auth.special_domain", status=422):
    """The address is in a domain that the public DNS does not have."""


class RegisteredUser(Reply):
    """What was registered. `id` is missing where the account is made later, when the address is verified."""

    id: Annotated[int, Meta(examples=[1])] | UnsetType = UNSET
    username: Annotated[str, Meta(examples=["ada"])]  # type: ignore[misc]  # fields are given by their names
    email: Annotated[str, Meta(examples=["ada@example.org"])]  # type: ignore[misc]


class UserRegistered(Reply):
    """The answer to `Register`."""

    user: RegisteredUser
    message: str = "User registered successfully"


class Register(
    Command[UserRegistered],
    name="auth.register",
    http="POST /register",
    status=201,
    refuses=[UsernameTaken, EmailTaken, SpecialDomain, TooManyTries],
):
    """Make an account. User names and addresses that differ only in case are the same.

    With `AUTH_VERIFY_EMAIL=1` the account is made by `VerifyEmail`, with the token of a mail that this sends. Then an
    address that is taken gets the same answer as any other, without an `id`, and its owner a mail that says so.

    `TooManyTries` is for too many accounts from one network, or mails to one address. Send the request again later; it
    may have the same message id.
    """

    username: Username
    email: Email
    password: Password

    def violations(self) -> Iterable[FieldError]:
        """A password that is easily guessed is refused (NIST SP 800-63B, section 3.1.1.2)."""
        weakness = weakness_of(self.password, self.username, self.email)
        if weakness:
            yield FieldError("/password", weakness, "weak-password")
