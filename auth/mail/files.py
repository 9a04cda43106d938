"""Writes mails into files: what happens without a mail server, for a first look."""

import os
from contextlib import suppress
from email.generator import BytesGenerator
from email.message import EmailMessage
from pathlib import Path
from typing import Self

from auth.mail.message import POLICY, is_plain
from auth.mail.outcomes import MailPostponed


class FileSender:
    """Writes each mail into a folder as NAME.eml, which mail programs open. Only this user can read it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def send(self, message: EmailMessage, name: str) -> str:
        """Write it; returns the path. A second try writes the same file. Raises MailPostponed."""
        file = self._folder.absolute() / f"{name}.eml"
        partial = file.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                BytesGenerator(opened, policy=POLICY.clone(utf8=not is_plain(message))).flatten(message)
            partial.replace(file)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise MailPostponed(f"{file} cannot be written: {error.strerror}.") from None
        return str(file)
