"""Email addresses: which text is one."""

from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from bus import RuleViolation


@dataclass(frozen=True)
class EmailAddress:
    """A field's rule: an address as RFC 5321 and RFC 6531 allow it. Whether it receives mail is not checked."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-email)."""
        try:
            validate_email(str(value), check_deliverability=False)
        except EmailNotValidError as error:
            raise RuleViolation("invalid-email", str(error)) from None

    def json_schema(self) -> dict[str, object]:
        """What a schema says of it (JSON Schema Validation, section 7.3.2)."""
        return {"format": "email"}
