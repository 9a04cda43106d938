"""The message page: a service's operations and events, each with what it takes and programs to copy."""

from bus.http.pages.guide import Guide
from bus.http.pages.page import Page, made_of


def message_page(guide: Guide) -> Page:
    """The page at `/messages`."""
    return made_of("messages.html.jinja", script="messages.js", service=guide.service, guide=guide)
