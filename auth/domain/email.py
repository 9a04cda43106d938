"""Email addresses: which text is one, and when two of them are the same."""

import unicodedata
from dataclasses import dataclass

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, ValidatedEmail, validate_email

from bus import RuleViolation


@dataclass(frozen=True)
class EmailAddress:
    """A field's rule: an address as RFC 5321 and RFC 6531 allow it. Whether it receives mail is not checked."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-email)."""
        try:
            _parsed(str(value))
        except EmailNotValidError as error:
            raise RuleViolation("invalid-email", str(error)) from None

    def json_schema(self) -> dict[str, object]:
        """What a schema says of it (JSON Schema Validation, section 7.3.2)."""
        return {"format": "email"}


def email_key(email: str) -> str:
    """What is compared in place of an address: its case and compatibility forms are folded away.

    A domain is compared as it is in the DNS, so that both spellings of an internationalised one are the same (RFC 5890,
    section 2.3.2.1). Raises ValueError for text that is not an address.
    """
    address = _parsed(email)
    domain = (address.ascii_domain or address.domain).lower()
    return f"{_folded(address.local_part)}@{domain.removesuffix(_OUTSIDE) if _has_special_domain(email) else domain}"


def deliverable(email: str) -> str:
    """The address with its domain as mail servers and the DNS have it (RFC 5890, A-labels)."""
    user, _, domain = email.rpartition("@")
    if _has_special_domain(email):
        return f"{user}@{domain.encode('idna').decode()}"
    address = _parsed(email)
    return f"{address.local_part}@{address.ascii_domain or domain}"


def is_special(email: str) -> bool:
    """Whether an address has a domain that is reserved for special use (RFC 6761), or no domain of the public DNS."""
    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return True
    return False


# The library refuses domains of special use as part of the syntax. Inside of this one, which nobody has (RFC 2606,
# section 3), it checks the rest.
_OUTSIDE = ".example"


def _parsed(email: str) -> ValidatedEmail:
    """Raises EmailNotValidError, which is a ValueError."""
    text = f"{email}{_OUTSIDE}" if _has_special_domain(email) else email
    return validate_email(text, check_deliverability=False)


def _has_special_domain(email: str) -> bool:
    return email.rpartition("@")[2].rpartition(".")[2].lower() in SPECIAL_USE_DOMAIN_NAMES


def _folded(name: str) -> str:
    """Unicode Standard, section 3.13, default caseless matching; Unicode Standard Annex 15, form NFKC."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
