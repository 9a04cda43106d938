"""The pages: `/` with the state of the service, `/docs` with the HTTP interface, `/messages` with queues and events."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.http.pages.guide import Guide
from bus.http.pages.page import Page, made_of


@dataclass(frozen=True)
class Row:
    """A path of the front end with its methods, and the name of its operation, if it has one."""

    methods: str
    path: str
    operation: str = ""


@dataclass(frozen=True)
class Link:
    """A path, and what is there."""

    path: str
    what: str


@dataclass(frozen=True)
class State:
    """The state of the service: `health` is `ready` or what is wrong; `database` is empty while it is unknown."""

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


# The path contains the version, so that browsers can cache it for ever. Its licence and origin are in `static/`.
VIEWER = "static/swagger-ui-5.35.0"

# The viewer loads script and style from our own origin, and sends requests only there.
POLICY = {
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
}


def docs_page(service: str) -> Page:
    """The page at `/docs`."""
    return made_of(
        "docs.html.jinja", styles=("docs.css",), script="docs.js", more_policy=POLICY, service=service, viewer=VIEWER
    )


def message_page(guide: Guide) -> Page:
    """The page at `/messages`."""
    return made_of("messages.html.jinja", script="messages.js", service=guide.service, guide=guide)
