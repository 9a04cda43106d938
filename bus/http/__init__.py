"""The HTTP front end: a Flask application that turns requests into messages and replies into responses.

`front_end` makes the application of a service from its contract; `relay` answers a request with the reply of an
operation, for routes of your own, `list_query` reads the arguments of a file, and `never_blocks` marks views of yours
that need no thread. `documents/` (OpenAPI,
AsyncAPI) and `pages/` (HTML) do not use Flask; `views/` serves them.

Only services and `bus.runtime` import it. Start at `application.py`, then `relaying.py`, the way of one request.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports

if TYPE_CHECKING:
    from bus.http.application import front_end
    from bus.http.blocking import never_blocks
    from bus.http.relaying import relay
    from bus.http.request_body import list_query

__all__ = ["front_end", "list_query", "never_blocks", "relay"]

# Lazily, because documents and pages are made without Flask.
__getattr__ = lazy_exports(
    __name__,
    {
        "bus.http.application": ("front_end",),
        "bus.http.blocking": ("never_blocks",),
        "bus.http.relaying": ("relay",),
        "bus.http.request_body": ("list_query",),
    },
)
