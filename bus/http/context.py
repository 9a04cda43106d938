"""What the application of a front end carries with it, for the views to find."""

import threading

from flask import Flask, Request, current_app, request

from bus.client.client import Client
from bus.http.idempotency import InProgress
from bus.http.telemetry import REQUEST_RECORD, RequestRecord

_CLIENT, _IN_PROGRESS, _BODIES = "bus", "bus.in_progress", "bus.bodies"


def extend(app: Flask, client: Client, max_bodies: int) -> None:
    """Give them to an application."""
    app.extensions[_CLIENT] = client
    app.extensions[_IN_PROGRESS] = InProgress()
    app.extensions[_BODIES] = threading.Semaphore(max_bodies)


def client() -> Client:
    """The connection to the broker."""
    found: Client = current_app.extensions[_CLIENT]
    return found


def in_progress() -> InProgress:
    """The keys whose requests are in hand."""
    found: InProgress = current_app.extensions[_IN_PROGRESS]
    return found


def room_for_bodies() -> threading.Semaphore:
    """As many places as there may be bodies on their way."""
    found: threading.Semaphore = current_app.extensions[_BODIES]
    return found


def request_in_hand() -> Request:
    """Flask's `request` itself: each look through the proxy costs as much as what it looks for."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]  # typed as what it stands for
    return found


def request_record() -> RequestRecord:
    """The request in hand, as its witness sees it."""
    found: RequestRecord = request.environ[REQUEST_RECORD]
    return found
