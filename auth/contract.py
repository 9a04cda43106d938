"""User accounts: who registered, under which name and address."""

# All that others may know. Names on the wire are written by hand.

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from msgspec import Meta

from auth.weak_passwords import weakness_of
from bus import Command, Event, FieldError, Refusal, Reply, RuleViolation, Secret


@dataclass(frozen=True)
class EmailAddress:
    """An address as RFC 5321 and RFC 6531 allow it; whether it receives mail is not asked."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-email)."""
        try:
            validate_email(str(value), check_deliverability=False)
        except EmailNotValidError as error:
            raise RuleViolation("invalid-email", str(error)) from None

    def json_schema(self) -> dict[str, object]:
        """What a schema has for it (JSON Schema Validation, section 7.3.2)."""
        return {"format": "email"}


Username = Annotated[str, Meta(min_length=1, max_length=64, examples=["ada"])]
Email = Annotated[str, Meta(min_length=3, max_length=254, examples=["ada@example.org"]), EmailAddress()]
# NIST SP 800-63B, section 3.1.1.2: at least 8 characters, long ones accepted, any character counts.
Password = Annotated[str, Meta(min_length=8, max_length=1024, examples=["correct horse battery staple"]), Secret()]


class UsernameTaken(Refusal, code="auth.username_taken", status=409):
    """Another user has this user name."""


class EmailTaken(Refusal, code="auth.email_taken", status=409):
    """Another user has this email address."""


class User(Reply):
    """An account, as others may see it."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]


class UserRegistered(Reply):
    """The answer to `Register`."""

    user: User
    message: str = "User registered successfully"


class UserChanged(Event, name="auth.user_changed"):
    """An account was made; this is what others may know of it. `version` counts its changes."""

    id: int
    username: Annotated[str, Meta(examples=["ada"])]
    email: Annotated[str, Meta(examples=["ada@example.org"])]
    version: int


class Register(
    Command[UserRegistered],
    name="auth.register",
    http="POST /register",
    status=201,
    refuses=[UsernameTaken, EmailTaken],
):
    """Make an account. User names and addresses that differ only in case are the same."""

    username: Username
    email: Email
    password: Password

    def violations(self) -> Iterable[FieldError]:
        """A password that is easily guessed is refused (NIST SP 800-63B, section 3.1.1.2)."""
        weakness = weakness_of(self.password, self.username, self.email)
        if weakness:
            yield FieldError("/password", weakness, "weak-password")
