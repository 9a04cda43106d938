"""Passwords: changing one's own, and choosing a new one with the token of a mail."""

from collections.abc import Iterable

from auth.contract.accounts import Email, GivenPassword, Password, SessionOver, TooManyTries, WrongPassword
from auth.contract.verification import InvalidMailToken, MailRequested, MailToken
from auth.domain.weak_passwords import weakness_of
from bus import Command, FieldError, Refusal, Reply, TransientCommand


class WeakPassword(Refusal, code="auth.weak_password", status=422):
    """The new password is the user name or the address, or a simple variation of them."""


class PasswordChanged(Reply):
    """The password is changed."""


class ChangePassword(
    Command[PasswordChanged],
    name="auth.change_password",
    http="POST /password",
    status=204,
    needs="",
    refuses=[SessionOver, WrongPassword, TooManyTries, WeakPassword],
):
    """Change the caller's password, and end all its other sessions."""

    current_password: GivenPassword
    new_password: Password

    def violations(self) -> Iterable[FieldError]:
        """A password that is easily guessed is refused (NIST SP 800-63B, section 3.1.1.2)."""
        weakness = weakness_of(self.new_password)
        if weakness:
            yield FieldError("/new_password", weakness, "weak-password")


class ForgotPassword(
    TransientCommand[MailRequested],
    name="auth.forgot_password",
    http="POST /password/forgot",
    status=202,
    refuses=[TooManyTries],
):
    """Ask for a mail with a token to choose a new password. The answer is the same for every address."""

    email: Email


class ResetPassword(
    TransientCommand[PasswordChanged],
    name="auth.reset_password",
    http="POST /password/reset",
    status=204,
    refuses=[InvalidMailToken, WeakPassword],
):
    """Choose a new password with the token of a mail, and end all sessions. A token counts once."""

    token: MailToken
    new_password: Password

    def violations(self) -> Iterable[FieldError]:
        """A password that is easily guessed is refused (NIST SP 800-63B, section 3.1.1.2)."""
        weakness = weakness_of(self.new_password)
        if weakness:
            yield FieldError("/new_password", weakness, "weak-password")
