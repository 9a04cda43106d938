"""Consoles on the embedded broker, with a worker of the catalog or with none, and what a browser would send them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from auth.handlers import auth
from bus.client.client import Client
from bus.console.access import Access
from bus.console.application import console_application
from bus.console.console import Console, Known
from bus.contract.problems import ReplyTimeout
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.worker.worker import Worker
from catalog.handlers import catalog

TOKEN, OPERATOR_TOKEN = "the token that is printed", "the operator token"
STOP_SECONDS = 10.0


class Operating:
    """An operator's browser, without a browser."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.reload()

    def reload(self) -> None:
        """Begin without a cookie, at the console as it is now."""
        self.http: FlaskClient = console_application(self.console).test_client()

    def enter(self) -> None:
        assert self.http.get(f"/?token={TOKEN}").status_code == 303

    def get(self, path: str, status: int = 200) -> str:
        response = self.http.get(path)
        assert response.status_code == status, response.text
        return response.text

    def post(self, path: str, **form: object) -> TestResponse:
        """Send a form, with the CSRF token of the session."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/"))
        assert found is not None
        return self.http.post(path, data={"csrf": found[1], **form})


@pytest.fixture
def operating(database: Database, memory_url: str) -> Iterator[Operating]:
    worker = Worker(catalog, transport_for(memory_url, "catalog"), database, operator_token=OPERATOR_TOKEN)
    worker.start()
    with Client(memory_url) as client:
        access = Access(client, TOKEN, with_accounts=False)
        known = {"catalog": Known([], catalog.operations)}
        yield Operating(Console(client, memory_url, OPERATOR_TOKEN, access, known))
    worker.stop(STOP_SECONDS)


@pytest.fixture
def sent() -> list[tuple[str, bytes]]:
    """What the console of `of_auth` has recorded and sent."""
    return []


@pytest.fixture
def of_auth(memory_url: str, sent: list[tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Operating]:
    """A console that knows `auth`, of which no worker runs: all answers are late."""

    def exchange(operation: Any, body: bytes, *, message_id: str, **_: object) -> None:
        sent.append((operation.operation_name, body))
        raise ReplyTimeout(operation.operation_name, message_id, 5.0)

    def ask(_service: str, _operation: object, **fields: object) -> None:
        sent.append(("recorded", repr(fields).encode()))

    with Client(memory_url) as client:
        console = Console(
            client,
            memory_url,
            OPERATOR_TOKEN,
            Access(client, TOKEN, with_accounts=False),
            {"auth": Known([], auth.operations)},
        )
        monkeypatch.setattr(client, "exchange", exchange)
        monkeypatch.setattr(console, "ask", ask)
        yield Operating(console)
