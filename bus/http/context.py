"""What the Flask application of a front end carries along, for its views."""

from dataclasses import dataclass, field

from flask import current_app

from bus.client.client import Client
from bus.http.idempotency import InProgress

# Where Flask keeps it: `app.extensions[EXTENSION]`.
EXTENSION = "bus"


@dataclass(frozen=True)
class FrontEnd:
    """The connection to the broker, and the keys of requests in progress.

    `reads_tokens`: an operation of the service needs an access token, so that its key is there to seal one to.
    """

    client: Client
    reads_tokens: bool = False
    in_progress: InProgress = field(default_factory=InProgress)


def client() -> Client:
    """The connection to the broker of the application that serves this request."""
    front_end: FrontEnd = current_app.extensions[EXTENSION]
    return front_end.client
