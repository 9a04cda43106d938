"""The pages: `/` with the state of the service, `/docs` with the HTTP interface, `/messages` with queues and events."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.http.pages.guide import Guide
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


# Its version stands in the path, so that browsers may keep it for ever. `bus/static` has its licence and its origin.
VIEWER = "/static/swagger-ui-5.35.0"

# The viewer is script and style of our own origin, and speaks to it alone.
POLICY = {
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
}


def docs_page(service: str) -> Page:
    """The page at `/docs`."""
    return made_of(
        "docs.html.jinja", style="docs.css", script="docs.js", more_policy=POLICY, service=service, viewer=VIEWER
    )


def message_page(guide: Guide) -> Page:
    """The page at `/messages`."""
    return made_of("messages.html.jinja", script="messages.js", service=guide.service, guide=guide)
