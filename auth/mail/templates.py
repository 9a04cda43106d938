"""The words of mails, from templates (Jinja): ours are in `templates/`, and an operator's take their place.

`NAME.txt` begins with the line `Subject: …` and an empty line; `NAME.html` is the same as HTML.
"""

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, select_autoescape

from auth.mail.outcomes import MailPostponed

OURS = Path(__file__).parent / "templates"
SUBJECT = "Subject:"


class Words(NamedTuple):
    """What a mail says."""

    subject: str
    text: str
    html: str


class Templates:
    """Templates from a folder, and ours for those that it does not have. `folder` may be empty for none."""

    def __init__(self, folder: str) -> None:
        self._folders = [*([folder] if folder else []), str(OURS)]

    def words(self, name: str, values: dict[str, str]) -> Words:
        """The words of one mail. Raises MailPostponed for a template with an error, which an operator can repair."""
        text, html = (self._render(f"{name}.{kind}", values) for kind in ("txt", "html"))
        first, _, rest = text.partition("\n")
        if not first.startswith(SUBJECT):
            raise MailPostponed(f"{name}.txt must begin with the line {SUBJECT} …")
        subject = " ".join(first.removeprefix(SUBJECT).split())
        return Words(subject, rest.strip("\r\n") + "\n", html)

    def _render(self, file: str, values: dict[str, str]) -> str:
        try:
            return self._environment.get_template(file).render(values)
        except (TemplateError, OSError, UnicodeDecodeError) as error:
            line = f", line {lineno}" if (lineno := getattr(error, "lineno", None)) else ""
            raise MailPostponed(f"The template {file}{line}: {type(error).__name__}: {error}") from None

    @cached_property
    def _environment(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(self._folders),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
        )
