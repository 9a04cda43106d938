"""HTML as text: descriptions of other shops are HTML, and those of products are text."""

import re
from html.parser import HTMLParser

_NEW_LINE = frozenset(
    (
        *("address", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "h1", "h2", "h3", "h4", "h5", "h6"),
        *("hr", "li", "ol", "p", "pre", "table", "tr", "ul"),
    )
)
_HIDDEN = frozenset(("script", "style", "template"))
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_MANY_LINES = re.compile(r"\n{3,}")


def text_of(html: str) -> str:
    """The text without tags; blocks become lines, and entries of lists begin with a dash."""
    if "<" not in html and "&" not in html:
        return html.strip()
    parser = _Text()
    parser.feed(html)
    parser.close()
    lines = (line.strip() for line in "".join(parser.pieces).split("\n"))
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _NEW_LINE:
            self._break("- " if tag == "li" else "")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN and self._hidden > 0
        if tag in _NEW_LINE and tag != "br":
            self._break("")

    def handle_data(self, data: str) -> None:
        blanks_begin_a_line = data.isspace() and self.pieces[-1:] in (["\n"], ["\n- "], [])
        if not self._hidden and not (blanks_begin_a_line and "\u00a0" not in data):
            self.pieces.append(_BLANKS.sub(" ", data))

    def _break(self, begin: str) -> None:
        """A new line, unless one has just begun."""
        if self.pieces and self.pieces[-1] not in ("\n", "\n- "):
            self.pieces.append(f"\n{begin}")
        elif begin and self.pieces:
            self.pieces[-1] = f"\n{begin}"
        elif begin:
            self.pieces.append(begin)
