"""The start page: what a service is, how it is, and where to read more."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.http.pages.page import Page, made_of


@dataclass(frozen=True)
class Row:
    """A path of the front end, with its methods, and the name of the operation that it leads to, if any."""

    methods: str
    path: str
    operation: str = ""


@dataclass(frozen=True)
class Link:
    """A path, and what is found there."""

    path: str
    what: str


@dataclass(frozen=True)
class State:
    """How the service is: `health` is `ready` or what is wrong, `database` empty while it is not known."""

    health: str
    broker: str
    database: str

    @property
    def is_ready(self) -> bool:
        """Whether a message went through the queue, a worker and the database, and back."""
        return self.health == "ready"


def start_page(service: str, state: State, rows: Iterable[Row], links: Iterable[Link]) -> Page:
    """The page at `/`."""
    return made_of("start.html.jinja", service=service, state=state, rows=list(rows), links=list(links))
