"""Mails that auth has written into files: waiting for one, and the token in it."""

import email
import re
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from bus.testing.waiting import wait_until

WAIT_SECONDS = 60.0


class Mailbox:
    """The folder with the files of all addresses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def to(self, address: str) -> list[EmailMessage]:
        """The mails to an address, the oldest first."""
        found = [_read(file) for file in sorted(self.folder.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)]
        return [message for message in found if message["To"] == address]

    def wait_for(self, address: str, number: int = 1) -> EmailMessage:
        """The newest mail to an address, once there are this many."""
        wait_until(lambda: len(self.to(address)) >= number, WAIT_SECONDS, f"mail {number} to {address}")
        return self.to(address)[-1]

    def token(self, address: str, number: int = 1) -> str:
        """The newest token that an address got, once it got this many. Other mails may come between them."""
        wait_until(lambda: len(self._with_token(address)) >= number, WAIT_SECONDS, f"token {number} to {address}")
        return token_in(self._with_token(address)[-1])

    def _with_token(self, address: str) -> list[EmailMessage]:
        return [message for message in self.to(address) if "?token=" in text_of(message)]


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    """One of the two parts of a mail."""
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def token_in(message: EmailMessage) -> str:
    """The token in the link of a mail; it stands there alone too, and so in the HTML part."""
    found = re.search(r"\?token=([\w=-]+)", text_of(message))
    assert found is not None, text_of(message)
    assert f"\n{found[1]}\n" in text_of(message).replace("\r\n", "\n")
    html = text_of(message, "html")
    assert f'token={found[1]}"' in html
    assert f"<code>{found[1]}</code>" in html
    return found[1]


def _read(file: Path) -> EmailMessage:
    return email.message_from_bytes(file.read_bytes(), policy=default)
