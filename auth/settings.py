"""The settings of auth, each an environment variable AUTH_…"""

from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from auth.domain.email import EmailAddress
from auth.mail.smtp_url import SmtpUrl
from bus import RuleViolation, Secret, Settings


@dataclass(frozen=True)
class PublicUrl:
    """A setting's rule: the URL that links in mails begin with."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid)."""
        try:
            parts = urlsplit(str(value))
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        except ValueError:
            is_url = False
        if not is_url:
            raise RuleViolation("invalid", "It must be a URL such as https://accounts.example.org, without ? and #.")


@dataclass(frozen=True)
class Sender:
    """A setting's rule: an address, or a name and an address: `Errand <errand@example.org>`."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid-email)."""
        address = parseaddr(str(value))[1]
        if not address.isascii():
            raise RuleViolation("invalid-email", "Its address must be in ASCII: write the domain as the DNS has it.")
        EmailAddress().check(address)


@dataclass(frozen=True)
class Folder:
    """A setting's rule: a folder that is there."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid)."""
        if not Path(str(value)).is_dir():
            raise RuleViolation("invalid", "It must name a folder that can be read.")


class AuthSettings(Settings):
    """`admin` is the address of the first administrator: its account gets the role at its next log-in.

    `special_domains` allows addresses in domains that only a private network knows, such as `ada@mail.local`. Accounts
    are made when their address is confirmed if `verify_email` is set. A session may change the address and the second
    factor of its account for `recent_log_in_minutes` after its log-in. Without `smtp_url` mails are written into files.
    """

    admin: Annotated[str, Meta(max_length=254)] = ""
    special_domains: bool = False
    access_token_minutes: Annotated[int, Meta(ge=1, le=60)] = 10
    session_idle_days: Annotated[int, Meta(ge=1, le=365)] = 14
    session_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    recent_log_in_minutes: Annotated[int, Meta(ge=1, le=1440)] = 15
    require_totp: Literal["none", "admin"] = "none"
    verify_email: bool = False
    verify_hours: Annotated[int, Meta(ge=1, le=168)] = 24
    reset_minutes: Annotated[int, Meta(ge=5, le=1440)] = 60
    public_url: Annotated[str, PublicUrl()] = "http://127.0.0.1:5000"
    smtp_url: Annotated[str, SmtpUrl(), Secret()] = ""
    mail_from: Annotated[str, Sender()] = ""
    mail_templates: Annotated[str, Folder()] = ""
