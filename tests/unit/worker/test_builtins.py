"""Built-in operations: every service answers them, by way of its database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.example_service import make_service

from bus.client.client import Client
from bus.contract.builtin import ping_of
from bus.contract.operator.dead_letters import DeadLetterGroup, GroupDeadLetters
from bus.contract.operator.operations import operator_operations
from bus.contract.operator.state import GetState
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.messaging.connect import transport_for
from bus.messaging.topology import DEFAULT_LIMITS
from bus.security.operators import Operator
from bus.service.service import Service
from bus.worker.builtins import builtin_handlers
from bus.worker.handler_runs import answer_queries
from bus.worker.operator import OperatorHandlers
from bus.worker.worker import Worker

WAIT_SECONDS = 20.0


def test_the_ping_goes_to_the_database(database: Database) -> None:
    ping = ping_of("shop")
    (answer,) = answer_queries([Call(ping, ping(), None)], builtin_handlers(Service("shop")), database)
    assert b'"service":"shop","database":"sqlite"' in getattr(answer, "body", b"")


def test_every_built_in_operation_has_a_handler(database: Database, memory_url: str) -> None:
    transport = transport_for(memory_url, "shop")
    for service in (Service("shop"), make_service()):
        names = [operation.operation_name for operation in service.builtin_operations]
        for_operators = OperatorHandlers(service, database, transport, DEFAULT_LIMITS, lambda: "").by_queue
        assert [*builtin_handlers(service), *for_operators] == names


def test_the_state_does_not_wait_for_what_is_done_with_many_dead_letters(
    database: Database, memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def take_long(*_: object) -> list[DeadLetterGroup]:
        has_begun.set()
        assert may_end.wait(WAIT_SECONDS)
        return []

    monkeypatch.setattr("bus.dead_letters.queries.grouped", take_long)
    worker = Worker(make_service(), transport_for(memory_url, "example"), database, operator_token="the token")
    worker.start()
    ask, ann = operator_operations("example"), Operator("ann", "the token")
    with Client(memory_url) as client, ThreadPoolExecutor() as others:
        groups = others.submit(client.call, ask[GroupDeadLetters](), timeout=WAIT_SECONDS, token=ann)
        try:
            assert has_begun.wait(WAIT_SECONDS)
            assert client.call(ask[GetState](), timeout=WAIT_SECONDS / 2, token=ann).service == "example"
        finally:
            may_end.set()
        assert groups.result(WAIT_SECONDS).groups == []
    worker.stop(WAIT_SECONDS)
