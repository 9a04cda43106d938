"""The pages: `/` with what the service is and its state, `/docs` for HTTP, `/messages` with queues and events."""

from collections.abc import Iterable
from dataclasses import dataclass

from bus.http.pages.guide import Guide
from bus.http.pages.page import Page, made_of
from bus.http.pages.programs import LANGUAGES


@dataclass(frozen=True)
class Link:
    """A path, and what is there."""

    path: str
    what: str


@dataclass(frozen=True)
class State:
    """The state of the service: `health` is `ready` or what is wrong; `database` is empty while it is unknown.

    `is_embedded`: no other program can reach the broker.
    """

    health: str
    broker: str
    database: str
    is_embedded: bool

    @property
    def is_ready(self) -> bool:
        """Whether a message went through the queue, a worker and the database, and back."""
        return self.health == "ready"


def start_page(guide: Guide, state: State, links: Iterable[Link], routes: Iterable[str]) -> Page:
    """The page at `/`. `routes` are those of no operation and no link."""
    return made_of(
        "start.html.jinja", service=guide.service, guide=guide, state=state, links=list(links), routes=list(routes)
    )


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


def message_page(guide: Guide, *, is_embedded: bool) -> Page:
    """The page at `/messages`. On the embedded broker it says that no program can use it."""
    return made_of(
        "messages.html.jinja",
        script="messages.js",
        service=guide.service,
        guide=guide,
        languages=LANGUAGES,
        is_embedded=is_embedded,
    )
