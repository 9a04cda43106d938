"""Reads a page as a browser does: the text of its programs, its ids and its links."""

from collections import defaultdict
from html.parser import HTMLParser

_EMPTY = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class HtmlPage(HTMLParser):
    """Parses a page; character references are resolved, as in text copied from a browser.

    `programs` maps (operation, language) to the program's text, `listeners` maps (event, attribute that marks the kind
    of program) to it. `open_elements` is empty when every element was closed.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.programs: dict[tuple[str, str], str] = defaultdict(str)
        self.listeners: dict[tuple[str, str], str] = defaultdict(str)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open_elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag not in _EMPTY:
            self.open_elements.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self.open_elements.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>, line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if [tag for tag, _ in self.open_elements[-2:]] != ["pre", "code"]:
            return
        around = {name: value for _, attributes in self.open_elements for name, value in attributes.items()}
        if "data-language" in around:
            self.programs[around["data-operation"], around["data-language"]] += data
        for kind in ("data-listen", "data-bind"):
            if kind in around:
                self.listeners[around[kind], kind] += data
