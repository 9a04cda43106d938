"""Services are asked at the same time."""

import threading
from types import SimpleNamespace
from typing import Any

from bus.client.client import Client
from bus.console.asking import ask_all
from bus.contract.operator.state import GetState
from bus.contract.problems import Unavailable
from bus.security.operators import Operator

WAIT_SECONDS = 30.0


class Slow(Client):
    """A client of which each call waits until all services are asked; the one of `away` fails then."""

    def __init__(self, services: int) -> None:
        self._all_are_asked = threading.Barrier(services)

    def call(self, operation: Any, **_: Any) -> Any:
        self._all_are_asked.wait(WAIT_SECONDS)
        if operation.operation_name == "away.get_state":
            raise Unavailable("no-worker", "No worker answers.")
        return SimpleNamespace(service=operation.operation_name)


def test_a_service_that_does_not_answer_holds_up_no_other() -> None:
    services = ["one", "away", "two"]
    replies = ask_all(Slow(3), Operator("ann", "a token"), services, GetState, timeout=1)
    assert list(replies) == services
    assert [replies[name].service for name in ("one", "two")] == ["one.get_state", "two.get_state"]
    assert replies["away"].problem.detail == "No worker answers."
    assert ask_all(Slow(1), Operator("ann", "a token"), [], GetState, timeout=1) == {}
