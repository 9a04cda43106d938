"""The message page: a service's operations and events, each with what it takes and programs to copy."""

from bus.guide import Guide
from bus.pages.page import Page, made_of


def message_page(guide: Guide) -> Page:
    """The page at `/messages`."""
    return made_of("messages.html.jinja", script="messages.js", service=guide.service, guide=guide)
