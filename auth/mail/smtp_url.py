"""The URL of a mail server: `smtp://USER:PASSWORD@HOST:PORT?OPTION=VALUE`, or `smtps://` for TLS from the start."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from bus import RuleViolation

# RFC 6409, section 3.1, and RFC 8314, section 3.3: submission, without and with TLS from the start.
PORTS = {"smtp": 587, "smtps": 465}
STARTTLS = ("offered", "required", "off")


@dataclass(frozen=True)
class MailServer:
    """`starttls` is when TLS begins after a greeting in plain text; it has no meaning where TLS `is_implicit`.

    A user's password is sent over TLS only, unless it is `off`. `ca_file` has the certificate of a private authority.
    """

    host: str
    port: int
    is_implicit: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    starttls: Literal["offered", "required", "off"] = "offered"
    ca_file: str = ""


@dataclass(frozen=True)
class SmtpUrl:
    """A setting's rule: the URL of a mail server. An error does not repeat it, as it may have a password."""

    def check(self, value: object) -> None:
        """Raises RuleViolation (invalid)."""
        try:
            server = server_of(str(value))
        except ValueError as error:
            raise RuleViolation("invalid", str(error)) from None
        if server.ca_file and not Path(server.ca_file).is_file():
            raise RuleViolation("invalid", "cacertfile must name a file that can be read.")


def server_of(url: str) -> MailServer:
    """Read a URL. Raises ValueError, whose text repeats nothing of it."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.netloc:
        raise ValueError("It must begin with smtp:// or smtps:// and a host.")
    if parts.netloc.count("@") > 1:
        raise ValueError("It has more than one '@': in a user name or password, write %40.")
    try:
        port = parts.port or PORTS[parts.scheme]
    except ValueError:
        raise ValueError("Its port must be a number from 1 to 65535.") from None
    if not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError("After the host and port only options may follow, as in smtp://HOST:587?starttls=required.")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("It needs both a user and a password, or neither.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"starttls", "cacertfile"}:
        raise ValueError(f"It has {len(unknown)} unknown option(s): starttls and cacertfile are known.")
    if "starttls" in options and (parts.scheme == "smtps" or options["starttls"] not in STARTTLS):
        raise ValueError(f"starttls must be one of {', '.join(STARTTLS)}, and smtps:// has no such option.")
    return MailServer(
        host=parts.hostname,
        port=port,
        is_implicit=parts.scheme == "smtps",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        starttls=cast(Literal["offered", "required", "off"], options.get("starttls", "offered")),
        ca_file=options.get("cacertfile", ""),
    )
