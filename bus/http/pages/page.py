"""Pages: HTML whose style and scripts stand in it, with headers that let a browser run nothing else."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_FILES = Path(__file__).parent / "templates"
_FRAME = "frame.css"

# The browser keeps to the type that is said, and tells other origins nothing of these pages.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

# Nothing but what stands in the page; a page adds its style and script. `data:` is for the empty icon.
_POLICY = {
    "default-src": "'none'",
    "img-src": "data:",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


@dataclass(frozen=True)
class Page:
    """The HTML, and the headers it is to be sent with."""

    html: str
    headers: Mapping[str, str]


def made_of(
    template: str,
    *,
    style: str = "content.css",
    script: str = "",
    more_policy: Mapping[str, str] | None = None,
    **words: object,
) -> Page:
    """Fill in a template, with the frame of our pages, a style for what is inside, and a script where one is named.

    `more_policy` is for a page that shows what others wrote: directives of the Content-Security-Policy (CSP Level 3),
    each with what it allows besides.
    """
    look = _file(_FRAME) + _file(style)
    code = _file(script) if script else ""
    words |= {"style": Markup(look), "script": Markup(code)}  # noqa: S704  # files of our own
    html = _environment().get_template(template).render(words)
    policy = _POLICY | {"style-src": _hash_of(look)} | ({"script-src": _hash_of(code)} if code else {})
    for directive, allowed in (more_policy or {}).items():
        policy[directive] = f"{policy[directive]} {allowed}" if directive in policy else allowed
    said = "; ".join(f"{directive} {allowed}" for directive, allowed in policy.items())
    return Page(html, _HEADERS | {"Content-Security-Policy": said})


def _hash_of(text: str) -> str:
    """What allows this text alone between its tags (CSP Level 3, section 2.3.1)."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _file(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FILES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
