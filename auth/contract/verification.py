"""Verification: show that an address is one's own, with the token of a mail to it."""

from typing import Annotated

from msgspec import Meta

from auth.contract.accounts import Email, TooManyTries
from auth.contract.registration import UsernameTaken
from bus import Refusal, Reply, Secret, TransientCommand

MailToken = Annotated[
    str,
    Meta(min_length=1, max_length=200, examples=["Zm9vYmFyYmF6cXV4MTIzNFJ9Kq0eV3o1m8x2c7wYtLrUeGd2LfAoNiVtHxEy8Mc4"]),
    Secret(),
]


class InvalidMailToken(Refusal, code="auth.invalid_mail_token", status=403):
    """The token is unknown, was used, or has expired. Ask for another mail."""


class EmailVerified(Reply):
    """The address is verified."""


class MailRequested(Reply):
    """The same answer, whatever accounts there are."""

    message: str = "If there is an account to write to, a mail is on its way."


# Tokens must not rest on the broker's disk, so these are no commands that it keeps.
class VerifyEmail(
    TransientCommand[EmailVerified],
    name="auth.verify_email",
    http="POST /email/verify",
    status=204,
    refuses=[InvalidMailToken, UsernameTaken],
):
    """Show that the address of an account is one's own. A token counts once.

    It makes the account where addresses are verified before, and lets a new address take the place of the old one.
    """

    token: MailToken


class ResendVerification(
    TransientCommand[MailRequested],
    name="auth.resend_verification",
    http="POST /email/resend",
    status=202,
    refuses=[TooManyTries],
):
    """Ask for another mail to an address that is not verified. The answer is the same for every address."""

    email: Email
