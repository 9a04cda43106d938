"""The message: headers, a part in plain text and one in HTML (RFC 5322, RFC 2046)."""

from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from auth.mail.templates import Words

# Lines are not folded before RFC 5322's limit (section 2.1.1), so that links and tokens stay whole.
POLICY = SMTP.clone(max_line_length=998)


@dataclass(frozen=True)
class Letter:
    """Who gets a mail, from whom, and its name, which stays the same at every try.

    `to` has its domain as the DNS has it. `sender` is an address, or a name and an address: `Errand <errand@x.org>`.
    """

    name: str
    to: str
    sender: str
    made_at: datetime


def message_of(letter: Letter, words: Words) -> EmailMessage:
    """The message. A mail that is sent twice has the same Message-ID, by which mailboxes recognise it."""
    name, address = parseaddr(letter.sender)
    message = EmailMessage(policy=POLICY)
    message["From"] = _address(address, name)
    message["To"] = _address(letter.to)
    message["Subject"] = words.subject
    message["Date"] = format_datetime(letter.made_at)
    message["Message-ID"] = f"<{letter.name}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5: no out-of-office notices
    message.set_content(words.text)
    message.add_alternative(words.html, subtype="html")
    return message


def envelope_of(message: EmailMessage) -> tuple[str, str]:
    """The addresses of the sender and the recipient."""
    sender, recipient = (message[header].addresses[0].addr_spec for header in ("From", "To"))
    return sender, recipient


def is_plain(message: EmailMessage) -> bool:
    """Whether all its headers can be written in ASCII."""
    return all(address.isascii() for address in envelope_of(message))


def _address(address: str, name: str = "") -> Address:
    user, _, domain = address.rpartition("@")
    return Address(display_name=name, username=user, domain=domain)
