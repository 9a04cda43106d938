"""Passwords: changing one's own."""

from collections.abc import Iterable

from auth.contract.accounts import GivenPassword, Password, SessionOver, TooManyTries, WrongPassword
from auth.domain.weak_passwords import weakness_of
from bus import Command, FieldError, Refusal, Reply


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
