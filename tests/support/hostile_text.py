"""Text that would run in a browser if a page did not escape it, and what shows that it did."""

import re

from support.html_page import HtmlPage

# What would run, or break out of where it stands.
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=javascript:alert(1)>",
    "<body onload=alert(1)>",
    '"><script>alert(1)</script>',
    "'><script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)' autofocus='",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</pre><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<!--<script>alert(1)</script>-->",
    "--><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<a href=javascript:alert(1)>x</a>",
    "<form action=//evil><input name=csrf>",
    "<base href=//evil>",
    "<meta http-equiv=refresh content=0;url=//evil>",
    "<link rel=stylesheet href=//evil>",
    "<object data=//evil>",
    "<embed src=//evil>",
    "<video><source onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<select onfocus=alert(1) autofocus>",
    "<math><mi//xlink:href=javascript:alert(1)>",
    "<x onclick=alert(1)>",
    "<%00script>alert(1)</script>",
    "<scr\tipt>alert(1)</scr\tipt>",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "{{7*7}}{{config}}",
    "{% raw %}",
    "${7*7}",
    "\u202e<tpircs>",
    "\ufeff<script>",
    "<script\u2028>alert(1)</script>",
    "<\u017fcript>alert(1)</\u017fcript>",
    "\uff1cscript\uff1ealert(1)",
    "`onerror=alert(1)`",
    "\x1b]0;title\x07<b>",
    "<b>" * 50,
]

_FORBIDDEN = {"img", "svg", "iframe", "object", "embed", "video", "base", "marquee", "x", "b", "math"}


class _Elements(HtmlPage):
    """Reads a page, and keeps the names of its elements and of their attributes. Raises for one that is not closed."""

    def __init__(self, html: str) -> None:
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        super().__init__(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        super().handle_starttag(tag, attrs)


def check_shown_as_text(page: str, where: str) -> None:
    """Check that a page of the console has only elements of its own, and no script but the one file."""
    found = _Elements(page)
    assert not found.tags & _FORBIDDEN, where
    assert not [name for name in found.attributes if name.startswith("on")], where
    assert re.findall(r"<script[^>]*>", page) == ['<script src="/console.js" defer>'], where
