"""The docs page: the OpenAPI document of a front end in a viewer that can send its requests."""

from bus.http.pages.page import Page, made_of

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
