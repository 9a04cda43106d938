"""Log-in: from a password to tokens, from a refresh token to new ones, and the end of both."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from auth.contract.accounts import GivenPassword, TooManyTries, User
from auth.contract.totp import Otp, OtpRequired, WrongOtp
from bus import Command, Event, Refusal, Reply, Secret, TransientCommand

Login = Annotated[str, Meta(min_length=1, max_length=254, examples=["ada"])]
Device = Annotated[str, Meta(max_length=200, examples=["Firefox on Linux"])]
RefreshToken = Annotated[
    str, Meta(min_length=1, max_length=200, examples=["kXh7mZ1vC0Jw3b9TqYpR5sUeGd2LfAoNiVtHxEy8Mc4"]), Secret()
]


class WrongCredentials(Refusal, code="auth.wrong_credentials", status=401, keeps_changes=True):
    """There is no account with this name and password that may log in."""


class InvalidRefreshToken(Refusal, code="auth.invalid_refresh_token", status=401, keeps_changes=True):
    """The refresh token is unknown, or its session has ended. Log in again."""


class Tokens(Reply):
    """Tokens (RFC 6749, section 5.1); `expires_in` is the life of the access token in seconds."""

    access_token: Annotated[
        str, Meta(examples=["eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2ln"]), Secret()
    ]
    expires_in: Annotated[int, Meta(examples=[600])]
    refresh_token: RefreshToken
    user: User
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # no password


class LoggedOut(Reply):
    """The session has ended."""


class TokenReused(Event, name="auth.token_reused"):
    """A used refresh token came again, perhaps from a thief. Its session `id` was ended."""

    id: Annotated[str, Meta(examples=["Zm9vYmFyYmF6cXV4MTIzNA"])]
    user_id: int
    version: int


class LogIn(
    TransientCommand[Tokens],
    name="auth.log_in",
    http="POST /login",
    refuses=[WrongCredentials, OtpRequired, WrongOtp, TooManyTries],
):
    """Begin a session. `login` is the user name or the address; `device` is a name for the list of sessions.

    `otp` is for accounts with a second factor: a code of the authenticator app, or a recovery code.
    """

    login: Login
    password: GivenPassword
    device: Device | UnsetType = UNSET
    otp: Otp | UnsetType = UNSET


class Refresh(TransientCommand[Tokens], name="auth.refresh", http="POST /token", refuses=[InvalidRefreshToken]):
    """Get new tokens. Keep the new refresh token: the given one can be used again for ten seconds only."""

    refresh_token: RefreshToken


class LogOut(Command[LoggedOut], name="auth.log_out", http="POST /logout", status=204):
    """End the session of a refresh token. Without one, or when it has ended already, the answer is the same."""

    refresh_token: RefreshToken
