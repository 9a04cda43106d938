"""Long timeouts for tests that are not about timeouts, since a shared machine may stand still for seconds."""

import pytest

import bus.client.client
import bus.http.relaying
import bus.http.views.health
import bus.http.views.pages
from bus.client import liveness
from bus.client.client import Client

LONG_TIMEOUT_SECONDS = 30.0


def use_long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use long timeouts for connections, pings and answers in the clients and front ends of this process."""
    monkeypatch.setattr(bus.client.client, "CONNECT_SECONDS", LONG_TIMEOUT_SECONDS)
    monkeypatch.setattr(liveness, "PING_SECONDS", LONG_TIMEOUT_SECONDS)
    monkeypatch.setattr(bus.http.views.health, "READY_SECONDS", LONG_TIMEOUT_SECONDS)
    monkeypatch.setattr(bus.http.views.pages, "READY_SECONDS", LONG_TIMEOUT_SECONDS)
    monkeypatch.setattr(bus.http.relaying, "ANSWER_SECONDS", LONG_TIMEOUT_SECONDS)
    for ask in (Client.call, Client.send):
        monkeypatch.setitem(ask.__kwdefaults__, "timeout", LONG_TIMEOUT_SECONDS)
