"""A page: HTML with its style and script inside, and headers that forbid the browser to load anything else."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

_FILES = Path(__file__).parent / "templates"
_FRAME = "frame.css"

# The browser does not guess another type, and sends no Referer to other origins.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

# Allows nothing; each page adds its own style and script. `data:` is for the empty icon.
_NONE = "'none'"
_POLICY = {
    "default-src": _NONE,
    "img-src": "data:",
    "base-uri": _NONE,
    "form-action": _NONE,
    "frame-ancestors": _NONE,
}
_CODE = re.compile("`([^`]+)`")


@dataclass(frozen=True)
class Page:
    """The HTML, and the headers to send it with."""

    html: str
    headers: Mapping[str, str]


def made_of(
    template: str,
    *,
    styles: Sequence[str] = ("content.css",),
    script: str = "",
    folder: Path = _FILES,
    more_policy: Mapping[str, str] | None = None,
    **words: object,
) -> Page:
    """Render a template with the common frame, styles for the content, and a script if one is named.

    `folder` has the template; what it has not comes from here. `more_policy` adds sources to directives of the
    Content-Security-Policy (CSP Level 3), for a page that loads files.
    """
    look = "".join(_file(name, folder) for name in (_FRAME, *styles))
    code = _file(script, folder) if script else ""
    words |= {"style": Markup(look), "script": Markup(code)}  # noqa: S704  # files of our own
    html = part_of(template, folder=folder, **words)
    policy = _POLICY | {"style-src": _hash_of(look)} | ({"script-src": _hash_of(code)} if code else {})
    for directive, allowed in (more_policy or {}).items():
        before = policy.get(directive, _NONE)
        policy[directive] = allowed if before == _NONE else f"{before} {allowed}"
    header = "; ".join(f"{directive} {allowed}" for directive, allowed in policy.items())
    return Page(html, _HEADERS | {"Content-Security-Policy": header})


def part_of(template: str, *, folder: Path = _FILES, **words: object) -> str:
    """Render a template that is a part of a page, or all of it without its headers."""
    return _environment(folder).get_template(template).render(words)


def _hash_of(text: str) -> str:
    """The source that allows only this inline text (CSP Level 3, section 2.3.1)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _file(name: str, folder: Path) -> str:
    file = folder / name
    return (file if file.is_file() else _FILES / name).read_text(encoding="utf-8")


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, _FILES]),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["with_code"] = _with_code
    return environment


def _with_code(text: str) -> Markup:
    """A text of a contract, in which what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # escaped
