"""Patience: for machines that stand still for seconds, in tests that are not about how soon a no comes."""

import pytest

import bus.client.client
import bus.http.relaying
import bus.http.views.health
import bus.http.views.pages
from bus.client import liveness
from bus.client.client import Client

LONG_SECONDS = 30.0


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients and front ends of this process wait long for a connection, a ping and an answer."""
    monkeypatch.setattr(bus.client.client, "CONNECT_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(liveness, "PING_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(bus.http.views.health, "READY_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(bus.http.views.pages, "READY_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(bus.http.relaying, "ANSWER_SECONDS", LONG_SECONDS)
    for ask in (Client.call, Client.send):
        monkeypatch.setitem(ask.__kwdefaults__, "timeout", LONG_SECONDS)
