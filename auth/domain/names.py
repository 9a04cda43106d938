"""User names: which text is one, and when two of them are the same."""

from dataclasses import dataclass

from bus import RuleViolation


@dataclass(frozen=True)
class UserName:
    """A field's rule: a user name of the profile UsernameCaseMapped (RFC 8265, section 3.3), without `@`."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-username)."""
        name = str(value)
        if "@" in name:
            raise RuleViolation("invalid-username", "A user name has no @: that is how it differs from an address.")
        try:
            username_key(name)
        except ValueError:
            detail = "Expected letters, digits and visible signs, without blanks (RFC 8265, section 3.3)."
            raise RuleViolation("invalid-username", detail) from None

    def in_words(self) -> str:
        """What it takes."""
        return "letters, digits and visible signs, without blanks and @"


def username_key(name: str) -> str:
    """What is compared in place of a user name: width and case are mapped, in form NFC (RFC 8265, section 3.3.1).

    Raises ValueError for text that is not a user name, such as one with a blank or with an invisible character.
    """
    # Imported with the first name: it loads tables of Unicode.
    from precis_i18n import get_profile

    return str(get_profile("UsernameCaseMapped").enforce(name))
