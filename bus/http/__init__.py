"""The HTTP front end: a Flask application that parses, calls and relays, and decides nothing.

`front_end` makes the application of a service from its contract; `relay` answers a request by an operation, for
routes of your own. `documents/` (OpenAPI, AsyncAPI) and `pages/` (HTML) know no Flask, and `views/` serves them.

Only services and `bus.runtime` import it. Start at `application.py`, then `relaying.py`, the way of one request.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports

if TYPE_CHECKING:
    from bus.http.application import front_end
    from bus.http.relaying import relay

__all__ = ["front_end", "relay"]

# Documents and pages are made without Flask.
__getattr__ = lazy_exports(__name__, {"bus.http.application": ("front_end",), "bus.http.relaying": ("relay",)})
